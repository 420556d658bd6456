/**
 * A site at first sight: who is here now, who came, from where, with what, which pages they saw, and where buyers come from.
 *
 * All tables are of one answer of /visits, so that a press on a row filters all of them. Totals cannot be filtered so: page views and
 * attention are of totals as long as nothing is filtered, and the foot of the chart says so.
 */
import { card } from '../card.js'
import { fill, h } from '../dom.js'
import * as f from '../format.js'
import { showNumber } from '../number_line.js'
import { SHARE, fairly, limitsOf, none, viewOfSite } from '../of_site.js'
import { buyersCard, showBuyers } from '../site_buyers.js'
import { WAYS, chosenWay, filters, showRows, testsOf, textOf } from '../site_rows.js'
import { tile } from '../tiles.js'
import { changedCard, shiftsOf, showChanged } from './changed.js'

const [ROWS, MOST_EVENTS, NOW_MS, NO_GOAL] = [8, 50, 10_000, '-']
const [PAGEVIEW, ENGAGED] = ['pageview', 'engaged_ms/pageviews']
const GOALS = ['purchase', 'signup', 'goal']
const NO_GOALS = [PAGEVIEW, 'engagement', '__other__']
const NUMBERS = [
  { formula: 'visitors', name: 'Visitors', unit: 'count', better: 'up' }, { formula: 'visits', name: 'Visits', unit: 'count', better: 'up' },
  { formula: 'views', name: 'Page views', unit: 'count', better: 'up' }, { formula: 'bounce_rate', name: 'Bounce rate', better: 'down', ...SHARE },
  { formula: 'duration_s', name: 'Time of a visit', unit: 'seconds', better: 'up' },
  { formula: 'engaged', name: 'Attention a view', unit: 'seconds', better: 'up' },
  { formula: 'conversion', name: 'Conversion', better: 'up', ...SHARE }, { formula: 'worth', name: 'Revenue', unit: 'money', better: 'up' },
]

export const show = viewOfSite('Site', build, draw)

function build(parts) {
  parts.filters = h('div', { class: 'filters' })
  parts.said = h('p', { class: 'lead', id: 'said' })
  parts.tiles = h('section', { class: 'tiles', 'aria-label': 'Numbers of the site' })
  parts.chart = card('Visitors', { id: 'chart', height: 'chart', main: true })
  parts.basis = h('p', { class: 'foot', id: 'basis' })
  parts.changed = changedCard()
  parts.buyers = buyersCard()
  const ways = WAYS.map(({ id, title, height }) => (parts[id] = card(title, { id, height })).element)
  parts.first = h('div', { hidden: true })
  parts.whole = h('div', {}, parts.filters, parts.said, parts.tiles, h('div', { class: 'columns' }, parts.chart.element, parts.changed.element), parts.basis,
    h('div', { class: 'ways-grid' }, parts.buyers.element, ways))
  return [parts.first, parts.whole]
}

async function draw(given) {
  const { page, parts } = given
  const metrics = await page.metrics().catch(() => null)
  const [counts, now] = await Promise.all([countsOf(given), nowOf(given)])
  const waits = !metrics?.has('pageviews') && !counts.events.includes(PAGEVIEW)
  for (const [part, hidden] of [['whole', waits], ['first', !waits]]) parts[part].hidden = hidden
  if (waits) return (await page.firstOfSite()).showFirst(given)
  fill(parts.first)
  const view = { ...given, metrics, counts, tests: testsOf(page.state.where), goals: counts.events.filter((name) => !NO_GOALS.includes(name)) }
  view.goal = goalOf(view)
  view.asked = { ...fairly(counts, given.asked, page.zone), where: textOf(view.tests) || undefined, goal: view.goal }
  if (page.state.where && !view.asked.where) page.say('The address has filters that this page does not know.')
  filters(view, parts.filters)
  showNow(view, now)
  const question = { ...view.asked, by: WAYS.map((way) => chosenWay(way, page.state.cards)).join(','), limit: ROWS }
  const asks = page.ask('visits', question).catch((error) => withoutGoal(view, question, error))
  const each = (way) => async () => showRows(view, way, await asks)
  await Promise.all([
    parts.chart.during(async () => showNumbers(view, await asks)),
    ...WAYS.map((way) => parts[way.id].during(each(way))),
    parts.buyers.during(async () => (await asks) && showBuyers(view)), // after it, since Whale answers one large question at a time
    parts.changed.during(() => showBroken(view)),
  ])
}

/** What totals know at once: the dates, page views also of nobody, attention, and which events there are. Who may see no totals has none. */
async function countsOf({ page, when, asked: { pk, period, tz } }) {
  const quiet = { quiet: true }
  const question = { pk, period, tz, compare: page.asked.compare, metrics: ['pageviews', ENGAGED], undefined: 'null' }
  const events = { pk, period, tz, dimension: ['event'], by: 'hits', paths: 'list', limit: MOST_EVENTS }
  const [totals, points, ranked] = await Promise.all([
    page.ask('totals', question, quiet).catch(none), page.ask('plotpoints', question, quiet).catch(none), page.ask('rank', events, quiet).catch(none)])
  const [total] = Object.values(totals.answer)
  when.says(total?.compared, points.headers)
  return {
    address: points.address, compared: total?.compared, totals: total?.paths?._ ?? total?._, series: points.answer.paths?._ ?? points.answer._,
    events: (ranked.answer.rows ?? []).map(({ path }) => f.pathOf(path).at(-1)),
  }
}

/** The event that is asked for, else the one that sells, else the most frequent one that is no page view. */
function goalOf({ page: { state }, goals }) {
  if (state.goal === NO_GOAL) return undefined
  return state.goal || GOALS.find((name) => goals.includes(name)) || goals[0]
}

/** Totals know events that only nobody had, as where a browser sends GPC: these are no goal that visits reach. */
function withoutGoal(view, question, error) {
  if (error.problem?.field !== 'goal' || view.page.state.goal) throw error
  view.goals = view.goals.filter((name) => name !== view.goal)
  view.goal = view.asked.goal = undefined
  return view.page.ask('visits', { ...question, goal: undefined })
}

/** What is shown as a number: { address, total, points } of an answer of /visits, or of totals. */
function numberOf({ counts, tests }, { answer, address }, { formula }, side = 'now') {
  const counted = { views: ['pageviews', 1], engaged: [ENGAGED, 1000] }[formula]
  if (counted && counts.series && !tests.length) {
    const [name, per] = counted
    const [all, series] = [counts.totals?.[name], counts.series[name] ?? []]
    const points = (series[side] ?? series).filter(([at]) => at <= Date.now() || side !== 'now').map(([at, v]) => [at, v == null ? v : v / per])
    const total = all && typeof all === 'object' ? all[side] : all
    return { address: counts.address, total: total == null ? total : total / per, points }
  }
  const points = answer.points.filter(({ at }) => Date.parse(at) <= Date.now())
  return { address, total: answer[formula], points: points.map((point) => [Date.parse(point.at), point[formula]]) }
}

async function showNumbers(view, found) {
  const { page, parts, asked, counts: { compared }, metrics } = view
  const { answer } = found
  const isWhole = asked.start && Date.parse(answer.since) <= Date.parse(compared.before.start)
  const past = isWhole && await page.ask('visits', { ...asked, start: compared.before.start, finish: compared.before.end })
  const currency = metrics?.of('revenue').currency
  const numbers = NUMBERS.map((each) => (each.unit === 'money' ? { ...each, currency } : each))
    .filter((each) => numberOf(view, found, each).total != null && !(each.unit === 'money' && !answer.worth))
  const chosen = numbers.find(({ formula }) => formula === page.state.show) ?? numbers[0]
  fill(parts.tiles, parts.now, numbers.map((each, i) => {
    const choose = () => page.go({ show: i ? each.formula : '' })
    page.key(String(i + 1), 'a number', choose)
    const [these, those] = [numberOf(view, found, each), past && numberOf(view, past, each, 'before')]
    const [total, series] = those ? [{ now: these.total, before: those.total }, { now: these.points, before: those.points }] : [these.total, these.points]
    return tile(page, each, total, series, { pressed: each === chosen, choose })
  }))
  showNumber(view, chosen, numberOf(view, found, chosen), past ? numberOf(view, past, chosen, 'before') : undefined)
  fill(parts.basis, basisOf(view, answer), ' ', limitsOf(answer, asked.start, page.zone))
}

/** Which numbers are of visits, and which of totals. */
function basisOf({ counts: { totals }, tests }, { views }) {
  if (tests.length) return 'Only visits that pass the filters, with their page views. Who is here now and what changed are of the whole site.'
  const all = totals?.pageviews?.now ?? totals?.pageviews
  if (all == null) return 'All numbers are of visits.'
  return `Page views and attention are totals: ${f.full(all)} page views, also those of nobody, as where a browser sends GPC. `
    + `All else is of visits, which have ${f.full(views)}.`
}

/** The visitors of the last five minutes, from now on every few seconds while somebody looks. */
function showNow(view, now) {
  const { page, parts } = view
  const big = h('b', { class: 'big' }, f.number(now))
  parts.now = h('div', { class: 'tile', id: 'tile-now' }, h('span', { class: 'name' }, h('i', { class: 'dot' }), ' Now'), big,
    h('span', { class: 'change soft' }, 'in 5 minutes'))
  document.getElementById('tile-now')?.replaceWith(parts.now)
  const timer = setInterval(() => document.hidden || nowOf(view).then((next) => fill(big, f.number(next)), page.failed), NOW_MS)
  page.signal.addEventListener('abort', () => clearInterval(timer))
}

const nowOf = ({ page, asked: { pk } }) => page.ask('visitors', { pk, period: '1m:5m' }).then(({ answer }) => answer.visitors)

async function showBroken({ page, parts, metrics }) {
  if (!metrics) return void fill(parts.changed.body, h('p', { class: 'soft' }, 'Nothing was counted by totals.'))
  const metric = metrics.of('pageviews')
  const base = metrics.has('visits') ? 'visits' : 'pageviews' // of a shop that counts visits itself
  const formulas = [metrics.has('orders') && `orders/${base}`, 'pageviews'].filter(Boolean)
  await showChanged(parts.changed, page, metrics, metric, await shiftsOf(page, metrics, formulas))
}
