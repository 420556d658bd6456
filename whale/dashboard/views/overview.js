/** The view that opens first: totals, the line of the one that is chosen, what changed, and the values of a dimension. */
import { card, menu } from '../card.js'
import { fill, h } from '../dom.js'
import * as f from '../format.js'
import { showLine } from '../line.js'
import { notesCard, showNotes } from '../notes.js'
import { plainRows, rank, rowsOf } from '../rows.js'
import { empty } from '../states.js'
import { dimensionsOf, tabs } from '../tabs.js'
import { tile, tilesOf } from '../tiles.js'
import { whenBar } from '../when.js'
import { changedCard, shiftsOf, showChanged } from './changed.js'

const [PREVIEW, DAY, SOON_MS, NO_MARKS] = [8, 86400e3, 300, [[], []]]
const soon = (value) => new Promise((done) => setTimeout(done, SOON_MS, value))

export async function show(place, page) {
  const cards = place.cards ?? build(place)
  const when = whenBar(page)
  fill(cards.when, when.element)
  const metrics = await page.metrics()
  when.add(h('button', { id: 'edit', class: 'plain', onclick: () => page.editing().then(({ edit }) => edit(page, metrics), page.failed) }, 'Edit totals'))
  const { tiles, shown, chosen } = tilesOf(page, metrics)
  const view = { page, cards, when, metrics, shown: shown.map((formula) => metrics.of(formula)), chosen: metrics.of(chosen) }
  cards.chart.element.dataset.lines = !hasOptions(page) ? 'one' : page.state.split && page.state.top > 3 ? 'many' : 'few' // room for their names
  cards.choose = () => cards.options.open && showOptions(view).catch(page.failed)
  cards.choose()
  const drawn = cards.chart.during(() => showTotals(view))
  const answered = view.answers.catch(() => {}) // the rest is asked after it, since Whale works at that for longer
  view.dims = dimensionsOf(page)
  view.shifts = answered.then(() => shiftsOf(page, metrics, page.state.metric ? [chosen] : [...new Set([chosen, tiles[0]])]))
  const notes = answered.then(() => notesOf(page))
  view.marks = Promise.all([view.shifts.catch(() => []), notes])
  await Promise.all([
    drawn,
    cards.changed.during(async () => showChanged(cards.changed, page, metrics, view.chosen, await view.shifts, await view.dims)),
    cards.values.during(() => showValues(view)),
    cards.notes.during(async () => showNotes(cards.notes, page, await notes)),
  ])
}

function build(place) {
  const [when, tiles] = [h('div', { class: 'keep-when' }), h('section', { class: 'tiles', 'aria-label': 'Totals' })]
  const chart = card('Over time', { id: 'chart', height: 'chart', main: true })
  const options = menu('chart-options', 'Options', 'Options of the chart')
  options.addEventListener('toggle', () => place.cards.choose?.())
  chart.tools.before(options)
  const changed = changedCard()
  const values = card('Breakdown', { id: 'values', height: 'rows' })
  const notes = notesCard()
  fill(place, h('h1', { class: 'sr' }, 'Overview'), when, tiles,
    h('div', { class: 'columns' }, chart.element, changed.element), values.element, notes.element)
  return (place.cards = { when, tiles, chart, options, changed, values, notes })
}

const hasOptions = ({ state: { split, second, also, chart } }) => Boolean(split || second || also.length || chart.length)

const notesOf = ({ ask, asked: { pk, period, tz } }) => ask('notes', { pk, period, tz }).then(({ answer }) => answer, () => [])

async function showTotals(view) {
  const { page, cards, when, metrics, chosen, shown } = view
  const question = { ...page.asked, metrics: shown.map(({ formula }) => formula), undefined: 'null' }
  const more = hasOptions(page) ? page.options().then(({ linesOf }) => linesOf(page, metrics, chosen)) : undefined
  view.answers = Promise.all([page.ask('totals', question), page.ask('plotpoints', question), more])
  const [totals, points, lines] = await view.answers
  const [total] = Object.values(totals.answer)
  const [numbers, series] = [(total.paths ?? total)._, points.answer.paths?._ ?? points.answer._]
  when.says(total.compared, points.headers)
  const began = total.compared && f.local(Date.parse(total.compared.before.start), page.zone)
  const since = (formula) => began < metrics.since(formula) && metrics.since(formula) // both are days of the zone, as text
  const tiles = shown.map((each) =>
    tile(page, each, numbers[each.formula], series[each.formula], { pressed: each.formula === chosen.formula, since: since(each.formula) }))
  fill(cards.tiles, tiles)
  const isEmpty = Object.values(numbers).every((number) => !(number?.now ?? number))
  if (isEmpty) return nothingThere(cards.chart, page, metrics, totals.address)
  const draws = ([shifts, notes]) => {
    const shift = shifts.find(({ ongoing, metric }) => ongoing && metric.formula === chosen.formula)
    view.width = showLine(cards.chart, page, chosen, points, { notes, shift, lines })
    cards.choose()
  }
  const drawnBefore = cards.chart.body.firstChild // its marks would go, and come back
  const first = drawnBefore ? await Promise.race([view.marks, soon(NO_MARKS)]) : NO_MARKS
  draws(first)
  if (first === NO_MARKS) view.marks.then((found) => page.signal.aborted || draws(found))
}

/** What the menu offers, while it is open; also where no line can be drawn, so that the reader finds back. */
async function showOptions({ page, cards, metrics, chosen, shown, width }) {
  const [{ controls }, dims] = await Promise.all([page.options(), dimensionsOf(page)])
  const formulas = [...new Set([...shown.map(({ formula }) => formula), ...metrics.names])]
  fill(cards.options.lastChild, controls(page, metrics, chosen, { dims, width, formulas }))
}

/** When there was something last, and the way there. */
function nothingThere(chart, page, metrics, address) {
  const last = metrics.lastSeen && Date.parse(metrics.lastSeen)
  const range = last && [last - 29 * DAY, last + DAY].map((at) => f.local(at, 'UTC')).join('..')
  const there = last && h('a', { href: page.link({ range, period: '' }) }, `Show the 30 days until then`)
  fill(chart.body, empty(`Nothing was counted in this period${last ? `, and the last hit on ${f.weekday(last, 'UTC')}` : ''}.`, there))
  chart.legend()
  chart.offer({ address })
}

async function showValues({ page, cards, metrics, chosen, dims: listed, shifts: looked }) {
  const { values } = cards
  const dims = await listed
  const shifts = (await looked.catch(() => [])).filter(({ metric }) => metric.formula === chosen.formula)
  const dim = page.state.dim || (dims.includes(shifts[0]?.path[0]) ? shifts[0].path[0] : dims[0])
  if (!dim) return void fill(values.body, empty('Nothing was counted by dimension.'))
  tabs(page, values, dims, dim, { panel: 'values-body' })
  const columns = metrics.within(chosen.formula).map((name) => metrics.of(name))
  const asked = columns.length ? columns.map(({ formula }) => formula) : undefined
  const answered = await rank(page, { by: chosen.formula, dim, columns: asked, limit: PREVIEW })
  const link = (path) => page.link({ view: 'breakdown', dim, at: path })
  const table = rowsOf(page, chosen, answered, { title: f.title(dim), columns, shifts, link })
  const more = answered.more > 0 && h('a', { href: page.link({ view: 'breakdown', dim }) }, `${f.number(answered.more)} more`)
  fill(values.body, h('div', { class: 'scroll' }, table),
    h('p', { class: 'foot' }, 'By the low end of the 95 % interval, so that one lucky visitor does not come first. ', more))
  values.offer({ address: answered.address, table: () => plainRows(chosen, answered, f.title(dim), columns) })
}
