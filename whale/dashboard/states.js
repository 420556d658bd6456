/** What is shown where there are no numbers: nothing counted, refused, away. None of it throws. */
import { Away, Refused, key } from './api.js'
import { h } from './dom.js'
import * as f from './format.js'

/** Whatever the card, the whole page is refused: its period or zone is no good. */
export const isOfAll = ({ problem }) => problem?.code === 'bad_period' && !/^(compare|sets|segment)/.test(problem.field)

/** A name that Whale does not know: { kind, name, near }. */
export const neverCounted = ({ kind, name }) => `${kind === 'metric' ? `The metric ${f.shown(name)}` : f.named(f.pathOf(name))} was never counted.`

/** Nothing there: what was asked, and ways on: children, e.g. a button. */
export const empty = (text, ...ways) => h('div', { class: 'state' }, h('p', {}, text), ways.some(Boolean) && h('p', { class: 'ways' }, ...ways))

/** Whale's own words; a formula that cannot be read with the ^ under its fault; seconds counted down. again: asks once more. */
export function refused(error, again, signal) {
  if (error instanceof Away) return h('div', { class: 'state' }, h('p', {}, 'Whale does not answer.'))
  if (!(error instanceof Refused)) return h('div', { class: 'state bad' }, h('p', {}, `This page is at fault: ${error.message}`))
  if (error.problem.status === 401) return keyField(again)
  const [said, ...lines] = error.message.split('\n')
  return h('div', { class: 'state' },
    h('p', {}, said), lines.length > 0 && h('pre', { class: 'formula' }, lines.join('\n')),
    error.problem.code && h('p', { class: 'soft' }, h('code', {}, error.problem.code)),
    error.retryAfter ? countdown(error.retryAfter, again, signal) : null)
}

function countdown(seconds, again, signal) {
  const text = h('p', { class: 'soft' })
  const tick = () => {
    if (signal?.aborted) return
    if (seconds <= 0) return void again()
    text.textContent = `Asked again in ${seconds} s.`
    seconds -= 1
    setTimeout(tick, 1000)
  }
  tick()
  return text
}

/** One field for the key; it stays in this tab's sessionStorage. name: of the key that opens it. */
export function keyField(again, name = 'read') {
  const field = h('input', { type: 'password', name: 'key', autocomplete: 'off', required: true, id: 'key' })
  const given = (event) => {
    event.preventDefault()
    key.keep(field.value)
    again()
  }
  return h('form', { class: 'state', onsubmit: given },
    h('label', { for: 'key' }, key.get() ? `This key does not open it. The ${name} key:` : `Whale asks for the ${name} key:`),
    h('p', { class: 'ways' }, field, h('button', {}, 'Open')),
    h('p', { class: 'soft' }, 'It is kept in this tab only.'))
}
