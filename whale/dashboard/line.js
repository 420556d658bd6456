/** One metric over time in a card: now, the period before, the shift and the notes; its table, CSV and picture. Or more lines, by options. */
import { questionOf } from './api.js'
import { graphTag } from './card.js'
import { draw, keyOf, pieceOf } from './chart.js'
import { h } from './dom.js'
import * as f from './format.js'
import { flagsOf } from './notes.js'

const DAY = 86400e3

/**
 * points: of /plotpoints.  lines: what the options make of them instead (options.js).  notes: of /notes.  shift: of /shifts.
 * Gives how long a bucket is.
 */
export function showLine(chart, page, metric, points, { notes = [], shift, lines = plain(points, metric) } = {}) {
  const { address, headers } = lines.points
  const { times, series, all, metric: axis } = lines
  const [width, last, [{ before }]] = [times.length > 1 ? times[1] - times[0] : DAY, times.length - 1, series]
  const at = (i) => f.bucket(times[i], width, page.zone)
  const valueAt = (each, i) => f.value(each.values[i], each.second || axis)
  const notesAt = (i) => notes.filter(({ at }) => Date.parse(at) >= times[i] && Date.parse(at) < times[i] + width)
  const since = shift && `since ${f.weekday(Date.parse(shift.at), page.zone)}`
  const shown = (i) => (series.length > 1 ? series.map((each) => `${each.name} ${valueAt(each, i)}`).join('; ') : valueAt(series[0], i))
  const title = [metric.name, ...lines.says].join(', ')
  const asText = (i) => notesAt(i).map(({ text }) => text)

  const small = [metric.formula.includes('/') && metric.formula.replace('/', ' ÷ '), ...lines.says].filter(Boolean).join(' · ')
  chart.title(metric.name, small && h('small', {}, small))
  const plot = draw(chart.body, {
    ...lines, page, width, open: headers.get('X-Whale-Complete') === 'false',
    shift: shift && { at: Date.parse(shift.at), text: since }, notes: notes.map(({ at, text }) => ({ at: Date.parse(at), text })),
    label: `${metric.name} from ${at(0)}, ${shown(0)}, to ${at(last)}, ${shown(last)}${since ? `; ${since}` : ''}`,
    details: 'chart-more',
    spoken: (i) => [at(i), shown(i), before && `before ${f.value(before[i], axis)}`, ...asText(i)].filter(Boolean).join(', '),
    cursor: (i) => {
      const legend = series.map((each, n) => h('span', {}, keyOf(each, n), series.length > 1 && h('span', { class: 'name', title: each.name }, each.name), h('b', {}, valueAt(each, i))))
      chart.at(h('span', { class: 'soft' }, at(i)), series.length === 1 && legend, all && h('span', {}, 'All ', h('b', {}, f.value(all[i], axis))),
        before && h('span', {}, pieceOf('before', [2, 3]), `${f.value(before[i], axis)} before`), flagsOf(notesAt(i)))
      chart.legend(series.length > 1 && legend)
    },
    chosen: (from, to) => page.go({ view: 'compare', range: [from, to].map((ms) => f.local(ms, page.zone)).join('..') }),
  })
  const more = [before && ['Before', (i) => before[i] ?? null], all && ['All', (i) => all[i]], notes.length && ['Notes', (i) => asText(i).join('; ')]].filter(Boolean)
  chart.offer({
    address, svg: lines.picture ? () => lines.picture(plot, title, series) : lines.svg(page),
    tag: () => graphTag(page, title, lines.tag),
    table: () => ({
      columns: ['Time', ...series.map(({ name }) => name), ...more.map(([name]) => name)],
      rows: times.map((_, i) => [at(i), ...series.map(({ values }) => values[i]), ...more.map(([, of]) => of(i))]),
    }),
  })
  return width
}

/** Without buckets that are to come: a range may end later than now. */
export const untilNow = (list, { asOf }) => list.filter(([at]) => at <= Date.parse(asOf))

/** The metric, beside the period before. */
function plain(points, metric) {
  const series = (points.answer.paths?._ ?? points.answer._)[metric.formula]
  const now = untilNow(series.now ?? series, points)
  const [times, values, before] = [now.map(([at]) => at), now.map(([, v]) => v), series.before?.map(([, v]) => v)]
  const svg = (page) => questionOf('plot.svg', { ...page.asked, compare: undefined, metric: metric.formula, size: 'full', title: metric.name })
  return { points, times, metric, series: [{ name: metric.name, values, before }], says: [], svg, tag: { metrics: [metric.formula], metric: JSON.stringify([metric.formula]), area: '' } }
}
