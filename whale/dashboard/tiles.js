/** Which totals are shown. The address says it, else what this browser keeps for the pk, else a guess from the metrics. */
import { Refused } from './api.js'
import { fill, h } from './dom.js'
import { refused } from './states.js'

const MOST = 6
const kept = (pk) => `hailwhale.tiles.${JSON.stringify(pk)}`

/** { tiles: [formula, …], chosen }. */
export function tilesOf(page, metrics) {
  const { state } = page
  const saved = (localStorage.getItem(kept(state.pk)) ?? '').split(',').filter(Boolean)
  const tiles = state.tiles.length ? state.tiles : saved.length ? saved : guessed(metrics)
  return { tiles, chosen: state.metric || tiles.find((formula) => formula.includes('/')) || tiles[0] }
}

/** The first count, the last one (the deepest step, since metrics are in the order in which they were first counted), their ratio; money; the rest. */
function guessed(metrics) {
  const known = metrics.names.map((name) => metrics.of(name))
  const counts = known.filter(({ unit, kind }) => unit === 'count' && (kind ?? 'sum') === 'sum').map(({ formula }) => formula)
  const base = counts.find((name) => name !== 'hits') ?? 'hits'
  const goal = counts.at(-1)
  const first = goal && goal !== base ? [base, goal, `${goal}/${base}`] : [base]
  const money = known.filter(({ unit, better }) => unit === 'money' && better === 'up').map(({ formula }) => formula)
  const rest = metrics.names.filter((name) => name !== 'hits')
  return [...new Set([...first, ...money, ...rest, 'hits'])].slice(0, Math.max(3, Math.min(MOST, rest.length + 1)))
}

/** A dialog: what is shown, and one more, a metric or a formula. Whale says what is wrong with it. */
export function edit(page, metrics) {
  let { tiles } = tilesOf(page, metrics)
  const list = h('ul', { class: 'chosen' })
  const wrong = h('div', {})
  const field = h('input', { id: 'formula', list: 'formulas', 'aria-describedby': 'formula-help', autocomplete: 'off', required: true })
  const listed = () => fill(list, tiles.map((formula, i) => h('li', {}, metrics.of(formula).name, ' ', h('code', { class: 'soft' }, formula),
    h('button', { id: `remove-${i}`, 'aria-label': `Remove ${formula}`, onclick: () => { tiles = tiles.filter((each) => each !== formula); listed() } }, 'Remove'))))
  const add = async (event) => {
    event.preventDefault()
    try {
      await page.ask('total', { pk: page.state.pk, metric: field.value, period: 'today' })
      tiles = [...new Set([...tiles, field.value.trim()])].slice(-9)
      field.value = ''
      fill(wrong)
      listed()
    } catch (error) {
      if (error instanceof Refused) fill(wrong, refused(error))
    }
  }
  const save = () => {
    localStorage.setItem(kept(page.state.pk), tiles.join(','))
    page.go({ tiles, metric: tiles.includes(page.state.metric) ? page.state.metric : '' })
  }
  const dialog = h('dialog', { 'aria-labelledby': 'tiles-title' }, h('h2', { id: 'tiles-title' }, 'Totals to show'), list,
    h('form', { class: 'stacked', onsubmit: add }, h('label', { for: 'formula' }, 'A metric, or a formula such as orders/visits'), h('div', { class: 'ways' }, field, h('button', {}, 'Add')), wrong,
      h('datalist', { id: 'formulas' }, metrics.names.map((name) => h('option', { value: name })))),
    h('form', { method: 'dialog' }, h('button', { onclick: save }, 'Show these'), h('button', {}, 'Cancel')))
  listed()
  dialog.addEventListener('close', () => dialog.remove())
  document.body.append(dialog)
  dialog.showModal()
}
