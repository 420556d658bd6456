/** The view that opens first: totals, and the line of the one that is chosen. */
import { card } from '../card.js'
import { draw } from '../chart.js'
import { fill, h } from '../dom.js'
import * as f from '../format.js'
import { spark } from '../figures.js'
import { judged } from '../metrics.js'

const PERIODS = [['today', 'Today', 't'], ['1d:1w', '7 days', 'w'], ['1d:1mo', '30 days', 'm'], ['1w:1y', '12 months', 'y']]
const MOST_TILES = 6

export async function show(place, page) {
  const { state } = page
  const metrics = await page.metrics()
  const tiles = state.tiles.length ? state.tiles : metrics.names.slice(0, MOST_TILES)
  const chosen = state.metric || tiles[0] || 'hits'
  const shown = [...new Set([...tiles, chosen])].map((formula) => metrics.of(formula))
  const parts = place.parts ?? (place.parts = build(place, page))
  PERIODS.forEach(([period, label, key]) => page.key(key, label, () => page.go({ period, range: '' })))
  shown.slice(0, 9).forEach(({ formula }, i) => page.key(String(i + 1), 'tile', () => page.go({ metric: formula })))
  fill(parts.periods, PERIODS.map(([period, label]) =>
    h('button', { id: `period-${period.replace(':', '-')}`, 'aria-pressed': period === state.period, onclick: () => page.go({ period, range: '' }) }, label)))

  await parts.chart.during(async () => {
    const question = { pk: state.pk, metrics: shown.map(({ formula }) => formula), period: state.period, compare: state.compare === 'none' ? undefined : state.compare, tz: state.tz || undefined, undefined: 'null' }
    const [totals, points] = await Promise.all([page.ask('totals', question), page.ask('plotpoints', question)])
    const total = Object.values(totals.answer)[0]
    const series = points.answer.paths?._ ?? points.answer._
    fill(parts.range, rangeText(total.compared, page.zone))
    fill(parts.tiles, shown.map((metric) => tile(page, metric, (total.paths ?? total)._[metric.formula], series[metric.formula], metric.formula === chosen)))
    line(parts.chart, page, metrics.of(chosen), series[chosen], points, total.compared)
  })
}

function build(place, page) {
  const periods = h('div', { class: 'periods', role: 'group', 'aria-label': 'Period' })
  const range = h('p', { class: 'range' })
  const tiles = h('section', { class: 'tiles', 'aria-label': 'Totals' })
  const chart = card(page, '', { id: 'chart', height: 'chart', main: true })
  fill(place, h('h1', { class: 'sr' }, 'Overview'), h('div', { class: 'when' }, periods, range), tiles, chart.element)
  return { periods, range, tiles, chart }
}

function rangeText(compared, zone) {
  if (!compared) return ''
  const { now, before, complete } = compared
  const span = ({ start, end }, name) => `${name(Date.parse(start), zone)} – ${name(Date.parse(end) - 1, zone)}`
  const until = complete ? '' : `, until ${f.clock(Date.parse(now.end), zone)} ${zone}`
  return `${span(now, f.weekday)}${until} · compared with ${span(before, f.day)}${complete ? '' : ', until the same time'}`
}

function tile(page, metric, total, series, pressed) {
  const { now, before } = total && typeof total === 'object' ? total : { now: total }
  const changed = f.change(now, before, metric)
  return h('button', { class: 'tile', id: `tile-${metric.formula}`, 'aria-pressed': pressed, title: f.full(now), onclick: () => page.go({ metric: metric.formula }) },
    h('span', { class: 'name' }, metric.name), h('span', { class: 'big' }, f.value(now, metric)),
    h('span', { class: 'change' }, before !== undefined && [h('b', { class: judged(metric, changed.sign) }, `${f.arrow(changed.sign)} ${changed.text}`), h('span', { class: 'soft' }, ` from ${f.value(before, metric)}`)]),
    spark((series.now ?? series).map(([, v]) => v), { width: 132, height: 28 }))
}

function line(chart, page, metric, series, { address }, compared) {
  const now = series.now ?? series
  const [times, values, before] = [now.map(([at]) => at), now.map(([, v]) => v), series.before?.map(([, v]) => v)]
  const width = times.length > 1 ? times[1] - times[0] : 86400e3
  const at = (i) => f.bucket(times[i], width, page.zone)
  chart.title(metric.name, metric.formula.includes('/') && h('small', {}, metric.formula))
  draw(chart.body, {
    page, metric, times, width, open: compared ? !compared.complete : true, series: [{ name: metric.name, values, before }],
    label: `${metric.name} from ${at(0)}, ${f.value(values[0], metric)}, to ${at(values.length - 1)}, ${f.value(values.at(-1), metric)}.`, details: 'chart-more',
    cursor: (i) => chart.at(h('span', { class: 'soft' }, at(i)), h('span', {}, h('i', { class: 'key' }), h('b', {}, f.value(values[i], metric))), before && h('span', {}, h('i', { class: 'key before' }), `${f.value(before[i], metric)} before`)),
    spoken: (i) => `${at(i)}: ${f.value(values[i], metric)}`,
    chosen: (from, to) => page.go({ view: 'compare', range: `${iso(from)}..${iso(to)}` }),
  })
  chart.offer({ address, table: () => ({ columns: ['Time', metric.name, ...(before ? ['Before'] : [])], rows: times.map((_, i) => [at(i), values[i], ...(before ? [before[i] ?? null] : [])]) }) })
}

const iso = (at) => new Date(at).toISOString().slice(0, 16)
