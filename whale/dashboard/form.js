/**
 * A form in a dialog, for what changes something. It keeps all that was typed until Whale has taken it: a refusal stands in it,
 * and the field that it is about has the focus.
 *
 *     openForm(place, { title: 'Add a user', action: 'Add', fields: [text('name', 'Name')], send: async ({ name }) => … })
 *
 * A field is { name, element, control, read }. send: rejects where it is refused; else the form shuts.
 */
import { Away } from './api.js'
import { fill, h, openDialog, select } from './dom.js'

/** hint: below it.  read: what it says. */
function field(name, label, control, hint, read = () => control.value) {
  const id = `field-${name}`
  control.id = id
  if (hint) control.setAttribute('aria-describedby', `${id}-hint`)
  const element = h('div', { class: 'field' }, h('label', { for: id }, label), control, hint && h('p', { class: 'soft', id: `${id}-hint` }, hint))
  return { name, element, control, read }
}

export const text = (name, label, value = '', { hint, ...attributes } = {}) =>
  field(name, label, h('input', { value, autocomplete: 'off', spellcheck: 'false', ...attributes }), hint)
export const choice = (name, label, choices, chosen, hint) => field(name, label, select({}, choices, chosen), hint)

export function number(name, label, value, hint) {
  const control = h('input', { type: 'number', value, required: true })
  return field(name, label, control, hint, () => Number(control.value))
}

/** A list, one in a line. */
export function lines(name, label, values = [], hint = '') {
  const control = Object.assign(h('textarea', { rows: 3, spellcheck: 'false' }), { value: values.join('\n') }) // as they are
  return field(name, label, control, hint, () => control.value.split('\n').map((line) => line.trim()).filter(Boolean))
}

export function tick(name, label, checked) {
  const control = h('input', { type: 'checkbox', checked })
  return { name, control, element: h('label', { class: 'field ticked' }, control, ' ', label), read: () => control.checked }
}

/** A choice for each of several names: { name: chosen }. */
export function choices(name, label, parts) {
  const control = h('fieldset', { tabindex: -1 }, h('legend', {}, label), parts.map((part) => part.element))
  return { name, control, element: control, read: () => Object.fromEntries(parts.map((part) => [part.name, part.read()])) }
}

export function openForm(place, { title, action, says, fields = [], send }) {
  const said = h('p', { class: 'bad', role: 'alert', id: 'form-said' })
  const submit = async (event) => {
    event.preventDefault()
    if (form.ariaBusy) return
    form.ariaBusy = 'true'
    fill(said)
    fields.forEach(({ control }) => control.removeAttribute('aria-invalid'))
    try {
      await send(Object.fromEntries(fields.map(({ name, read }) => [name, read()])))
      dialog.close()
    } catch (error) {
      const about = fields.find(({ name }) => name === error.problem?.field?.split('.')[0])?.control
      about?.setAttribute('aria-invalid', 'true')
      about?.focus()
      fill(said, wordsOf(error))
    }
    form.ariaBusy = null
  }
  const form = h('form', { class: 'stacked', onsubmit: submit }, h('h2', { id: 'form-title' }, title), says && h('p', {}, says),
    fields.map(({ element }) => element), said,
    h('p', { class: 'ways' }, h('button', {}, action), h('button', { type: 'button', autofocus: !fields.length, onclick: () => dialog.close() }, 'Cancel')))
  const dialog = openDialog({ within: place, 'aria-labelledby': 'form-title' }, form)
}

function wordsOf(error) {
  if (error instanceof Away) return 'Whale did not answer. It may be done all the same: look at the list before you send it again.'
  if (error.problem?.status === 401) return 'Whale no longer lets you in. Log in again in another tab, then send this once more.'
  return error.message
}
