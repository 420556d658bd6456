/**
 * Keys of the page. None with Ctrl, Alt or Meta, none while typing; a reader can switch them all off (WCAG 2.1.4).
 *
 *     page.key('c', 'compare: none, before, last year', () => …)      // until the view is shown anew
 *
 * While a view loads its keys are not there yet. So a key that nobody knows waits, at most WAITING of them, until the view is shown.
 */
import { h, openDialog } from './dom.js'
import { kept } from './kept.js'

const WAITING = 8
const isOn = () => kept.get('keys') !== 'off'

export class Keys {
  #known = new Map()
  #early = null // keys that came while a view loads

  constructor() {
    addEventListener('keydown', (event) => {
      const typing = event.target.closest?.('input, textarea, select, [contenteditable], dialog')
      if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented || typing || !isOn()) return
      const known = this.#known.get(event.key)
      if (!known) {
        if (event.key.length === 1 || event.key in WRITTEN) this.#early = this.#early?.concat(event.key).slice(-WAITING) ?? null
        return
      }
      event.preventDefault()
      this.#early &&= [] // it leads elsewhere
      known.action(event)
    })
  }

  /** A view begins to load. */
  loading() { this.#early ??= [] }

  /** It is shown: those that came before it was. One of them may load another view, for which the rest waits. */
  loaded() {
    const early = this.#early ?? []
    this.#early = null
    while (early.length && !this.#early) this.#known.get(early.shift())?.action()
    this.#early?.push(...early)
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
