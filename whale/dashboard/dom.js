/**
 * Elements, made without markup: the policy of the page refuses all that parses text as HTML.
 *
 *     h('button', { class: 'tile', 'aria-pressed': true, onclick: choose }, 'Visits', h('b', {}, '87.2 k'))
 *
 * A child is a node or text; lists are taken apart; null, undefined, false and '' are left out. An attribute that is null,
 * undefined or false is left out; true is the empty one, except for aria-*, where it is the word. There is no `style`: the
 * policy forbids it, so sizes that depend on data are attributes of SVG. In a text what cannot be seen is written out: names come from strangers.
 */
import { visible } from './format.js'

export const h = (tag, attributes, ...children) => built(document.createElement(tag), attributes, children)

/** The same for SVG. */
export const svg = (tag, attributes, ...children) => built(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children)

function built(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value)
    else if (name.startsWith('aria-') && value != null) element.setAttribute(name, value)
    else if (value != null && value !== false) element.setAttribute(name, value === true ? '' : value)
  }
  element.append(...kept(children))
  return element
}

const kept = (children) => children.flat(Infinity).filter((child) => child != null && child !== false && child !== '')
  .map((child) => (typeof child === 'string' ? visible(child) : child))

/** Replaces all that is in `place`; what had the focus has it again, if its `id` or its name is there again. */
export function fill(place, ...children) {
  const { activeElement } = place.getRootNode() // of the page, or of an element with a tree of its own
  const name = place.contains(activeElement) && nameOf(activeElement)
  place.replaceChildren(...kept(children))
  const [same, other] = name ? [...place.querySelectorAll(activeElement.localName)].filter((each) => nameOf(each) === name) : []
  if (!other) same?.focus({ preventScroll: true })
  return place
}
const nameOf = ({ id, ariaLabel, localName, textContent }) => id || ariaLabel || (localName === 'button' && textContent)

/** Opens a dialog, which is gone once it is shut. within: and once this is gone. */
export function openDialog({ within = document.body, ...attributes }, ...children) {
  const dialog = h('dialog', attributes, ...children)
  dialog.addEventListener('close', () => dialog.remove())
  within.append(dialog)
  dialog.showModal()
  return dialog
}

/** choices: [[value, text], …]. */
export const select = (attributes, choices, chosen, choose = () => {}) =>
  h('select', { ...attributes, onchange: ({ target }) => choose(target.value) },
    choices.map(([value, text]) => h('option', { value, selected: value === chosen }, text)))

/** The head of a table: [[text, class], …]. What has no text heads no column. */
export const headOf = (...columns) => h('thead', {}, h('tr', {}, columns.filter(Boolean).map(([text, name]) =>
  (text ? h('th', { scope: 'col', class: name }, text) : h('td', { class: name })))))

/** A table that may be wider or longer than its place, scrolled by keys too. */
export const scroller = (label, ...children) => h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': label }, children)

/** Says something to whoever listens instead of looking. */
export const say = (text) => (document.getElementById('spoken').textContent = text)

/** Puts text into the clipboard; where a page may not do that (plain http on another host), shows it to be copied by hand. */
export async function copy(text, name) {
  try {
    await navigator.clipboard.writeText(text)
    toast(`Copied: ${name}`)
  } catch {
    const field = Object.assign(h('textarea', { readonly: true, rows: 4, 'aria-label': name }), { value: text }) // as it is
    openDialog({ 'aria-label': `Copy: ${name}` }, field, h('form', { method: 'dialog' }, h('button', {}, 'Close')))
    field.select()
  }
}

/** A text to take along, with its button. */
export const copied = (name, text) => h('div', { class: 'copied' }, h('pre', { tabindex: 0 }, text),
  h('button', { type: 'button', onclick: () => copy(text, name), 'aria-label': `Copy: ${name}` }, 'Copy'))

/** Hands a file to the reader. */
export function download(name, type, text) {
  const address = URL.createObjectURL(new Blob([text], { type }))
  h('a', { href: address, download: name }).click()
  setTimeout(() => URL.revokeObjectURL(address), 1000)
}

function toast(text) {
  document.querySelector('.toast')?.remove()
  const shown = h('p', { class: 'toast', role: 'status' }, text)
  document.body.append(shown)
  setTimeout(() => shown.remove(), 2500)
}
