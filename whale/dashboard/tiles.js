/** Totals: which are shown, how one looks, and the dialog that changes them. */
import { Refused } from './api.js'
import { fill, h, openDialog } from './dom.js'
import { spark } from './figures.js'
import * as f from './format.js'
import { kept } from './kept.js'
import { inFormula } from './metrics.js'
import { changeOf } from './rows.js'
import { neverCounted, refused } from './states.js'

const [LEAST, MOST, MOST_CHOSEN] = [3, 6, 9]
const nameOf = (pk) => `tiles.${JSON.stringify(pk)}`

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

/** A dialog: all that are shown, and one more, a metric or a formula. Whale says what is wrong with it. */
export function edit(page, metrics) {
  let [{ tiles }, adding] = [tilesOf(page, metrics), null]
  const [list, wrong] = [h('ul', { class: 'chosen' }), h('div', {})]
  const field = h('input', { id: 'formula', list: 'formulas', autocomplete: 'off', required: true })
  const removing = (formula) => () => relist(tiles.filter((each) => each !== formula))
  const relist = (chosen) => {
    tiles = chosen
    fill(list, tiles.map((formula) => h('li', {}, metrics.of(formula).name, h('code', { class: 'soft' }, formula),
      tiles.length > 1 && h('button', { 'aria-label': `Remove ${formula}`, onclick: removing(formula) }, 'Remove'))))
  }
  const add = async () => {
    const formula = field.value.trim()
    try {
      const { unknown: [misspelt] } = await page.ask('total', { pk: page.state.pk, metric: formula, period: 'today' }, { quiet: true })
      if (misspelt) return void fill(wrong, neverCounted(misspelt), misspelt.near && ` Did you mean ${f.shown(misspelt.near)}?`)
      relist([...new Set([...tiles, formula])].slice(-MOST_CHOSEN))
      field.value = ''
      fill(wrong)
    } catch (error) { if (error instanceof Refused) fill(wrong, refused(error)) }
  }
  const show = async (event) => {
    event.preventDefault()
    await adding // what was given just before
    dialog.close()
    kept.set(nameOf(page.state.pk), tiles.join(','))
    page.go({ tiles, metric: tiles.includes(page.state.metric) ? page.state.metric : '' })
  }
  relist(tiles)
  const dialog = openDialog({ 'aria-labelledby': 'tiles-title' }, h('h2', { id: 'tiles-title' }, 'Totals'), list,
    h('form', { class: 'stacked', onsubmit: (event) => { event.preventDefault(); adding = add() } },
      h('label', { for: 'formula' }, 'One more: a metric, or a formula such as orders/visits'),
      h('div', { class: 'ways' }, field, h('button', {}, 'Add')), wrong,
      h('datalist', { id: 'formulas' }, metrics.names.map((name) => h('option', { value: name })))),
    h('form', { method: 'dialog' }, h('button', { onclick: show }, 'Show these'), h('button', {}, 'Cancel')))
}
