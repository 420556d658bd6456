/**
 * Options of the chart of the overview, as the address has them:
 *
 *     split, top     the largest values of a dimension, and `other`, which closes
 *     also, second   metrics beside it on the same axis; one on an axis of its own
 *     area, stacked, shares, running, ma7, nights
 *
 * An option that makes no sense for the lines has no control, and is not drawn.
 */
import { keyOf } from './chart.js'
import { download, h, select, svg } from './dom.js'
import * as f from './format.js'
import { untilNow } from './line.js'
import { MOST_PARTS, SAYS, allowed, faintOf, over, partsOfWhole, sumsOf } from './lines.js'

const [DAY, MOST_METRICS] = [86400e3, 6]
const [SHAPES, SUMS] = [['area', 'stacked', 'shares'], ['running', 'ma7']]

/** The metrics that are drawn: the chosen one, and those beside it; second: with an axis of its own. */
function metricsOf({ split, also, second }, known, chosen) {
  if (split) return [chosen]
  const other = second && second !== chosen.formula ? [{ ...known.of(second), second: true }] : []
  const beside = also.filter((formula) => formula !== chosen.formula).map((formula) => known.of(formula)).filter(({ unit }) => unit === chosen.unit)
  return [chosen, ...beside.slice(0, MOST_METRICS - 1 - other.length), ...other]
}

/** The lines that the address asks for, as showLine draws them. */
export async function linesOf(page, known, chosen, split = page.state.split) {
  const { state, state: { chart } } = page
  const metrics = metricsOf({ ...state, split }, known, chosen)
  const { has, unused } = allowed(chart, metrics, known, Boolean(split))
  const [top, sums, several] = [Number(state.top), split ? sumsOf(chosen, known) : [], split || metrics.filter(({ second }) => !second).length > 1]
  const form = (formula) => over(formula, has, known)
  const asked = [...new Set([...sums.toReversed(), ...metrics.map(({ formula }) => formula)])].map(form) // by the first one Whale orders the values of a tag
  const below = split && { dimensions: JSON.stringify([split]), depth: 1, limit: top + 1, sort: `-${sums[1] ?? chosen.formula}` }
  const points = await page.ask('plotpoints', { ...page.asked, ...below, ...(several && { compare: undefined }), metrics: asked, undefined: 'null', paths: 'list' })
  if (split && points.answer.length < 2) return linesOf(page, known, chosen, '') // Whale does not know it: the page says so
  const numbers = (list) => untilNow(list, points).map(([, v]) => v)
  const rows = (points.answer.paths ?? points.answer).map(({ path, metrics: of }) => ({ path, of: (formula) => numbers(of[form(formula)].now ?? of[form(formula)]), all: of }))
  const [whole, first] = [rows[0], rows[0].all[form(chosen.formula)]]
  const times = untilNow(first.now ?? first, points).map(([at]) => at)
  const parts = split && partsOfWhole(rows, chosen.formula, { sums, top, shares: has('shares') })
  const plain = metrics.map((metric, i) => ({ name: metric.name, values: whole.of(metric.formula), second: metric.second && metric, before: !i && first.before && numbers(first.before) }))
  const isStacked = has('stacked') && parts.closes
  const words = ['stacked', 'shares', ...SUMS].filter((word) => (word === 'stacked' ? isStacked : has(word)))
  const refused = [...unused, has('stacked') && !isStacked && 'stacked', ...['second', 'also'].filter((name) => ![state[name]].flat().every((each) => !each || metrics.some(({ formula }) => formula === each)))].filter(Boolean)
  return {
    points, times, metric: has('shares') ? { unit: 'share' } : chosen, series: split ? parts.series : plain, all: parts?.all, stacked: isStacked, area: has('area'),
    most: isStacked && has('shares') ? 1 : null, faint: has('nights') && faintOf((times[1] ?? times[0] + DAY) - times[0], page.zone),
    says: [split && `by ${f.title(f.shown(split)).toLowerCase()}`, ...words.map((word) => SAYS[word]), ...refused.map((word) => `not ${SAYS[word]}`), parts && !parts.closes && 'values overlap'].filter(Boolean),
    tag: { // the metrics that it needs, and its attributes
      metrics: asked, metric: JSON.stringify([chosen.formula]), ...(split && { dimensions: JSON.stringify([split]), depth: 1, limit: top, other: '' }),
      ...Object.fromEntries([...SHAPES, ...SUMS, 'nights'].filter(has).map((word) => [word, ''])),
      also: !split && JSON.stringify(metrics.slice(1).filter(({ second }) => !second).map(({ formula }) => formula)), 'metric-two': metrics.find(({ second }) => second)?.formula,
    },
    picture: (plot, title, lines) => download(`${title}.svg`, 'image/svg+xml', picture(plot, title, lines)),
  }
}

/** What the reader can choose, for these lines. formulas: of the metrics there are.  width: of a bucket. */
export function controls(page, known, chosen, { dims, formulas, width }) {
  const { state, state: { split, chart, also, second } } = page
  const { can } = allowed(chart.filter((word) => word !== 'ma7'), metricsOf(state, known, chosen), known, Boolean(split))
  const others = formulas.filter((formula) => formula !== chosen.formula).map((formula) => known.of(formula))
  const choice = (id, label, value, choices, changes) => choices.length > 1 && h('p', { class: 'choice' },
    h('label', { class: 'soft', for: `option-${id}` }, label), select({ id: `option-${id}` }, choices, value, (to) => page.go(changes(to))))
  const tick = (id, label, checked, changes) => h('label', { class: 'tick' }, h('input', { type: 'checkbox', id: `option-${id}`, checked, onchange: ({ target }) => page.go(changes(target.checked)) }), label)
  const of = (group) => [group.filter((word) => can[word] && chart.includes(word)).join(' '), (value) => ({ chart: [...chart.filter((word) => !group.includes(word)), ...value.split(' ').filter(Boolean)] })]
  const [shape, reshape] = of(SHAPES)
  const [sum, resum] = of(SUMS)
  const shapes = can.stacked ? [['', 'lines'], ['stacked', 'stacked'], ['shares', 'shares'], ['stacked shares', 'shares, stacked']] : can.area ? [['', 'line'], ['area', 'area']] : []
  const alike = split ? [] : others.filter(({ unit, formula }) => unit === chosen.unit && formula !== second).slice(0, 8)
  return [
    choice('split', 'Lines', split, [['', 'one'], ...dims.map((dim) => [dim, `by ${f.title(f.shown(dim)).toLowerCase()}`])], (to) => ({ split: to, top: String(MOST_PARTS), second: '', also: [] })),
    split && choice('top', 'Largest', state.top, [...new Set(['3', '5', state.top, String(MOST_PARTS)])].sort((a, b) => a - b).map((many) => [many, `${many} and other`]), (top) => ({ top })),
    choice('shape', 'Drawn as', shape, shapes, reshape),
    choice('sum', 'Numbers', sum, [['', 'of each bucket'], ...(can.ma7 ? [['ma7', 'mean of 7 buckets']] : []), ...(can.running ? [['running', 'running total']] : [])], resum),
    !split && choice('second', 'Second axis', second, [['', 'none'], ...others.map(({ formula, name }) => [formula, name])], (to) => ({ second: to, also: also.filter((each) => each !== to) })),
    alike.length > 0 && h('fieldset', {}, h('legend', { class: 'soft' }, 'Beside it'), alike.map(({ formula, name }) =>
      tick(`also-${formula}`, name, also.includes(formula), (on) => ({ also: on ? [...also, formula].slice(1 - MOST_METRICS) : also.filter((each) => each !== formula) })))),
    width < 1.1 * DAY && tick('nights', width < DAY / 2 ? 'Nights and week-ends faint' : 'Week-ends faint', chart.includes('nights'), (on) => ({ chart: [...chart.filter((word) => word !== 'nights'), ...(on ? ['nights'] : [])] })),
    (split || second || also.length > 0 || chart.length > 0) && h('button', { id: 'option-none', onclick: () => page.go({ split: '', top: String(MOST_PARTS), second: '', also: [], chart: [] }) }, 'One plain line'),
  ]
}

/** The chart as it stands there, with its title and names, as SVG. */
function picture(plot, title, lines) {
  const { over, data, root, width } = plot
  const [top, foot, columns] = [34, 34 + plot.height, Math.max(1, Math.floor(width / 180))]
  const height = foot + 20 * Math.ceil(lines.length / columns) + 8
  const token = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim()
  const x = (v) => (over.offsetLeft + plot.valToPos(v, 'x')).toFixed(1)
  const y = (v, scale) => (top + over.offsetTop + plot.valToPos(v, scale)).toFixed(1)
  const text = (words, left, base, more) => svg('text', { x: left, y: base, fill: token('soft'), 'font-size': 12, ...more }, words)
  const [days, ...axes] = plot.axes
  const ruled = axes.flatMap(({ _splits, _values, scale, side }) => _splits.flatMap((v, i) => [
    side !== 1 && svg('path', { d: `M${over.offsetLeft} ${y(v, scale)}h${over.clientWidth}`, stroke: token('line') }),
    text(_values[i], side === 1 ? over.offsetLeft + over.clientWidth + 6 : over.offsetLeft - 6, +y(v, scale) + 4, { 'text-anchor': side === 1 ? 'start' : 'end' }),
  ]))
  const drawn = plot.series.slice(1).flatMap((each, n) => {
    const [values, stroke] = [data[n + 1], each.stroke(plot, n + 1)]
    const runs = values.reduce((found, v, i) => (v == null ? found : values[i - 1] == null ? [...found, [i]] : [...found.slice(0, -1), [...found.at(-1), i]]), [])
    return runs.flatMap((run) => {
      const line = `M${run.map((i) => `${x(data[0][i])} ${y(values[i], each.scale)}`).join('L')}`
      const area = each.fill?.(plot, n + 1) && `${line}L${x(data[0][run.at(-1)])} ${y(0, each.scale)}L${x(data[0][run[0]])} ${y(0, each.scale)}Z`
      return [area && svg('path', { d: area, fill: token('card') }), area && svg('path', { d: area, fill: stroke, 'fill-opacity': 0.22 }),
        svg('path', { d: run.length > 1 ? line : `${line}h0`, fill: 'none', stroke, 'stroke-width': run.length > 1 ? each.width : 5, 'stroke-dasharray': each.dash?.join(' '), 'stroke-linecap': run.length > 1 ? null : 'round' })]
    })
  })
  const names = lines.flatMap((each, i) => {
    const [left, base] = [12 + (i % columns) * 180, foot + 14 + 20 * Math.floor(i / columns)]
    const key = keyOf(each, i)
    const look = { stroke: token(`series-${key.getAttribute('class').at(-1)}`), 'stroke-width': 2, 'stroke-dasharray': key.firstChild.getAttribute('stroke-dasharray') }
    return [svg('path', { d: `M${left} ${base - 4}h22`, ...look }), text(each.name, left + 28, base, { fill: token('ink') })]
  })
  return new XMLSerializer().serializeToString(svg('svg', { viewBox: `0 0 ${width} ${height}`, width, height, role: 'img', 'aria-label': title, 'font-family': 'Inter, system-ui, sans-serif' },
    svg('rect', { width, height, fill: token('card') }), text(title, 12, 22, { fill: token('ink'), 'font-weight': 600, 'font-size': 14 }), ruled, drawn,
    days._splits.map((v, i) => text(days._values[i], x(v), foot - 8, { 'text-anchor': 'middle' })), names))
}
