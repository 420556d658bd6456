/** A stretch against as long before: which values explain the change, by parts that add up to it; what may be chance is grey. */
import { card } from '../card.js'
import { fill, h, headOf } from '../dom.js'
import { bar } from '../figures.js'
import * as f from '../format.js'
import { showLine } from '../line.js'
import { judged } from '../metrics.js'
import { empty } from '../states.js'
import { tilesOf } from '../tiles.js'
import { whenBar } from '../when.js'
import { isSure, plainParts, pointsOf } from './changed.js'

const MOST = 8

export async function show(place, page) {
  const shown = place.shown ?? build(place, page)
  const when = whenBar(page)
  fill(shown.when, when.element)
  const metrics = await page.metrics()
  const { tiles, chosen } = tilesOf(page, metrics)
  const metric = metrics.of(chosen)
  const asked = { ...page.asked, compare: page.asked.compare ?? 'previous' }
  fill(shown.tiles, tiles.map((formula) =>
    h('button', { id: `of-${formula}`, 'aria-pressed': formula === chosen, onclick: () => page.go({ metric: formula }) }, metrics.of(formula).name)))
  page.key('Escape', 'back to the overview', () => page.go({ view: 'overview', range: '' }))

  await Promise.all([
    shown.chart.during(async () => {
      const points = await page.ask('plotpoints', { ...asked, metrics: [chosen], undefined: 'null' })
      when.says(points.answer.compared)
      showLine(shown.chart, page, metric, points)
    }),
    shown.parts.during(async () => {
      const explained = await page.ask('factors', { ...asked, metric: chosen, limit: MOST, paths: 'list' })
      const { answer } = explained
      const most = Math.max(...answer.dimensions.flatMap(({ rows }) => rows.map(({ part }) => Math.abs(part)))) // one scale for all bars
      fill(shown.parts.body, lead(page, metric, answer), answer.dimensions.map((dimension) => table(page, metric, dimension, { change: answer.change, most })))
      shown.parts.offer({ address: explained.address, table: () => plainParts(answer) })
    }),
  ])
}

function build(place, page) {
  const [when, tiles] = [h('div', { class: 'keep-when' }), h('div', { class: 'periods of', role: 'group', 'aria-label': 'Number' })]
  const chart = card('Over time', { id: 'chart', height: 'chart' })
  const parts = card('What explains the change', { id: 'parts', height: 'page', main: true })
  fill(place, h('h1', { class: 'sr' }, 'Compare'), when, tiles, chart.element, parts.element)
  return (place.shown = { when, tiles, chart, parts })
}

function lead(page, metric, { now, before, change, why, nearest, dimensions }) {
  const moved = f.change(now, before, metric)
  const verb = change ? (change < 0 ? 'fell' : 'rose') : 'stayed'
  return [h('p', { class: 'lead' }, `${metric.name} ${verb} from ${f.value(before, metric)} to `, h('b', {}, f.value(now, metric)),
    change ? ` (${moved.text}).` : '.',
    dimensions.length > 0 && ' Each table has all of the change, cut by one dimension. Grey may be chance.',
    !page.state.range && ' Drag over the line to explain a stretch of it.'), why && empty(why, nearest?.period && h('code', {}, nearest.period))]
}

const KINDS = { other: 'other names, folded', ended: 'no further', without: 'without it', overlap: 'counted in several' }

function table(page, metric, { dimension, rows, closes }, { change, most }) {
  const points = pointsOf(metric)
  const title = f.title(f.named(dimension))
  const name = ({ kind, path, values }) => kind === 'rest' ? `${f.number(values)} more ${values === 1 ? 'value' : 'values'}`
    : KINDS[kind] ?? h('a', { href: page.link({ view: 'breakdown', dim: path[0], at: path }) }, f.shown(path.at(-1)))
  const mostly = ({ path, because }) => because?.slice(-1).map((deep) =>
    `, mostly ${f.named(deep.path.slice(path.length))}: ${f.value(deep.before, metric)} to ${f.value(deep.now, metric)}`)
  const there = (v) => (v == null ? -1 : Number(v !== 0))
  const fate = ({ now, before }) => ['went', '', 'came'][Math.sign(there(now) - there(before)) + 1]
  return h('table', { class: 'rows explains' }, h('caption', { class: 'sr' }, `${title}: parts of the change`),
    headOf([title], ['Before', 'n wide-only'], ['Now', 'n wide-only'], [''], [metric.unit === 'share' ? 'Points' : 'Part', 'n']),
    h('tbody', {}, rows.map((row) => {
      const sure = isSure(row)
      return h('tr', { class: sure ? 'sure' : 'chance' },
        h('th', { scope: 'row' }, name(row), h('span', { class: 'soft' }, mostly(row)), fate(row) && h('span', { class: 'badge good' }, fate(row))),
        h('td', { class: 'n wide-only' }, f.value(row.before, metric)), h('td', { class: 'n wide-only' }, f.value(row.now, metric)),
        h('td', {}, bar(row.part / most, { tone: sure ? judged(metric, row.part) || 'bad' : 'chance' })),
        h('td', { class: `n ${sure ? judged(metric, row.part) : 'soft'}`, title: f.full(row.part) }, points(row.part)))
    })),
    h('tfoot', {}, h('tr', {}, h('th', { scope: 'row' }, closes ? 'All of the change' : 'The change; hits count in several of these'),
      h('td', { class: 'wide-only' }), h('td', { class: 'wide-only' }), h('td', {}), h('td', { class: 'n', title: f.full(change) }, points(change)))))
}
