/** The view that opens first: totals, the line of the one that is chosen, what changed, and the values of a dimension. */
import { questionOf } from '../api.js'
import { card, graphTag } from '../card.js'
import { draw } from '../chart.js'
import { fill, h } from '../dom.js'
import * as f from '../format.js'
import { spark } from '../figures.js'
import { judged } from '../metrics.js'
import { flagsOf, notesCard, showNotes } from '../notes.js'
import { SURE, plainRows, rank, rowsOf } from '../rows.js'
import { empty } from '../states.js'
import { dimensionsOf, tabs } from '../tabs.js'
import { edit, tilesOf } from '../tiles.js'
import { whenBar } from '../when.js'
import { changedCard, shiftsOf, showChanged } from './changed.js'

const PREVIEW = 8
const NO_MARKS = [[], []]
const soon = (value) => new Promise((done) => setTimeout(done, 120, value))

export async function show(place, page) {
  const { state, asked } = page
  const cards = place.firstChild ? place.cards : build(place, page)
  const when = whenBar(page)
  const formulas = [state.metric, ...state.tiles].filter(Boolean)
  fill(cards.when, when.element)
  const metrics = await page.metrics()
  when.element.querySelector('.range').before(h('button', { id: 'edit', class: 'plain', onclick: () => edit(page, metrics) }, 'Edit totals'))
  const { tiles, chosen } = tilesOf(page, metrics)
  const metric = metrics.of(chosen)
  const shown = [...new Set([...tiles, chosen])].map((formula) => metrics.of(formula))
  shown.slice(0, 9).forEach(({ formula }, i) => page.key(String(i + 1), 'a tile', () => page.go({ metric: formula })))
  const question = { ...asked, metrics: shown.map((each) => each.formula), undefined: 'null' }
  const base = formulas.length ? [] : [tiles[0]]
  const looked = shiftsOf(page, metrics, [...new Set([chosen, ...base])])
  const noted = page.ask('notes', { pk: asked.pk, period: asked.period, tz: asked.tz }).then(({ answer }) => answer, () => [])
  const marks = Promise.all([looked.catch(() => []), noted])

  await Promise.all([
    cards.chart.during(async () => {
      const [totals, points] = await Promise.all([page.ask('totals', question), page.ask('plotpoints', question)])
      const unknown = totals.unknown.find(({ kind }) => kind === 'pk')
      if (unknown) return neverCounted(place, page, unknown)
      const total = Object.values(totals.answer)[0]
      const series = points.answer.paths?._ ?? points.answer._
      when.says(total.compared, { range: rangeOf(points) })
      const numbers = (total.paths ?? total)._
      fill(cards.tiles, shown.map((each) => tile(page, each, numbers[each.formula], series[each.formula], each === metric || each.formula === chosen)))
      const draws = ([shifts, notes]) => {
        const shift = shifts.find((each) => each.ongoing && each.metric.formula === chosen)
        line(cards.chart, page, metric, series[chosen], points, { compared: total.compared, notes, shift })
      }
      const first = await Promise.race([marks, soon(NO_MARKS)]) // so that a chart is not drawn twice where both are there at once
      draws(first)
      if (first === NO_MARKS) marks.then((found) => page.signal.aborted || draws(found))
    }),
    cards.notes.during(async () => showNotes(cards.notes, page, await noted)),
    cards.changed.during(async () => showChanged(cards.changed, page, metrics, metric, await looked)),
    cards.values.during(async () => {
      const dims = await dimensionsOf(page)
      const shifts = (await looked.catch(() => [])).filter((each) => each.metric.formula === chosen)
      const dim = [state.dim, shifts[0]?.path[0]].find((each) => dims.includes(each)) ?? dims[0]
      tabs(page, cards.dims, dims, dim, { panel: 'values-body' })
      if (!dim) return void fill(cards.values.body, empty('Nothing was counted by dimension.'))
      const columns = metric.formula.split('/').filter((name) => name !== metric.formula && metrics.has(name)).map((name) => metrics.of(name))
      const answered = await rank(page, { by: chosen, dim, columns: columns.map((each) => each.formula), limit: PREVIEW })
      const link = (path) => page.link({ view: 'breakdown', dim, at: path })
      fill(cards.values.body, h('div', { class: 'scroll' }, rowsOf(page, metric, answered, { title: f.title(dim), columns, shifts, link })),
        h('p', { class: 'foot' }, 'By the low end of the 95 % interval, so that one lucky visitor does not come first. ', answered.more > 0 && h('a', { href: page.link({ view: 'breakdown', dim }) }, `${f.number(answered.more)} more`)))
      cards.values.offer({ address: answered.address, table: () => plainRows(metric, answered, f.title(dim), columns) })
    }),
  ])
}

function build(place, page) {
  const [when, tiles, dims] = [h('div', { class: 'keep-when' }), h('section', { class: 'tiles', 'aria-label': 'Totals' }), h('div', { class: 'tabs', role: 'tablist', 'aria-label': 'Dimension' })]
  const chart = card(page, 'Over time', { id: 'chart', height: 'chart', main: true })
  const changed = changedCard(page)
  const values = card(page, 'Breakdown', { id: 'values', height: 'rows' })
  const notes = notesCard(page)
  values.at(dims)
  fill(place, h('h1', { class: 'sr' }, 'Overview'), when, tiles, h('div', { class: 'columns' }, chart.element, changed.element), values.element, notes.element)
  place.cards = { when, tiles, chart, changed, values, notes, dims }
  return place.cards
}

function neverCounted(place, page, { name, near }) {
  place.cards = null
  fill(place, h('section', { class: 'card' }, h('h1', {}, 'Never counted'),
    empty(`No hit of ${f.named(page.state.pk)} was ever counted.`, near && h('a', { href: page.link({ pk: f.pathOf(near) }) }, `Did you mean ${f.shown(near)}?`))))
}

/** How sure a change is, from the buckets of both periods, pair by pair. */
function sureness(series) {
  const pairs = (series.now ?? []).map(([, v], i) => v - (series.before[i]?.[1] ?? v)).filter(Number.isFinite)
  const mean = pairs.reduce((sum, v) => sum + v, 0) / pairs.length
  const variance = pairs.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (pairs.length - 1)
  return pairs.length < 7 || !variance ? 0 : mean / Math.sqrt(variance / pairs.length)
}

function tile(page, metric, total, series, pressed) {
  const { now, before } = total && typeof total === 'object' ? total : { now: total }
  const changed = f.change(now, before, metric)
  const sure = Math.abs(sureness(series)) > SURE
  return h('button', { class: 'tile', id: `tile-${metric.formula}`, 'aria-pressed': pressed, title: f.full(now), onclick: () => page.go({ metric: metric.formula }) },
    h('span', { class: 'name' }, metric.name), h('span', { class: 'big' }, f.value(now, metric)),
    h('span', { class: 'change' }, before !== undefined && [
      h('b', { class: sure ? judged(metric, changed.sign) : 'soft' }, sure && `${f.arrow(changed.sign)} `, changed.text), h('span', { class: 'soft' }, ` from ${f.value(before, metric)}`)]),
    spark((series.now ?? series).map(([, v]) => v), { width: 132, height: 28 }))
}

export function line(chart, page, metric, series, { address, headers }, { compared, notes, shift }) {
  const now = series.now ?? series
  const [times, values, before] = [now.map(([at]) => at), now.map(([, v]) => v), series.before?.map(([, v]) => v)]
  const width = times.length > 1 ? times[1] - times[0] : 86400e3
  const at = (i) => f.bucket(times[i], width, page.zone)
  const flagged = (i) => notes.filter((note) => Date.parse(note.at) >= times[i] && Date.parse(note.at) < times[i] + width)
  const said = (i) => `${at(i)}: ${f.value(values[i], metric)}${before ? `, before ${f.value(before[i], metric)}` : ''}${flagged(i).map((note) => `. Note: ${note.text}`).join('')}`
  const since = shift && `since ${f.weekday(Date.parse(shift.at), page.zone)}`
  chart.title(metric.name, metric.formula.includes('/') && h('small', {}, metric.formula.replace('/', ' ÷ ')))
  draw(chart.body, {
    page, metric, times, width, open: headers.get('X-Whale-Complete') === 'false', series: [{ name: metric.name, values, before }],
    shift: shift && { at: Date.parse(shift.at), text: since }, notes: notes.map(({ at, text }) => ({ at: Date.parse(at), text })),
    label: `${metric.name} from ${at(0)}, ${f.value(values[0], metric)}, to ${at(values.length - 1)}, ${f.value(values.at(-1), metric)}${shift ? `; it moved ${since}` : ''}. Arrow keys read it.`,
    details: 'chart-more', spoken: said,
    cursor: (i) => chart.at(h('span', { class: 'soft' }, at(i)), h('span', {}, h('i', { class: 'key' }), h('b', {}, f.value(values[i], metric))),
      before && h('span', {}, h('i', { class: 'key before' }), `${f.value(before[i], metric)} before`), flagsOf(flagged(i))),
    chosen: (from, to) => page.go({ view: 'compare', range: [from, to].map((ms) => f.local(ms, page.zone)).join('..') }),
  })
  const columns = ['Time', metric.name, ...(before ? ['Before'] : []), ...(notes.length ? ['Notes'] : [])]
  const row = (i) => [at(i), values[i], ...(before ? [before[i] ?? null] : []), ...(notes.length ? [flagged(i).map(({ text }) => text).join('; ')] : [])]
  const svg = questionOf('plot.svg', { ...page.asked, compare: undefined, metric: metric.formula, size: 'full', title: metric.name })
  const tag = () => graphTag(page, metric.name, { ...page.asked, metric: metric.formula })
  chart.offer({ address, svg, tag, table: () => ({ columns, rows: times.map((_, i) => row(i)) }) })
}

const rangeOf = ({ headers }) => {
  const [start, end] = (headers.get('X-Whale-Range') ?? '').split(';')[0].split('/')
  return end && { start, end }
}
