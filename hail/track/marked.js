/**
 * Clicks and more on marked elements, also on those that come later; and links that leave the site or load a file.
 *
 * A field's value is told when it loses the focus, only where `data-trackr-value` asks for it, and never that of a password, a card, or
 * what a person does not see. No key is ever looked at. A marked link is counted once, as an element.
 */
import { options } from './options.js'
import { on } from './page.js'
import { hit } from './pages.js'

const SECRET = /pass|pwd|card|cc-|cv|token|one-time/i
const FILE = /\.(pdf|zip|gz|dmg|exe|(doc|xls|ppt)x?|csv|mp[34])$/i
const RIGHT = 2
const secrets = new WeakSet() // a field may show its password after it had the focus

options.trackrClass = '.track-it, .trackit'

const happened = ({ type: what, target, relatedTarget, button }) => {
  if (!target.closest || button == RIGHT) return
  const element = target.closest(options.trackrClass), a = /click/.test(what) && target.closest('a[href]')
  const { trackrType: type, trackrLabel: label, trackrPosition: position, trackrValue } = element ? element.dataset : {}
  if (type && label && position) {
    if (SECRET.test([element.type, element.name, element.id, element.autocomplete])) secrets.add(element)
    const value = what == 'blur' && trackrValue != null && !secrets.has(element) ? element.value : undefined
    if (!element.contains(relatedTarget)) hit('element', { type, label, position, on: what.replace('aux', ''), value })
  } else if (a && options.outbound && a.host && a.host != location.host) hit('outbound', { to: a.host + a.pathname })
  else if (a && options.downloads && FILE.test(a.pathname)) hit('download', { file: a.pathname })
}

export const marks = () => {
  if (/^[\w-]+$/.test(options.trackrClass)) options.trackrClass = '.' + options.trackrClass
  document.querySelector(options.trackrClass) // throws where it is none
  on('mouseover focus blur click auxclick', happened)
}
