/** What a funnel found: two sentences, what broke, and a row for each step with who went on, who may still, and who left. */
import { fill, h, headOf, scroller } from './dom.js'
import * as f from './format.js'
import { showRate, showSplit } from './funnel_more.js'
import { SHARE, limits, none, ofWhole, shares } from './of_site.js'
import { changeOf } from './rows.js'
import { empty } from './states.js'
import { eventOf, named } from './words.js'

const FEWEST = 2
const CONVERSION = { ...SHARE, formula: 'conversion', better: 'up' }
const LOOKED = { today: '30d', '7d': '30d', '1w:1y': '1d:1y' } // shifts are looked for by day, and need some days before them

/**
 * One question for all cards of the view.  events: those of the period.  start: of the range.  compared: the ranges of both periods.
 * The other period stands beside only if the log reaches back so far.
 */
export async function showFunnel(view, steps, { events, start, compared }) {
  const { page, parts: { funnel, rate, split }, asked, by, window } = view
  const isAsked = steps.length >= FEWEST
  for (const each of [rate, split]) each.element.hidden = !isAsked
  if (!isAsked) {
    fill(funnel.tools)
    return void fill(funnel.body, empty(events.length ? 'A funnel has two steps or more: pick them above.' : 'No event was logged in this period.'))
  }
  const question = { ...asked, steps, window, rate: 1, by, compare: compared && page.asked.compare }
  const [found, shifts] = await Promise.all([page.ask('funnel', question), asked.segment ? [] : shiftsOf(page, asked, steps.map(eventOf))])
  const { answer, address } = found
  const rows = answer.steps.map((row, i) => ({ ...row, name: named(steps[i]) }))
  const before = compared?.before && Date.parse(answer.since) <= Date.parse(compared.before.start) ? answer.compared?.steps : null
  const worst = rows.slice(0, -1).reduce((most, row, i) => (row.dropped > (rows[most]?.dropped ?? 0) ? i : most), -1)
  const badges = (row, i) => [i === worst && badge('bad', 'most leave here'), fellOrRose(shifts.find(({ path }) => path[1] === row.event), page.zone)]
  const broken = h('div', { class: 'broken' })
  fill(funnel.body, whole(rows, before), leaving(rows, worst), broken, shifts.map((shift) => broke(shift, page.zone)),
    scroller('Table: Funnel', h('table', { class: 'rows funnel' },
      headOf(['Step'], ['', 'wide-only'], ['Visitors', 'n'], ['Of the first', 'n'], before && ['Change', 'n wide-only'], ['Of the step before', 'n wide-only'],
        ['Left', 'n'], ['May go on', 'n wide-only'], ['Median time', 'n wide-only'], ['9 of 10 within', 'n wide-only']),
      h('tbody', {}, rows.map((row, i) => stepRow(rows, i, badges(row, i), before))))),
    meaning(), limits(answer, start, page.zone))
  funnel.offer({ address, table: () => ({
    columns: ['Step', 'Visitors', 'Occurrences', 'Conversion', 'Dropped', 'Open', 'Median s', '90 % s', ...(before ? ['Conversion before'] : [])],
    rows: rows.map((row, i) => [row.name, row.visitors, row.occurrences, row.conversion, row.dropped, row.open, row.median_s, row.p90_s,
      ...(before ? [before[i].conversion] : [])]),
  }) })
  showRate(view, found, rows)
  showSplit(view, found, rows)
  page.broken().then(({ showBroken }) => showBroken(broken, view, steps, { start, compared })).catch(page.failed)
}

function whole(rows, before) {
  const [first, last] = [rows[0], rows.at(-1)]
  if (!first.visitors) return h('p', { class: 'lead' }, `Nobody did ${first.name} in this period.`)
  const half = last.median_s == null ? '.' : `, half of them within ${f.duration(last.median_s)}.`
  return h('p', { class: 'lead' }, h('b', {}, ofWhole(last.visitors, first.visitors)),
    ` of ${f.full(first.visitors)} visitors got from ${first.name} to ${last.name}${half}`,
    before?.at(-1).conversion != null && ` In the other period it was ${f.value(before.at(-1).conversion, SHARE)}.`)
}

function leaving(rows, worst) {
  if (worst < 0) return null
  const { name, dropped, open, visitors } = rows[worst]
  return h('p', { class: 'lead' }, 'Most leave after ', h('b', { class: 'bad' }, name),
    `: ${f.full(dropped)} of ${f.full(visitors)} (${ofWhole(dropped, visitors)}) did not go on to ${rows[worst + 1].name}`,
    open > 0 && `, and ${f.full(open)} more still may`, '.')
}

/** How sure a change of a share is, in standard deviations: of two shares of different visitors. */
function sureness(rows, before, i) {
  const [n, m, x, y] = [rows[0].visitors, before[0].visitors, rows[i].visitors, before[i].visitors]
  const part = (x + y) / (n + m)
  const variance = part * (1 - part) * (1 / n + 1 / m)
  return variance > 0 ? (x / n - y / m) / Math.sqrt(variance) : 0
}

const badge = (tone, text) => h('span', { class: `badge ${tone}` }, text)

function stepRow(rows, i, badges, before) {
  const [row, all, isLast] = [rows[i], rows[0].visitors || 1, i === rows.length - 1]
  const on = (rows[i + 1]?.visitors ?? row.visitors) / all
  const bar = () => shares(['part', on], ['open', row.open / all], ['lost', row.dropped / all])
  const change = () => changeOf(CONVERSION, { now: row.conversion, before: before[i].conversion }, { z: sureness(rows, before, i) })
  const took = (seconds) => (seconds == null ? '–' : f.duration(seconds))
  return h('tr', {},
    h('th', { scope: 'row' }, h('span', { class: 'number' }, String(i + 1)), h('span', { class: 'event' }, row.name), badges,
      h('div', { class: 'narrow-only' }, bar())),
    h('td', { class: 'wide-only step-bar' }, bar()),
    h('td', { class: 'n strong', title: `${f.full(row.visitors)} visitors, ${f.full(row.occurrences)} times` }, f.number(row.visitors),
      h('span', { class: 'narrow-only' }, took(row.median_s))),
    h('td', { class: 'n' }, ofWhole(row.visitors, rows[0].visitors)),
    before && h('td', { class: 'n wide-only' }, i ? change() : '–'),
    h('td', { class: 'n wide-only' }, i ? ofWhole(row.visitors, rows[i - 1].visitors) : '–'),
    h('td', { class: 'n' }, isLast ? '–' : f.number(row.dropped),
      !isLast && row.open > 0 && h('span', { class: 'narrow-only' }, `${f.number(row.open)} may go on`)),
    h('td', { class: 'n wide-only' }, isLast ? '–' : f.number(row.open)),
    h('td', { class: 'n wide-only' }, took(row.median_s)), h('td', { class: 'n wide-only' }, took(row.p90_s)))
}

const meaning = () => h('p', { class: 'foot swatches' }, [['part', 'went on'], ['open', 'may still go on'], ['lost', 'left']].map(([name, text]) =>
  h('span', {}, h('i', { class: `swatch ${name}` }), text)))

/** What broke: events of the steps that /shifts names, and that go on. Who may not see counts is told of none. */
async function shiftsOf(page, { pk, period, tz }, steps) {
  const question = { pk, tz, period: LOOKED[period] ?? period, metric: 'hits', dimensions: ['event'] }
  const { answer } = await page.ask('shifts', question, { quiet: true }).catch(none)
  return (answer.shifts ?? []).filter(({ path, ongoing }) => ongoing && path.length === 2 && steps.includes(path[1]))
}

const moved = ({ now, before }) => (now < before ? 'fell' : 'rose')
const toneOf = ({ now, before }) => (now < before ? 'bad' : 'good')
const fellOrRose = (shift, zone) => shift && badge(toneOf(shift), `${moved(shift)} ${f.day(Date.parse(shift.at), zone)}`)

function broke(shift, zone) {
  const { at, path, before, now } = shift
  return h('p', { class: `story ${toneOf(shift)}` }, h('span', { class: 'date' }, `Since ${f.weekday(Date.parse(at), zone)}`), ', ',
    h('b', {}, f.shown(path[1])), ` ${moved(shift)} from ${f.number(before)} to `, h('b', { class: toneOf(shift) }, f.number(now)), ' a day.')
}
