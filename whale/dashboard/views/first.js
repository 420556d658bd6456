/** The first minute: lines to copy, then the hit itself with every place it counted in, or why it was refused. Nothing to reload. */
import { curlOf, questionOf } from '../api.js'
import { copied, fill, h } from '../dom.js'
import * as f from '../format.js'
import { watch } from '../stream.js'

const MOST = 5
export const many = (n, one) => `${f.full(n)} ${one}${n === 1 ? '' : 's'}`

export async function show(place, page) {
  const began = Date.now()
  const [waits, state, events] = [h('p', { class: 'waits' }), h('p', { class: 'soft' }), h('ol', { class: 'events' })]
  fill(place, h('section', { class: 'card first', 'aria-labelledby': 'first-title' },
    h('h1', { id: 'first-title' }, 'Count a first hit'), h('p', {}, 'From a terminal:'), copied('curl', curl(page)),
    h('p', {}, 'From a page:'), copied('tag', `<script async src="${page.hail}/count.js?pk=shop&dimensions=country"></script>`), waits, state, events))
  const wait = () => fill(waits, events.firstChild ? '' : `Waiting for the first hit, for ${f.duration(Math.round((Date.now() - began) / 1000))}.`)
  const timer = setInterval(wait, 1000)
  page.signal.addEventListener('abort', () => clearInterval(timer))
  const put = (item) => {
    events.prepend(item)
    if (events.children.length > MOST) events.lastChild.remove()
    wait()
  }
  wait()
  const [hit, refused] = [(each) => put(counted(page, each)), (each) => put(turnedAway(each))]
  watch(page, [], { hit, refused, totals: () => {}, state: (text) => fill(state, text) })
}

const curl = ({ hail }) => curlOf(hail + questionOf('count', { pk: 'shop', dimensions: '{"country": {"US": "CA"}}', metrics: '{"revenue": 9.5}' }))

/** What a hit brought beside itself. A metric that is no sum comes as { kind: value }. */
export function metricsOf(metrics) {
  const text = (v) => (typeof v === 'object' ? Object.entries(v).map(([kind, each]) => `${kind} ${each}`).join() : f.full(v))
  return Object.entries(metrics ?? {}).filter(([name, v]) => name !== 'hits' || v !== 1).map(([name, v]) => `${f.shown(name)} ${text(v)}`).join(', ')
}

function counted(page, { pk, paths, metrics }) {
  const within = (pk ?? []).map((_, i) => f.named(pk.slice(0, i + 1)))
  return h('li', { class: 'event story good' },
    h('p', {}, h('b', {}, 'Counted'), ` ${metricsOf(metrics)} in ${many(paths.length, 'place')} of ${within.join(', and of ')}:`),
    h('ul', { class: 'places ways' }, paths.map((path) => h('li', { class: 'badge good' }, path.length ? f.named(path) : '_'))),
    pk && h('p', {}, h('a', { href: page.link({ view: 'overview', pk }) }, `Open ${f.named(pk)}`)))
}

export const turnedAway = ({ reason, field, came, pk }) => h('li', { class: 'event story bad' },
  h('p', {}, h('b', {}, 'Not counted'), ': ', h('code', {}, reason), field && [' in ', h('code', {}, f.shown(field))], pk && ` in ${f.named(pk)}`),
  came && h('pre', { tabindex: 0 }, f.shown(came)))
