/** Dimensions as tabs in the head of a card: arrows move between them, [ and ] from anywhere. panel: the id of the element that they fill. */
import { h } from './dom.js'
import * as f from './format.js'

export function tabs(page, card, dims, dim, { panel, step = false }) {
  const at = dims.indexOf(dim)
  const go = (to) => page.go({ dim: dims[(to + dims.length) % dims.length], at: [], offset: '' }, { step })
  page.key('[', 'the dimension before', () => go(at - 1))
  page.key(']', 'the dimension after', () => go(at + 1))
  const steer = (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key]
    if (!by) return
    event.preventDefault()
    go(at + by)
    document.getElementById(`dim-${(at + by + dims.length) % dims.length}`).focus()
  }
  card.at(h('div', { class: 'tabs', role: 'tablist', 'aria-label': 'Dimension' }, dims.map((name, i) => h('button', {
    id: `dim-${i}`, role: 'tab', 'aria-selected': name === dim, 'aria-controls': panel, tabindex: i === Math.max(0, at) ? 0 : -1,
    onclick: () => go(i), onkeydown: steer,
  }, f.title(f.shown(name))))))
}

/** The dimensions of the pk, each by its name. */
export const dimensionsOf = async (page, pk = page.state.pk) => (await page.ask('subdimensions', { pk, paths: 'list' })).answer.map(([name]) => name)
