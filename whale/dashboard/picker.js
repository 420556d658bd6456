/**
 * Where to? What is typed finds pks that begin so, the most hit first, and values of the dimension that have it in their name.
 * A combobox with a list, as ARIA has it: the field keeps the focus, arrows move, Enter opens, Esc gives up.
 */
import { fill, h, openDialog } from './dom.js'
import { named, number, pathOf, shown, title } from './format.js'

const [MOST, MOST_VALUES] = [50, 20]
/** Pks that hold the counters of decisions: the decisions view reports them. */
export const OWN = ['decisions', 'off-policy']

/** The first pks and their hits of today: [{ pk, hits }, …], the most hit first. */
export async function pksOf(ask, prefix = '') {
  const { answer } = await ask('pks', { prefix: prefix || undefined, limit: MOST, counts: true })
  const pks = answer.map(({ pk, hits_today: hits }) => ({ pk: pathOf(pk), hits }))
  return pks.filter(({ pk }) => !OWN.includes(pk[0])).sort((a, b) => b.hits - a.hits)
}

/** { dim, values } of the dimension that is shown, else of the first one. */
async function valuesOf({ ask, state }) {
  if (!state.pk.length) return { values: [] }
  const below = async (dimension) => (await ask('subdimensions', { pk: state.pk, dimension })).answer.map((text) => pathOf(text).at(-1))
  const dim = state.dim || (await below())[0]
  return { dim, values: dim ? await below([dim]) : [] }
}

export function pick(page) {
  const list = h('div', { id: 'found', class: 'pks', role: 'listbox', 'aria-label': 'Pks and values' })
  const count = h('p', { class: 'sr', role: 'status' })
  const field = h('input', {
    type: 'search', role: 'combobox', 'aria-label': 'Name of a pk or value', placeholder: 'Name of a pk or value', 'aria-controls': 'found',
    'aria-expanded': true, 'aria-autocomplete': 'list', autocomplete: 'off', oninput: () => search(),
  })
  let [asked, found, values] = [new AbortController(), [], null]
  let [searching, hurried] = [false, false] // hurried: Enter came before what it is about

  const option = (text, more, to) => {
    const element = h('div', { id: `found-${found.length}`, role: 'option', 'aria-selected': false, onclick: () => open(to) },
      text, more && h('span', { class: 'soft' }, more))
    found.push({ element, to })
    return element
  }
  const group = (name, options) => options.length > 0 &&
    h('div', { role: 'group', 'aria-label': name }, h('p', { class: 'soft', 'aria-hidden': 'true' }, name), options)
  function move(to) {
    const at = found.length ? (to + found.length) % found.length : -1
    found.forEach(({ element }, i) => element.setAttribute('aria-selected', i === at))
    if (at < 0) return field.removeAttribute('aria-activedescendant')
    field.setAttribute('aria-activedescendant', found[at].element.id)
    found[at].element.scrollIntoView({ block: 'nearest' })
  }
  const chosen = () => found.findIndex(({ element }) => element.getAttribute('aria-selected') === 'true')
  function open(to) {
    dialog.close()
    page.go(to)
  }
  async function search() {
    asked.abort()
    asked = new AbortController()
    const { signal } = asked
    searching = true
    const ask = (route, parameters) => page.ask(route, parameters, { signal })
    const text = field.value.trim()
    try {
      const [pks, { dim, values: all }] = await Promise.all([pksOf(ask, text), text ? (values ??= valuesOf(page)) : { values: [] }])
      if (signal.aborted) return
      const some = all.filter((value) => value.toLowerCase().includes(text.toLowerCase())).slice(0, MOST_VALUES)
      found = []
      fill(list,
        group('Pks', pks.map(({ pk, hits }) => option(named(pk), `${number(hits)} today`, { pk }))),
        group(title(shown(dim ?? '')), some.map((value) => option(shown(value), '', { view: 'breakdown', dim, at: [dim, value] }))))
      count.textContent = found.length ? `${found.length} found` : 'Nothing has this name.'
      count.classList.toggle('sr', found.length > 0)
      move(0)
      searching = false
      if (hurried && found.length) open(found[0].to)
      hurried = false
    } catch (error) { if (!signal.aborted) fill(list, error.message) }
  }
  field.addEventListener('keydown', (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    if (event.key === 'Enter' && searching) hurried = true
    else if (event.key === 'Enter' && found[chosen()]) open(found[chosen()].to)
    if (event.key === 'Escape') dialog.close() // else a field of this type would only be emptied
    if (!step) return
    event.preventDefault()
    move(chosen() + step)
  })
  const close = h('form', { method: 'dialog' }, h('button', {}, 'Close'))
  const dialog = openDialog({ class: 'pick', 'aria-label': 'Pick a pk', onclose: () => asked.abort() }, field, count, list, close)
  search()
}
