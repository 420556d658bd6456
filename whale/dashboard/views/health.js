/** Where every hit is, how late counting is, and the state of each part; asked again every 5 s while somebody looks. */
import { Away } from '../api.js'
import { card, tableOf } from '../card.js'
import { fill, h, svg } from '../dom.js'
import * as f from '../format.js'
import { levelOf } from '../late.js'

const EVERY_MS = 5000
const WORDS = { good: 'Well', late: 'Late', bad: 'Act' }
const megabytes = (size) => f.value(size * 1e6, { unit: 'bytes' })

export async function show(place, page) {
  const look = async () => draw(place, page, await page.ask('health.json'))
  const again = (error) => page.signal.aborted || (error instanceof Away ? page.failed(error) : page.go({}, { step: false }))
  const timer = setInterval(() => document.hidden || look().catch(again), EVERY_MS)
  page.signal.addEventListener('abort', () => clearInterval(timer))
  await look()
}

function draw(place, page, { answer, address }) {
  const { findings, tiles, hits, parts } = place.parts ?? (place.parts = build(place))
  fill(findings, found(answer).map(([level, text, line]) =>
    h('li', {}, h('b', { class: `level ${level}` }, WORDS[level]), h('span', {}, text), line && h('pre', { tabindex: 0 }, line))))
  fill(tiles, tilesOf(answer).map(([name, value, level]) =>
    h('div', { class: 'tile' }, h('span', { class: 'name' }, name), h('b', { class: `big ${level ?? ''}` }, value))))
  const places = answer.audit && placesOf(answer.audit)
  fill(hits.body, places ? closed(answer.audit, places, page.zone) : h('p', {}, answer.why.audit))
  hits.offer({ address, table: places && (() => ({ columns: ['Hits', 'Number'], rows: [['accepted', answer.audit.accepted], ...places] })) })
  fill(parts.body, tableOf('Parts', { columns: ['Part', 'State', 'More'], rows: partsOf(answer) }))
  parts.offer({ address })
}

function build(place) {
  const findings = h('ul', { class: 'card findings', 'aria-label': 'Findings' })
  const tiles = h('section', { class: 'tiles low', 'aria-label': 'Numbers' })
  const [hits, parts] = [card('Every hit that was accepted', { id: 'hits', main: true }), card('Parts', { id: 'parts' })]
  fill(place, h('h1', { class: 'sr' }, 'Health'), findings, tiles, hits.element, parts.element)
  return { findings, tiles, hits, parts }
}

/** [level, sentence, the line that mends it]: what somebody should know or do. */
function found({ redis, queue, hails, lag_s, audit, dead, why }) {
  const late = levelOf(lag_s)
  const all = [
    redis.state === 'away' && ['bad', `Redis is away: ${redis.why}. Hits are kept, and count when it is back.`],
    redis.state === 'takes no writes' && ['bad', `Redis takes no writes: ${redis.why}`],
    dead === null && ['bad', `${why.dead}. Hits go to the spool, and count when it is back.`],
    late && [late, `Counting is ${f.duration(lag_s)} late.`],
    queue?.workers === 0 && ['bad', 'No worker reads the queue. This line starts one:', 'hailwhale worker'],
    dead > 0 && ['bad', `${f.full(dead)} dead ${dead === 1 ? 'message is' : 'messages are'} not counted. This line counts them again:`,
      'hailwhale doctor --replay'],
    ...(hails ?? []).map(({ url, ready, why: reason }) =>
      ready === false ? ['bad', `The Hail at ${url} takes no hits.`] : ready === null && ['late', `The Hail at ${url} cannot be seen: ${reason}.`]),
    audit?.missing > 0 && ['bad', `${f.full(audit.missing)} accepted hits are missing.`],
    audit?.missing < 0 && ['bad', `${f.full(-audit.missing)} hits are counted that were never accepted.`],
    audit?.missing === 0 && !audit.closes && ['bad', 'Some sums lack an amount. This line says which:', 'hailwhale audit'],
  ].filter(Boolean)
  return all.length ? all : [['good', audit ? 'Every hit that was accepted is counted, or on its way.' : 'All parts answer.']]
}

const waiting = (audit) => audit.in_flight + audit.spooled + audit.dead_lettered
const sum = (numbers) => numbers.reduce((all, one) => all + one, 0)

function tilesOf({ lag_s, audit, hails, dead }) {
  const spools = (hails ?? []).map(({ spool_mb }) => spool_mb).filter((size) => size !== null)
  return [
    ['Late by', lag_s === null ? '–' : f.duration(lag_s), levelOf(lag_s)], ['Hits that wait', audit ? f.number(waiting(audit)) : '–'],
    ['Spool', spools.length ? megabytes(sum(spools)) : '–'], ['Dead messages', dead === null ? '–' : f.number(dead), dead ? 'bad' : ''],
  ]
}

/** What was accepted is the sum of these. */
const placesOf = (audit) => [
  ['counted', audit.counted], ['duplicate', audit.duplicate], ['dropped', sum(Object.values(audit.dropped))], ['waiting', waiting(audit)],
  ...(audit.missing ? [['missing', audit.missing]] : []),
]

/** The equation, its bar (what has hits is at least 4 wide), and what the waiting and the dropped ones are. */
function closed(audit, places, zone) {
  const shown = places.filter(([, hits]) => hits > 0)
  const widths = shown.map(([, hits]) => 4 + (hits / sum(shown.map(([, each]) => each))) * (1000 - 4 * shown.length))
  const named = (rows) => rows.filter(([, hits]) => hits).map(([name, hits]) => `${f.full(hits)} ${name}`).join(', ')
  const waits = named([['in flight', audit.in_flight], ['spooled', audit.spooled], ['dead', audit.dead_lettered]])
  const drops = named(Object.entries(audit.dropped))
  return [
    h('p', { class: 'equation' }, h('span', {}, h('b', {}, f.full(audit.accepted)), ' accepted'),
      places.map(([name, hits], i) => h('span', {}, `${i ? '+' : '='} `, h('i', { class: `swatch ${name}` }), h('b', {}, f.full(hits)), ` ${name}`))),
    svg('svg', { class: 'whole-bar', width: '100%', height: 16, viewBox: '0 0 1000 16', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
      shown.map(([name], i) => svg('rect', { class: name, x: sum(widths.slice(0, i)), y: 0, width: widths[i], height: 16 }))),
    h('p', { class: 'foot' }, `Senders of the last week at ${f.clock(Date.parse(audit.at), zone)} ${zone}, with the spool of ${audit.of}.`,
      waits && ` Waiting: ${waits}.`, drops && ` Dropped: ${drops}.`),
  ]
}

function partsOf({ whale, redis, queue, hails, versions, why }) {
  const hail = ({ url, ready, broker, spool_mb, why: reason }) => [
    'Hail', ready === null ? 'unknown' : ready ? 'takes hits' : 'takes no hits',
    [url, ...(reason ? [reason] : [broker !== 'none' && `RabbitMQ ${broker}`, spool_mb !== null && `spool ${megabytes(spool_mb)}`])].filter(Boolean).join(', '),
  ]
  return [
    ['Whale', whale.ready ? 'answers' : 'waits for Redis', `HailWhale ${versions.hailwhale}, Python ${versions.python}`],
    ['Redis', redis.state, versions.redis ?? redis.why],
    ['RabbitMQ', queue ? 'up' : why.dead ? 'away' : 'none',
      queue ? `${versions.rabbitmq}, ${f.full(queue.messages)} messages wait, ${queue.workers} workers read` : why.queue],
    ...(hails?.map(hail) ?? [['Hail', 'unknown', why.hails]]),
  ]
}
