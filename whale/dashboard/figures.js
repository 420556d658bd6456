/** Small pictures in tiles and rows, as SVG. All are decoration: the numbers stand beside them as text. */
import { svg } from './dom.js'

function picture(width, height, name, ...parts) {
  const size = { width, height, viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: 'none' }
  return svg('svg', { ...size, class: name, 'aria-hidden': true }, ...parts)
}

/** A line of values; null is a gap. */
export function spark(values, { width = 96, height = 24 } = {}) {
  const known = values.filter((v) => v != null)
  if (known.length < 2) return picture(width, height, 'spark')
  const [pad, most, least] = [2.5, Math.max(...known), Math.min(...known)]
  const floor = Math.max(least - (most - least) * 0.35, Math.min(0, least))
  const x = (i) => +(pad + (i * (width - 2 * pad)) / (values.length - 1)).toFixed(1)
  const y = (v) => +(height - pad - ((v - floor) / (most - floor || 1)) * (height - 2 * pad)).toFixed(1)
  let line = ''
  values.forEach((v, i) => { if (v != null) line += `${i && values[i - 1] != null ? 'L' : 'M'}${x(i)} ${y(v)}` })
  const last = values.findLastIndex((v) => v != null)
  const whole = known.length === values.length
  return picture(width, height, 'spark',
    whole && svg('path', { class: 'area', d: `${line}L${x(last)} ${height}L${x(0)} ${height}Z` }),
    svg('path', { class: 'line', d: line }),
    svg('path', { class: 'dot', d: `M${x(last)} ${y(values[last])}h0` }))
}

/** A value and its interval on a scale from least to most that all rows share; the rule is the whole. far: a wider interval, thin. */
export function interval({ value, low, high, whole, far }, { least = 0, most, width = 120, height = 16 }) {
  const x = (v) => Math.max(0, Math.min(width, ((v - least) / (most - least || 1)) * width)).toFixed(1)
  const side = whole == null ? '' : high < whole ? ' below' : low > whole ? ' above' : ''
  return picture(width, height, 'interval',
    whole != null && svg('line', { class: 'whole', x1: x(whole), x2: x(whole), y1: 0, y2: height }),
    far && svg('line', { class: 'far', x1: x(far[0] ?? least), x2: x(far[1] ?? most), y1: height / 2, y2: height / 2 }),
    svg('line', { class: 'range' + side, x1: x(low), x2: x(high), y1: height / 2, y2: height / 2 }),
    svg('circle', { class: 'mid' + side, cx: x(value), cy: height / 2, r: 3.25 }))
}

/** A part, from -1 to 1, to the left or right of the middle. */
export function bar(part, { width = 72, height = 8, tone = part < 0 ? 'bad' : 'good' } = {}) {
  const length = Math.min(1, Math.abs(part || 0)) * (width / 2) // of nothing there is no part
  return picture(width, height, 'bar',
    svg('line', { class: 'whole', x1: width / 2, x2: width / 2, y1: 0, y2: height }),
    svg('rect', { class: tone, x: part < 0 ? width / 2 - length : width / 2, y: 1, width: Math.max(1, length), height: height - 2, rx: 1 }))
}
