/** One metric over time in a card: now, the period before, the shift and the notes; its table, CSV and picture. */
import { questionOf } from './api.js'
import { graphTag } from './card.js'
import { draw } from './chart.js'
import { h } from './dom.js'
import * as f from './format.js'
import { flagsOf } from './notes.js'

const DAY = 86400e3

/** points: of /plotpoints.  compared: of /totals, where there is another period.  notes: of /notes.  shift: of /shifts. */
export function showLine(chart, page, metric, points, { notes = [], shift } = {}) {
  const { answer, address, headers } = points
  const series = (answer.paths?._ ?? answer._)[metric.formula]
  const now = series.now ?? series
  const [times, values, before] = [now.map(([at]) => at), now.map(([, v]) => v), series.before?.map(([, v]) => v)]
  const width = times.length > 1 ? times[1] - times[0] : DAY
  const at = (i) => f.bucket(times[i], width, page.zone)
  const valueAt = (list, i) => f.value(list[i], metric)
  const within = (i) => ({ at }) => Date.parse(at) >= times[i] && Date.parse(at) < times[i] + width
  const notesAt = (i) => notes.filter(within(i))
  const since = shift && `since ${f.weekday(Date.parse(shift.at), page.zone)}`
  const last = times.length - 1

  chart.title(metric.name, metric.formula.includes('/') && h('small', {}, metric.formula.replace('/', ' ÷ ')))
  draw(chart.body, {
    page, metric, times, width, open: headers.get('X-Whale-Complete') === 'false', series: [{ name: metric.name, values, before }],
    shift: shift && { at: Date.parse(shift.at), text: since }, notes: notes.map(({ at, text }) => ({ at: Date.parse(at), text })),
    label: `${metric.name} from ${at(0)}, ${valueAt(values, 0)}, to ${at(last)}, ${valueAt(values, last)}${since ? `; ${since}` : ''}`,
    details: 'chart-more',
    spoken: (i) => [at(i), valueAt(values, i), before && `before ${valueAt(before, i)}`, ...notesAt(i).map(({ text }) => text)].filter(Boolean).join(', '),
    cursor: (i) => chart.at(h('span', { class: 'soft' }, at(i)), h('span', {}, h('i', { class: 'key' }), h('b', {}, valueAt(values, i))),
      before && h('span', {}, h('i', { class: 'key before' }), `${valueAt(before, i)} before`),
      flagsOf(notesAt(i))),
    chosen: (from, to) => page.go({ view: 'compare', range: [from, to].map((ms) => f.local(ms, page.zone)).join('..') }),
  })
  const columns = ['Time', metric.name, ...(before ? ['Before'] : []), ...(notes.length ? ['Notes'] : [])]
  const row = (_, i) => [at(i), values[i], ...(before ? [before[i] ?? null] : []), ...(notes.length ? [notesAt(i).map(({ text }) => text).join('; ')] : [])]
  chart.offer({
    address,
    svg: questionOf('plot.svg', { ...page.asked, compare: undefined, metric: metric.formula, size: 'full', title: metric.name }),
    tag: () => graphTag(page, metric.name, { ...page.asked, metric: metric.formula }),
    table: () => ({ columns, rows: times.map(row) }),
  })
}
