/** The first minute of a site: the tag to copy, and what arrives meanwhile; then the view fills itself. */
import { copied, fill, h } from './dom.js'
import * as f from './format.js'
import { watch } from './stream.js'
import { turnedAway } from './views/first.js'

const [MOST, SOON_MS, ASK_MS] = [5, 1500, 5000]

export function showFirst({ page, parts, site, asked: { pk } }) {
  const { account } = document.documentElement.dataset
  const began = (parts.began ??= Date.now())
  const [waits, state, events] = [h('p', { class: 'waits' }), h('p', { class: 'soft' }), parts.events ??= h('ol', { class: 'events' })]
  const named = (name) => name.replace(/[&"<>]/g, (letter) => `&#${letter.charCodeAt(0)};`)
  const tag = `<script defer data-account="${named(account)}" data-site="${named(site)}" src="${page.hail}/js/trackr.js"></script>`
  fill(parts.first, h('section', { class: 'card first', 'aria-labelledby': 'first-title' },
    h('h1', { id: 'first-title' }, `Count the pages of ${f.shown(site)}`),
    h('p', {}, 'Put this line into the head of each page:'), copied('tag', tag),
    h('p', { class: 'soft' }, 'The site must be open, and list the address of the pages: ', h('a', { href: page.link({ view: 'access' }) }, 'Access'), '. ',
      'hailwhale check and the address of a page say what is still missing.'), waits, state, events))
  const wait = () => fill(waits, `Waiting for the first page view, for ${f.duration(Math.round((Date.now() - began) / 1000))}.`)
  const look = () => document.hidden || page.ask('events', { pk, period: 'today' }, { quiet: true }).then(({ answer }) =>
    answer.events.some(({ event }) => event === 'pageview') && page.go({}, { step: false }), page.failed)
  const timers = [setInterval(wait, 1000), setInterval(look, ASK_MS)]
  page.signal.addEventListener('abort', () => timers.forEach(clearInterval))
  const hit = (each) => each.pk?.[0] === site && each.metrics?.pageviews && setTimeout(() => page.signal.aborted || page.go({}, { step: false }), SOON_MS)
  const refused = (each) => {
    events.prepend(turnedAway(each))
    if (events.children.length > MOST) events.lastChild.remove()
  }
  wait()
  watch(page, [], { hit, refused, totals: () => {}, state: (text) => fill(state, text) })
}
