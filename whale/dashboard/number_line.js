/** A number of visitors over time in a card, beside the period before. */
import { draw, keyOf, pieceOf } from './chart.js'
import { h } from './dom.js'
import * as f from './format.js'

const DAY = 86400e3

/** these: { address, points: [[ms, value], …] }.  those: of the period before, if it is shown. */
export function showNumber({ page, parts: { chart } }, metric, { address, points }, those) {
  const [times, values, before] = [points.map(([at]) => at), points.map(([, v]) => v), those?.points.map(([, v]) => v)]
  const [width, last] = [times.length > 1 ? times[1] - times[0] : DAY, times.length - 1]
  const [at, said] = [(i) => f.bucket(times[i], width, page.zone), (v) => f.value(v, metric)]
  chart.title(metric.name)
  draw(chart.body, {
    page, metric, times, width, series: [{ name: metric.name, values, before }], open: times[last] + width > Date.now(),
    label: `${metric.name} from ${at(0)}, ${said(values[0])}, to ${at(last)}, ${said(values[last])}`, details: 'chart-more',
    spoken: (i) => `${at(i)}, ${said(values[i])}${before ? `, before ${said(before[i])}` : ''}`,
    cursor: (i) => chart.at(h('span', { class: 'soft' }, at(i)), h('span', {}, keyOf({}, 0), h('b', {}, said(values[i]))),
      before && h('span', {}, pieceOf('before', [2, 3]), `${said(before[i])} before`)),
    chosen: (from, to) => page.go({ range: [from, to].map((ms) => f.local(ms, page.zone)).join('..'), period: '' }),
  })
  chart.offer({ address, table: () => ({
    columns: ['Time', metric.name, ...(before ? ['Before'] : [])], rows: times.map((_, i) => [at(i), values[i], ...(before ? [before[i] ?? null] : [])]),
  }) })
}
