/**
 * Options of a chart, for the page and for the element: which make sense, how Whale is asked, and the parts of a whole.
 * Sums over time are Whale's (`visits:sum`, `ma7(orders/visits)`).
 */
import * as f from './format.js'
import { inFormula, namesOf } from './metrics.js'

const DAY = 86400e3
export const MOST_PARTS = 10
export const SAYS = { area: 'an area', also: 'beside it', second: 'on a second axis', stacked: 'stacked', shares: 'shares', running: 'running total', ma7: 'mean of 7 buckets', nights: 'nights' }

/** The sums that a metric is made of: itself, the two of a ratio, or none. What was never counted reads 0, and is a sum. */
export function sumsOf({ formula, kind, plain = formula }, known) {
  const isSum = (metric) => (metric.kind ?? (/[/(:*+-]/.test(metric.plain ?? metric.formula) ? '' : 'sum')) === 'sum'
  const parts = namesOf(plain)
  if (isSum({ formula, kind, plain })) return [plain]
  return !kind && parts.length === 2 && parts.every((part) => isSum(known.of(part))) ? parts : []
}

/** Which words make sense. metrics: of the lines.  split: whether they are parts of one. */
export function allowed(words, metrics, known, split) {
  const many = metrics.map((metric) => sumsOf(metric, known).length)
  const sums = many.every((each) => each === 1)
  const can = {
    area: !split && metrics.filter(({ second }) => !second).length === 1, stacked: split && sums, shares: split && sums,
    running: sums && !words.includes('ma7'), ma7: many.every(Boolean), nights: true,
  }
  return { can, has: (word) => can[word] && words.includes(word), unused: words.filter((word) => can[word] === false) }
}

/** A formula over time. Names that are no plain words stand in quotes. */
export function over(formula, has, known) {
  const plain = (known.has(formula) ? [formula] : namesOf(formula)).map((name) => (known.has(name) ? inFormula(name) ?? name : name)).join('/')
  return has('ma7') ? `ma7(${plain})` : has('running') ? `${plain}:sum` : formula
}

/**
 * Parts of a whole as lines, with `other` last: of a ratio the ratio of its two remainders. Where parts overlap, or are no sums, there is none.
 * rows: [{ path, of: (formula) => numbers }], the whole first.
 */
export function partsOfWhole([whole, ...below], formula, { sums, top = MOST_PARTS, shares }) {
  const kept = below.filter(({ path }) => path.at(-1) !== '__other__').slice(0, top)
  const [rest = [], under] = sums.map((each) => {
    const lists = kept.map(({ of }) => of(each))
    return whole.of(each).map((all, i) => lists.reduce((left, list) => left - (list[i] ?? 0), all ?? 0)).map((v, i) => (Math.abs(v) < 1e-9 * Math.abs(whole.of(each)[i] || 1) ? 0 : v))
  })
  const series = kept.map(({ path, of }) => ({ name: f.shown(path.at(-1)), values: of(formula) }))
  const closes = ![...rest, ...(under ?? [])].some((v) => v < 0)
  if (closes && (under ?? rest).some(Boolean)) series.push({ name: 'other', values: under ? rest.map((v, i) => (under[i] ? v / under[i] : null)) : rest, colour: 6 })
  const all = whole.of(formula)
  if (shares) for (const each of series) each.values = each.values.map((v, i) => (all[i] ? (v ?? 0) / all[i] : null))
  return { series, closes, all: shares ? null : all }
}

/** Buckets of the night and of the week-end; none where a bucket is longer than a day. */
export const faintOf = (width, zone) => width < 1.1 * DAY && ((ms) => {
  const hour = Number(f.clock(ms, zone).slice(0, 2))
  return /^S/.test(f.weekday(ms, zone)) || (width < DAY / 2 && (hour < 6 || hour >= 22))
})
