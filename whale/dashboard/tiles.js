/** Totals: which are shown, and how one looks. */
import { h } from './dom.js'
import { spark } from './figures.js'
import * as f from './format.js'
import { kept } from './kept.js'
import { inFormula } from './metrics.js'
import { changeOf } from './rows.js'

const [LEAST, MOST] = [3, 6]
export const MOST_CHOSEN = 9
export const nameOf = (pk) => `tiles.${JSON.stringify(pk)}`

/** { tiles: [formula, …], shown, chosen }: as the address says it, else as this browser keeps it for the pk, else guessed; with their keys. */
export function tilesOf(page, metrics) {
  const { state } = page
  const saved = kept.get(nameOf(state.pk)).split(',').filter(Boolean)
  const tiles = [state.tiles, saved].find((list) => list.length) ?? guessed(metrics)
  page.beside = { tiles }
  const chosen = state.metric || tiles.find((formula) => formula.includes('/')) || tiles[0]
  const shown = [...new Set([...tiles, chosen])]
  shown.slice(0, MOST_CHOSEN).forEach((formula, i) => page.key(String(i + 1), 'a total', () => page.go({ metric: formula, by: '' })))
  return { tiles, shown, chosen }
}

/**
 * The first count, the last one, and their ratio; then money, then the rest. Metrics are in the order in which they were first
 * counted, so the last count is the deepest step: visits, orders, orders per visit. Whoever counts may name a metric anything, and
 * takes nothing away from the others: what a question would read as JSON is not guessed, and what no formula can hold is no part of one.
 * How long and how much of a page was seen, and hits that a page lost, which the tracker sends, are no steps.
 */
function guessed(metrics) {
  const known = metrics.names.filter((name) => !/^[\s[{]/.test(name)).map((name) => metrics.of(name))
  const isStep = ({ unit, kind, formula }) => unit === 'count' && kind === 'sum' && !/(_ms|_pct|^lost)$/.test(formula)
  const counts = known.filter(isStep).map(({ formula }) => formula)
  const [base, goal] = [counts.find((name) => name !== 'hits') ?? 'hits', counts.at(-1) ?? 'hits']
  const parts = [goal, base].map(inFormula)
  const first = goal === base ? [base] : [base, goal, parts.every(Boolean) && parts.join('/')].filter(Boolean)
  const money = known.filter(({ unit, better }) => unit === 'money' && better === 'up').map(({ formula }) => formula)
  const rest = known.map(({ formula }) => formula).filter((name) => name !== 'hits')
  return [...new Set([...first, ...money, ...rest, 'hits'])].slice(0, Math.max(LEAST, Math.min(MOST, rest.length + 1)))
}

/**
 * total: a number, or { now, before }.  series: points, or { now: points, before: points }.
 * since: the first day with a count, where that came within the period before; then there is nothing to compare with.
 */
export function tile(page, metric, total, series, { pressed, since, choose = () => page.go({ metric: metric.formula }) }) {
  const { now, before } = total && typeof total === 'object' ? total : { now: total }
  return h('button', { class: 'tile', id: `tile-${metric.formula}`, 'aria-pressed': pressed, title: f.full(now), onclick: choose },
    h('span', { class: 'name' }, metric.name), h('span', { class: 'big' }, f.value(now, metric)),
    h('span', { class: 'change' }, since ? h('span', { class: 'soft' }, `counted since ${f.day(Date.parse(since), 'UTC')}`) : before !== undefined && [
      changeOf(metric, { now, before }, { z: sureness(series) }), h('span', { class: 'soft' }, ` from ${f.value(before, metric)}`)]),
    spark((series.now ?? series).map(([, v]) => v), { width: 132, height: 28 }))
}

/** How sure a change is, in standard deviations: from the buckets of both periods, pair by pair. */
function sureness(series) {
  const pairs = (series.now ?? []).map(([, v], i) => v - (series.before[i]?.[1] ?? v)).filter(Number.isFinite)
  const mean = pairs.reduce((sum, v) => sum + v, 0) / pairs.length
  const variance = pairs.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (pairs.length - 1)
  return pairs.length < 7 || !variance ? 0 : mean / Math.sqrt(variance / pairs.length)
}
