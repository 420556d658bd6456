/**
 * Keys of the page. None with Ctrl, Alt or Meta, none while typing; a reader can switch them all off (WCAG 2.1.4).
 *
 *     page.key('c', 'compare: none, before, last year', () => …)      // until the view is shown anew
 */
import { h, openDialog } from './dom.js'
import { kept } from './kept.js'

const isOn = () => kept.get('keys') !== 'off'

export class Keys {
  #known = new Map()

  constructor() {
    addEventListener('keydown', (event) => {
      const typing = event.target.closest?.('input, textarea, select, [contenteditable], dialog')
      if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented || typing || !isOn()) return
      const known = this.#known.get(event.key)
      if (!known) return
      event.preventDefault()
      known.action(event)
    })
  }

  /** signal: the key is free again when it ends. */
  add(names, says, action, signal) {
    for (const name of [names].flat()) {
      this.#known.set(name, { says, action })
      signal?.addEventListener('abort', () => this.#known.get(name)?.action === action && this.#known.delete(name), { once: true })
    }
  }

  /** All of them, in a dialog, with the switch. */
  show() {
    const lines = Map.groupBy(this.#known, ([, { says }]) => says)
    const rows = [...lines].map(([says, keys]) => h('div', {}, h('dt', {}, keys.map(([name]) => h('kbd', {}, WRITTEN[name] ?? name))), h('dd', {}, says)))
    const box = h('input', { type: 'checkbox', id: 'keys-on', checked: isOn(), onchange: () => kept.set('keys', box.checked ? 'on' : 'off') })
    openDialog({ 'aria-labelledby': 'keys-title' }, h('h2', { id: 'keys-title' }, 'Shortcuts'), h('dl', { class: 'keys' }, rows),
      h('form', { method: 'dialog' }, h('label', {}, box, ' Shortcuts are on'), h('button', {}, 'Close')))
  }
}
const WRITTEN = { ArrowLeft: '←', ArrowRight: '→' }
