/**
 * Lines over time, drawn by uPlot (a plain script before this one, so that it stays as its author packed it).
 *
 *     draw(chart.body, {
 *       page, metric,                                  // metric: as metrics.js describes it; the unit of the axis
 *       times: [ms, …], width: 86400e3,                // starts of the buckets; how long one is
 *       series: [{ name, values, before, width, second, colour }],   // 1 to 11; null is a gap; before: the other period, by position, dotted;
 *                                                      // width: of the line, 2 px, or 1 where points lie close; second: the metric, of one that has an axis of its own;
 *                                                      // colour: 1 to 6, where it is not that of its place; 6 is grey
 *       open: true,                                    // the last bucket is not over: dashed
 *       area: false,                                   // the first one is filled down to 0
 *       stacked: false,                                // each stands on the one before it, all filled
 *       most: 1,                                       // the end of the axis, where that is known
 *       faint: (ms) => …,                              // buckets whose ground is darker: nights
 *       shift: { at: ms, text: 'since Thu 19 Nov' },   // a mark from there to the end
 *       notes: [{ at: ms, text }],                     // flags at the top edge
 *       label: 'Conversion by day: …', details: 'id',  // the sentence for who cannot see it; the id of its table
 *       cursor: (i) => …,                              // the bucket under the cursor, by mouse and by keys; the last one at first
 *       say: (text) => …,                              // says the value at the cursor, where the page has no place for that
 *       chosen: (from, to) => …,                       // a stretch was dragged, or selected by Shift and arrows and Enter: ms, half-open
 *     })
 *
 * Drawing again into the same place replaces the chart. Until then it stays, also while Whale is away; it ends when it leaves the page.
 */
import { fill, h, say, svg } from './dom.js'
import { clock, day, ticks } from './format.js'

const CLOSE = 2 // px between points, below which a thick line hides its own turns and takes four times as long to paint
const DASHES = [[], [8, 3], [3, 3], [10, 3, 2, 3], [1, 3], [6, 6], [14, 4], [5, 2, 2, 2], [2, 6], [12, 3, 3, 3, 3, 3], [4, 2]]
const colourOf = ({ colour }, i) => colour ?? (i % 5) + 1
/** A piece of its line, for a legend. */
export const keyOf = (each, i) => pieceOf(colourOf(each, i), DASHES[i])
export const pieceOf = (name, dash) => svg('svg', { class: `key key-${name}`, width: 22, height: 4, 'aria-hidden': true }, svg('path', { d: 'M0 2h22', 'stroke-dasharray': dash.join(' ') }))
const SECONDS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200,
  ...[1, 10, 100, 1e3, 1e4].flatMap((days) => [1, 2, 5].map((each) => each * days * 86400))] // steps of an axis of durations
const drawn = new WeakMap()

export function draw(place, chart) {
  drawn.get(place)?.()
  const box = h('div', {
    class: 'plot', id: `${place.id}-plot`, tabindex: 0, role: 'img', 'aria-label': chart.label, 'aria-details': chart.details,
  })
  fill(place, box)
  const columns = columnsOf(box, chart)
  const plot = new uPlot({ ...optionsOf(box, chart), series: [{}, ...columns.map(({ column, ...look }) => look)] }, [chart.times.map((at) => at / 1000), ...columns.map(({ column }) => column)], box)
  const repaint = () => plot.redraw(false)
  const resize = new ResizeObserver(() => { // it tells too when the box is gone
    if (!box.isConnected) end()
    else if (box.clientWidth) plot.setSize({ width: box.clientWidth, height: box.clientHeight })
  })
  const end = () => (resize.disconnect(), document.removeEventListener('theme', repaint), plot.destroy(), drawn.delete(place))
  resize.observe(box)
  drawn.set(place, end)
  document.addEventListener('theme', repaint) // main.js says so
  box.addEventListener('keydown', steering(plot, chart))
  chart.cursor?.(chart.times.length - 1)
  return plot
}

/** A colour as it is around an element: in the page, or in a graph within another page. */
const token = (element, name) => getComputedStyle(element).getPropertyValue(name).trim()
const colourIn = (element) => (name) => () => token(element, name)

/**
 * uPlot's columns with their looks, the undermost first: of each series what is over, what is still open, and the one before.
 * In a stack the last series lies undermost, so that each covers the foot of those above it.
 */
function columnsOf(box, { times, series, open, stacked, area }) {
  const last = times.length - 1
  const colour = colourIn(box)
  const tint = (name) => () => `color-mix(in srgb, ${token(box, name)} 22%, ${token(box, '--card')})`
  const usual = times.length * CLOSE > box.clientWidth ? 1 : 2
  let foot = times.map(() => 0)
  const columns = series.map(({ values, before, width = usual, second, ...each }, i) => {
    const tops = stacked ? (foot = values.map((v, at) => (v ?? 0) + foot[at])) : values
    const name = `--series-${colourOf(each, i)}`
    const look = (stroke, more) => ({ scale: second ? 'second' : 'y', stroke: colour(stroke), width, points: { size: 5, width: 0, fill: colour(stroke), filter: lone }, ...more })
    const fill = stacked ? tint(name) : area && !i ? colour('--fill') : undefined
    return [
      look(name, { fill, dash: DASHES[i], column: open ? tops.with(last, null) : tops }),
      open && look(name, { fill, dash: [4, 4], column: tops.map((v, at) => (at >= last - 1 ? v : null)) }),
      before && look('--before', { width: 1.5, dash: [2, 3], column: times.map((_, at) => before[at] ?? null) }),
    ].filter(Boolean)
  })
  return (stacked ? columns.reverse() : columns).flat()
}

function optionsOf(box, chart) {
  const { metric, page } = chart
  const colour = colourIn(box)
  const font = `12px ${getComputedStyle(box).fontFamily}`
  const second = chart.series.find((each) => each.second)?.second
  const axis = { stroke: colour('--soft'), font, ticks: { show: false }, gap: 6 }
  const ruled = (metric, more) => ({ ...axis, size: 58, space: 44, values: (_, values) => ticks(values, metric), ...(metric.unit === 'seconds' && { incrs: SECONDS }), ...more })
  const at = (ms) => (chart.width >= 86400e3 || clock(ms, page.zone) === '00:00' ? day(ms, page.zone) : clock(ms, page.zone))
  return {
    width: box.clientWidth || 600, height: box.clientHeight || 296, padding: [14, 22, 0, 0], legend: { show: false },
    cursor: { y: false, points: { size: 7, width: 0 }, drag: { x: true, y: false, setScale: false } },
    scales: {
      x: { time: true }, y: { range: (_, least, most) => (chart.most ? [0, chart.most] : rangeOf(metric, chart.area || chart.stacked, least, most)) },
      ...(second && { second: { range: (_, least, most) => rangeOf(second, false, least, most) } }),
    },
    axes: [
      { ...axis, grid: { show: false }, size: 30, space: 76, values: (_, starts) => starts.map((s, i) => (i && at(s * 1000) === at(starts[i - 1] * 1000) ? '' : at(s * 1000))) },
      ruled(metric, { grid: { stroke: colour('--line'), width: 1 } }),
      ...(second ? [ruled(second, { scale: 'second', side: 1, grid: { show: false } })] : []),
    ],
    drawOrder: chart.stacked ? ['series', 'axes'] : ['axes', 'series'],
    hooks: {
      setCursor: [(u) => chart.cursor?.(u.cursor.idx ?? chart.times.length - 1)],
      setSelect: [(u) => {
        if (u.select.width < 4) return
        const [from, to] = [u.posToIdx(u.select.left), u.posToIdx(u.select.left + u.select.width)]
        chart.chosen?.(chart.times[from], chart.times[to] + chart.width)
      }],
      drawClear: [(u) => {
        for (const at of chart.faint ? chart.times.filter(chart.faint) : []) ground(u, '--shade', ...spanOf(u, at - chart.width / 2, at + chart.width / 2))
        if (chart.shift) ground(u, '--mark', ...spanOf(u, chart.shift.at - chart.width / 2, Infinity))
      }],
      draw: [
        (u) => (chart.notes ?? []).forEach((note) => flag(u, note)),
        (u) => chart.shift && markText(u, chart.shift, chart.width),
      ],
    },
  }
}

/** Values with nothing on either side, which no line shows. */
const lone = ({ data }, i) => data[i].flatMap((v, n, all) => (v != null && all[n - 1] == null && all[n + 1] == null ? [n] : []))

/** A ratio's axis may begin above 0; a count's and an area's does not. */
function rangeOf(metric, area, least, most) {
  if (least == null) return [0, 1]
  const free = !area && ['share', 'times', 'number'].includes(metric.unit) && least > most * 0.35
  return free ? [Math.max(0, least - (most - least) * 0.45), most + (most - least || most) * 0.12] : [Math.min(0, least * 1.08), Math.max(0, most * 1.08) || (least < 0 ? 0 : 1)]
}

/** Between two times, in pixels of the canvas; none lies outside of the plot. */
const spanOf = (u, ...times) => times.map((at) => Math.min(u.bbox.left + u.bbox.width, Math.max(u.bbox.left, Math.round(u.valToPos(at / 1000, 'x', true)))))

function ground(u, name, from, to) {
  u.ctx.fillStyle = token(u.root, name)
  u.ctx.fillRect(from, u.bbox.top, to - from, u.bbox.height)
}

/** The edge of the shift, and its text: over the grid, with a rim of the card's colour, so that no line goes through it. */
function markText(u, { at, text }, width) {
  const { ctx, bbox } = u
  const [[x], pixel] = [spanOf(u, at - width / 2), devicePixelRatio]
  ctx.save()
  Object.assign(ctx, {
    fillStyle: token(u.root, '--ink'), strokeStyle: token(u.root, '--bad'), lineWidth: pixel, lineJoin: 'round', textBaseline: 'top',
    font: `600 ${12 * pixel}px ${getComputedStyle(u.root).fontFamily}`,
  })
  ctx.setLineDash([3 * pixel, 3 * pixel])
  ctx.stroke(new Path2D(`M${x} ${bbox.top}v${bbox.height}`))
  ctx.setLineDash([])
  const right = x + ctx.measureText(text).width + 12 * pixel > bbox.left + bbox.width
  Object.assign(ctx, { strokeStyle: token(u.root, '--card'), lineWidth: 5 * pixel, textAlign: right ? 'right' : 'left' })
  const place = [text, x + (right ? -6 : 6) * pixel, bbox.top + 2 * pixel]
  ctx.strokeText(...place)
  ctx.fillText(...place)
  ctx.restore()
}

function flag(u, note) {
  const { ctx, bbox } = u
  const [x, size] = [u.valToPos(note.at / 1000, 'x', true), 5 * devicePixelRatio]
  if (x < bbox.left || x > bbox.left + bbox.width) return
  ctx.fillStyle = token(u.root, '--soft')
  ctx.fill(new Path2D(`M${x - size} ${bbox.top - 2 * size}h${2 * size}l${-size} ${2 * size}Z`))
}

/** Arrows, Home and End move the cursor; with Shift they select; Enter explains the selection; Esc gives it up. */
function steering(plot, chart) {
  let [at, from, told] = [chart.times.length - 1, null, 0]
  const select = () => {
    const [left, right] = [Math.min(at, from), Math.max(at, from)].map((i) => plot.valToPos(chart.times[i] / 1000, 'x'))
    plot.setSelect({ left, width: right - left, top: 0, height: plot.bbox.height / devicePixelRatio }, false)
  }
  return (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key]
    if (event.ctrlKey || event.altKey || event.metaKey) return
    if (step) {
      if (event.shiftKey) from ??= at
      at = Math.max(0, Math.min(chart.times.length - 1, at + step))
      plot.setCursor({ left: plot.valToPos(chart.times[at] / 1000, 'x'), top: 1 })
      if (event.shiftKey) select()
      clearTimeout(told)
      told = setTimeout(() => (chart.say ?? say)(chart.spoken?.(at) ?? ''), 400)
    } else if (event.key === 'Enter' && from != null) {
      chart.chosen?.(chart.times[Math.min(at, from)], chart.times[Math.max(at, from)] + chart.width)
    } else if (event.key === 'Escape' && from != null) {
      from = null
      plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false)
    } else return
    event.preventDefault()
    event.stopPropagation()
  }
}
