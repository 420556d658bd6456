/**
 * A card: a heading, a fixed place for the value at the cursor, the body, and its tools.
 *
 *     const chart = card('Conversion', { id: 'chart', height: 'chart' })
 *     place.append(chart.element)
 *     await chart.during(async () => {            // keeps the old body, at 60 %, until this is done; shows a refusal in place
 *       const { answer, address } = await page.ask('plotpoints', {…})
 *       fill(chart.body, …)                        // the only place to draw into
 *       chart.at('Thu 19 Nov', '2.96 %')           // the value at the cursor; never a box over the data
 *       chart.offer({                              // what the reader can take along; leave out what there is not
 *         address,                                 // of the question: Copy curl
 *         table: () => ({ columns: ['Day', 'Visits'], rows: [['Thu 19 Nov', 3742], …] }),   // Table and CSV; numbers stay numbers
 *         tag: () => graphTag(page, {…}),          // Copy tag; may be a promise
 *         svg: '/plot.svg?…',                      // SVG
 *       })
 *     })
 *
 * `id` is unique on the page. `height` names a class in style.css (`keep-NAME`) that keeps the room before data comes.
 * The first card of a page with `main: true` is the one whose tools the keys j, x and v use.
 */
import { Away, curlOf } from './api.js'
import { current } from './current.js'
import { copy, download, fill, h, headOf, scroller } from './dom.js'
import { full } from './format.js'
import { isOfAll, refused } from './states.js'

export function card(heading, { id, height, main = false } = {}) {
  const name = h('h2', { id: `${id}-title` }, heading)
  const [at, legend, tools] = [h('p', { class: 'at' }), h('div', { class: 'legend' }), h('div', { class: 'tools' })]
  const more = h('div', { class: 'more', id: `${id}-more` })
  const body = h('div', { class: `body ${height ? 'keep-' + height : ''}`, id: `${id}-body` })
  const element = h('section', { class: 'card', id, 'aria-labelledby': `${id}-title` }, h('div', { class: 'head' }, name, at, tools), legend, body, more)
  const self = {
    element, body, tools, legend: (...children) => fill(legend, ...children),
    title: (...children) => fill(name, ...children),
    at: (...children) => fill(at, ...children),
    offer: (offers) => {
      const takes = toolsOf(() => name.textContent, () => name.firstChild.textContent, offers, more)
      const open = Boolean(tools.querySelector('.menu')?.open) // then its reader is about to choose
      fill(tools, Object.assign(menuOf(id, () => name.textContent, takes), { open }))
      if (main) current.page.tools = takes
      if (more.firstChild) takes.Table()
    },
    during: async (work) => {
      const { page } = current // a card lives on while the state changes
      element.setAttribute('aria-busy', 'true')
      try {
        await work()
      } catch (error) {
        if (error.name === 'AbortError' || page.signal.aborted) return
        if (isOfAll(error)) throw error
        if (!(error instanceof Away && body.firstChild)) fill(fill(legend) && body, refused(error, () => self.during(work), page.signal))
        page.failed(error)
      }
      element.removeAttribute('aria-busy')
    },
  }
  return self
}

/** { 'Table': action, … } of what is offered. */
function toolsOf(name, file, { address, table, tag, svg }, more) {
  const takes = {}
  if (table) {
    takes.Table = () => fill(more, tableOf(name(), table()))
    takes.CSV = () => download(`${file()}.csv`, 'text/csv', csvOf(table()))
  }
  takes['Copy link'] = () => copy(location.origin + current.page.link(current.page.beside), 'link')
  if (address) takes['Copy curl'] = () => copy(curlOf(address), 'curl')
  if (tag) takes['Copy tag'] = async () => copy(await tag(), 'tag')
  if (svg) takes.SVG = typeof svg === 'function' ? svg : () => window.open(svg, '_blank', 'noopener')
  return takes
}

const quoted = (text) => text.replace(/[&"<>]/g, (letter) => `&#${letter.charCodeAt(0)};`)

/**
 * The tag of a graph for any page: of a share, since a page must not have a key; of the question itself where Whale makes no share.
 * metrics: that it asks for.  attributes: those that are null, false or an empty list are left out.
 */
export async function graphTag(page, title, { metrics, dimensions, ...attributes }) {
  const { pk, period, tz } = page.asked
  const body = { pk, metrics, dimensions: dimensions && JSON.parse(dimensions), drill: Boolean(attributes.depth), period: tz ? `${period}|${tz}` : period }
  const made = await page.ask('shares', {}, { method: 'POST', body }).then(({ answer }) => ({ src: answer.url }), () => null)
  const all = { ...(made ?? { src: page.whale, pk: JSON.stringify(pk), period: body.period, dimensions }), title, ...attributes }
  const named = Object.entries(all).filter(([, value]) => ![null, undefined, false, '[]'].includes(value))
  const script = `<script type="module" src="${quoted(page.whale)}/hail-whale-graph.js"></script>`
  return `${script}\n<hail-whale-graph ${named.map(([name, value]) => `${name}="${quoted(String(value))}"`).join(' ')}></hail-whale-graph>`
}

function menuOf(id, name, takes) {
  const choose = (take, label) => (event) => {
    event.target.closest('details').open = false
    const shut = label === 'Table' && document.getElementById(`${id}-more`)
    if (shut && shut.firstChild) fill(shut)
    else take()
  }
  const buttons = Object.entries(takes).map(([label, take]) => h('button', { onclick: choose(take, label) }, label))
  return menu(`${id}-tools`, '⋯', `Table, files and links of ${name()}`, buttons)
}

/** What opens below its name, and shuts by Esc and by a click elsewhere. */
export function menu(id, name, label, ...choices) {
  const shutByEsc = (event) => {
    if (event.key !== 'Escape' || !opens.open) return
    opens.open = false
    opens.firstElementChild.focus()
  }
  const opens = h('details', { class: 'menu', name: 'menu', onkeydown: shutByEsc },
    h('summary', { id, 'aria-label': label }, name), h('div', { class: 'choices' }, choices))
  return opens
}

addEventListener('pointerdown', ({ target }) => {
  for (const menu of document.querySelectorAll('.menu[open]')) menu.open = menu.contains(target)
})

/** A table of columns and rows; numbers to the right, with all their digits. */
export function tableOf(caption, { columns, rows }) {
  const cell = (value, i) => {
    if (i === 0) return h('th', { scope: 'row' }, value)
    return typeof value === 'string' ? h('td', {}, value) : h('td', { class: 'n' }, full(value))
  }
  const head = headOf(...columns.map((column, i) => [column, i && typeof rows[0]?.[i] !== 'string' ? 'n' : '']))
  return scroller(`Table: ${caption}`, h('table', {}, head, h('tbody', {}, rows.map((row) => h('tr', {}, row.map(cell))))))
}

/** RFC 4180. What a spreadsheet would take for a formula gets an apostrophe, also after a separator of another country. */
export function csvOf({ columns, rows }) {
  const cell = (value) => {
    if (value == null || typeof value === 'number') return String(value ?? '')
    const guarded = String(value).replace(/^(?=[\t\r\n])|(^|[;\t\r\n])(?=[\s"\0\ufeff]*[=+\-@＝＋－＠])/g, "$1'")
    return /[",\r\n]/.test(guarded) ? `"${guarded.replaceAll('"', '""')}"` : guarded
  }
  return [columns, ...rows].map((row) => row.map(cell).join(',')).join('\r\n') + '\r\n'
}
