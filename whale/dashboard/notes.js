/** The notes of the period, and a line that writes one. Who reads may not write: then it says which key is asked for. */
import { card } from './card.js'
import { fill, h } from './dom.js'
import * as f from './format.js'

const MOST_BYTES = 500
const oneLine = (text) => text.split('\n').map(f.shown).join(' ')
const short = (text, most) => (text.length > most ? [...text].slice(0, most - 1).join('') + '…' : text)

/** For the line over a chart: the last two, cut short, and how many more there are. */
export const flagsOf = (notes) => [
  ...notes.slice(-2).map(({ text }) => h('span', { class: 'soft', title: text }, `⚑ ${short(oneLine(text), 48)}`)),
  notes.length > 2 && h('span', { class: 'soft' }, `and ${notes.length - 2} more`),
]

export const notesCard = () => card('Notes', { id: 'notes' })

/** notes: as /notes lists them, by time; the last one stands first. */
export function showNotes({ body, offer }, page, notes) {
  const said = h('p', { class: 'bad', role: 'alert' })
  const change = async (route, options) => {
    try {
      await page.ask(route, {}, options)
      await page.go({}, { step: false })
    } catch (error) {
      page.failed(error)
      said.textContent = error.problem?.status === 401 ? 'Writing a note needs the write key, and deleting one the admin key.' : error.message
    }
  }
  const text = h('input', { id: 'note-text', required: true, autocomplete: 'off', placeholder: `at most ${MOST_BYTES} bytes` })
  const at = h('input', { id: 'note-at', autocomplete: 'off', size: 16, placeholder: new Date().toISOString().slice(0, 16).replace('T', ' ') })
  const write = (event) => {
    event.preventDefault()
    const over = new TextEncoder().encode(text.value.trim()).length - MOST_BYTES
    if (over > 0) return void (said.textContent = `A note has at most ${MOST_BYTES} bytes: this one is ${over} bytes too long.`)
    change('notes', { method: 'POST', body: { text: text.value, at: at.value || null, pk: page.state.pk } })
  }
  const asks = ({ currentTarget: button }, id) => {
    if (button.dataset.sure) change(`notes/${encodeURIComponent(id)}`, { method: 'DELETE' })
    else button.textContent = button.dataset.sure = 'Delete it?'
  }
  const row = ({ id, at: time, text: words, pk }) => h('li', {},
    h('span', { class: 'soft' }, f.bucket(Date.parse(time), 60_000, page.zone)), h('span', { title: words }, short(oneLine(words), 160)),
    !pk && h('span', { class: 'soft' }, 'of all'),
    h('button', { class: 'plain', 'aria-label': `Delete the note ${words}`, onclick: (event) => asks(event, id) }, 'Delete'))
  fill(body, notes.length > 0 && h('ul', { class: 'notes' }, notes.toReversed().map(row)),
    h('form', { class: 'write', onsubmit: write }, h('label', { for: 'note-text' }, 'An event'), text,
      h('label', { for: 'note-at' }, 'at, in UTC (empty: now)'), at, h('button', {}, 'Write')), said)
  offer({ table: () => ({ columns: ['Time', 'Note', 'Id'], rows: notes.map((note) => [note.at, note.text, note.id]) }) })
}
