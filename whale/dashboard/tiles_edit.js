/** The dialog that changes the totals of the overview. It comes once it is asked for. */
import { Refused } from './api.js'
import { fill, h, openDialog } from './dom.js'
import * as f from './format.js'
import { kept } from './kept.js'
import { neverCounted, refused } from './states.js'
import { MOST_CHOSEN, nameOf, tilesOf } from './tiles.js'

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
