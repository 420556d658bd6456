/** Which pk? A field, and the pks that begin so, with their hits today. Arrows choose, Enter opens, Esc gives up. */
import { fill, h } from './dom.js'
import { named, number } from './format.js'

const MOST = 50
/** Pks that hold the counters of decisions: the decisions view reports them. */
export const OWN = ['decisions', 'off-policy']

/** The first pks and their hits of today: [{ pk, hits }, …], the most hit first. */
export async function pksOf(ask, prefix = '') {
  const { answer } = await ask('pks', { prefix: prefix || undefined, limit: MOST, counts: true })
  const pks = answer.map(({ pk, hits_today: hits }) => ({ pk: [pk].flat(), hits }))
  return pks.filter(({ pk }) => !OWN.includes(pk[0])).sort((a, b) => b.hits - a.hits)
}

export function pick(page) {
  const list = h('ul', { id: 'pks', class: 'pks' })
  const field = h('input', { type: 'search', 'aria-label': 'Name of a pk', 'aria-controls': 'pks', placeholder: 'Name of a pk', oninput: () => search() })
  const dialog = h('dialog', { class: 'pick', 'aria-label': 'Pick a pk' }, field, list, h('form', { method: 'dialog' }, h('button', {}, 'Close')))
  let asked = new AbortController()
  async function search() {
    asked.abort()
    asked = new AbortController()
    const { signal } = asked
    try {
      const pks = await pksOf((route, parameters) => page.ask(route, parameters, { signal }), field.value.trim())
      const rows = pks.map(({ pk, hits }) => h('li', {}, h('a', { href: page.link({ pk }) }, named(pk), h('span', { class: 'soft' }, `${number(hits)} today`))))
      fill(list, rows.length ? rows : h('li', { class: 'soft' }, 'No pk has this name.'))
    } catch (error) {
      if (!signal.aborted) fill(list, h('li', {}, error.message))
    }
  }
  dialog.addEventListener('keydown', (event) => {
    const links = [...list.querySelectorAll('a')]
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    if (event.key === 'Enter' && event.target === field) links[0]?.click()
    if (!step) return
    event.preventDefault()
    const next = links.indexOf(document.activeElement) + step
    ;(links[next] ?? (next < 0 ? field : links.at(-1)))?.focus()
  })
  dialog.addEventListener('click', (event) => event.target.closest('a') && dialog.close())
  dialog.addEventListener('close', () => (asked.abort(), dialog.remove()))
  document.body.append(dialog)
  dialog.showModal()
  search()
}
