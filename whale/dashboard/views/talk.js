/** Who is on the pages of a site now, what one of them says, and an answer. Asked every 2 s, while somebody looks. */
import { Refused } from '../api.js'
import { card } from '../card.js'
import { fill, h, say } from '../dom.js'
import * as f from '../format.js'
import { none } from '../of_site.js'
import { empty, refused } from '../states.js'
import { ofSite } from '../visiting.js'

const EVERY_MS = 2000
const NO_LIVE = 'Pages hear nothing: no live service can be found. Set HAILWHALE_LIVE_BIND or _LIVE_URL, for Hail too.'
const NOBODY = 'Nobody is there, or their pages hear no messages: they need trackr.push.js.'
const UNSURE = 'Whale did not answer. Look whether it is there before you send it again.'

export const show = ofSite('talk', 'Talk', build, draw, { period: false, segment: false })

function build(parts) {
  parts.there = card('Who is there', { id: 'there', height: 'seen' })
  parts.talk = card('Talk', { id: 'talk', height: 'few', main: true })
  parts.messages = h('ol', {})
  parts.log = h('div', { class: 'talk', role: 'log', tabindex: 0, 'aria-label': 'Messages' }, parts.messages)
  parts.said = h('p', { class: 'bad', role: 'alert' })
  const name = 'Your message'
  parts.text = h('input', { id: 'say', 'aria-label': name, placeholder: name, required: true, autocomplete: 'off' })
  parts.form = h('form', { class: 'ways' }, parts.text, h('button', {}, 'Send'))
  return h('div', { class: 'columns' }, parts.there.element, parts.talk.element)
}

async function draw({ page, parts, site }) {
  const { there, talk, messages, log, said, text, form } = parts
  const { visitor } = page.state
  const route = `push/${encodeURIComponent(site)}`
  const own = `${route}/${encodeURIComponent(visitor)}`
  const [who, one] = [() => page.ask(route, {}), (after) => page.ask(own, { after })]
  const { answer: live } = await page.ask('live_token').catch(none)
  const [listed, told] = await Promise.all([who(), visitor && one(0)])
  if (parts.of !== visitor) text.value = said.textContent = ''
  Object.assign(parts, { of: visitor, shown: '', last: 0 })
  fill(messages)
  list(page, parts, listed, live.url === null)
  talk.title('Talk', visitor && [' ', h('small', {}, f.shown(visitor))])
  talk.at(visitor && h('a', { href: page.link({ view: 'visitor', visitor }) }, 'What they did'))
  if (!visitor) return void (fill(talk.body, empty('Choose somebody who is there.')), again())
  fill(talk.body, log, form, said)
  add(told)
  form.onsubmit = async (event) => {
    event.preventDefault()
    if (form.ariaBusy) return
    form.ariaBusy = 'true'
    fill(said)
    try {
      const { answer } = await page.ask(own, {}, { method: 'POST', body: { text: text.value } })
      text.value = ''
      say(answer.reached ? 'Sent.' : 'Sent. Nobody is there: they see it on their next page.')
      add(await one(parts.last))
    } catch (error) {
      if (error.name === 'AbortError') return
      fill(said, error instanceof Refused ? error.message : UNSURE)
    } finally {
      form.ariaBusy = null
    }
  }
  again()

  function add({ answer }) {
    const isAtEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 8
    for (const { id, by, data } of answer.messages.filter(({ id }) => id > parts.last)) {
      const [who, at] = [by === 'site' ? 'You' : 'Visitor', f.clock(id, page.zone)]
      messages.append(h('li', { class: by }, h('b', {}, who), h('span', {}, textOf(data)), h('time', {}, at)))
      parts.last = id
    }
    if (isAtEnd) log.scrollTop = log.scrollHeight
    if (!messages.firstChild) fill(said, 'Nothing was said yet.').className = 'soft'
    else if (said.className === 'soft') fill(said).className = 'bad'
  }

  function again() {
    const timer = setTimeout(async () => {
      try {
        if (!document.hidden) {
          const [now, more] = await Promise.all([who(), visitor && one(parts.last)])
          list(page, parts, now, live.url === null)
          if (visitor) add(more)
        }
        again()
      } catch (error) {
        if (page.signal.aborted) return
        page.failed(error)
        if (!(error instanceof Refused) || error.problem.status > 499) return again()
        fill(there.body, refused(error, () => page.go({}, { step: false }), page.signal))
      }
    }, EVERY_MS)
    page.signal.addEventListener('abort', () => clearTimeout(timer))
  }
}

const textOf = (data) => (typeof data?.text === 'string' ? f.shown(data.text) : JSON.stringify(data))

function list(page, parts, { answer, address }, is_deaf) {
  const now = JSON.stringify([answer, parts.of])
  if (parts.shown === now) return
  parts.shown = now
  const { there } = parts
  const row = ({ visitor, pages, last }) => h('li', {},
    h('a', { href: page.link({ view: 'talk', visitor }), 'aria-current': visitor === parts.of ? 'true' : null },
      f.shown(visitor)),
    h('span', { class: 'badge' }, pages ? `${f.full(pages)} ${pages === 1 ? 'page' : 'pages'}` : 'gone'),
    last && h('span', { class: 'soft last' }, last.by === 'visitor' ? '' : 'You: ', textOf(last.data)))
  const rows = answer.rows.length ? h('ul', { class: 'seen' }, answer.rows.map(row)) : empty(NOBODY)
  fill(there.body, is_deaf && h('p', { class: 'bad' }, NO_LIVE), rows)
  there.offer({ address, table: () => ({
    columns: ['Visitor', 'Pages', 'Last', 'By', 'Message'],
    rows: answer.rows.map(({ visitor, pages, last }) =>
      [visitor, pages, last?.id ?? null, last?.by ?? '', last ? textOf(last.data) : '']),
  }) })
}
