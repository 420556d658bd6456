/**
 * The shell: the address says what is shown, the header shows it, and the view's module draws it.
 *
 * A view is a module in views/ and one line in VIEWS below: { …, load: () => import(its path) }. Whale sends this module
 * with all that it imports as one file, and knows imports and exports by their form: `import { a, b as c } from './x.js'` or
 * `import * as x from './x.js'`, `export const|function|class`, each at the start of a line; no circles. A view exports
 *
 *     export async function show(place, page) { … }
 *
 * - `place` is an empty element when the view is opened. When only the state changed (another period, say), show() is called again
 *   with the same `place`, which still holds what the last call drew, so that old numbers stay until new ones are there. The shell
 *   dims it until the promise is fulfilled. Draw with fill(place, …) of dom.js.
 * - Let an `ask` that is refused reject: the shell shows the refusal. A view of several cards lets each card do so (card.during),
 *   so that the others live on.
 * - All that goes on by itself (timers, listeners outside of `place`, streams) ends with page.signal: the next show() has a new one.
 *
 * page:
 *   state            { view, pk: [names], metric, period, range, compare, tz, dim, at, …, and the view's own parameters }: address.js
 *   go(changes, { step: true })    changes the state and shows it; step: false replaces the entry of the history (no step for Back)
 *   asked            what every question of this state has: { pk, period, tz, compare }
 *   isNew            whether there was no hit before the period, so that nothing is compared; known after metrics()
 *   link(changes)    the address of a changed state, for <a href>: use links for all that leads somewhere, the shell catches the click
 *   ask(route, parameters, { method, body })   -> { answer, address, asOf, unknown, more }: api.js; ended by page.signal
 *   metrics()        what the metrics of the pk are: metrics.js. One question per pk, however often it is called
 *   key(names, says, action)   a key of this view, which the list of keys shows
 *   signal, zone (of the days that are shown), hail and whale (their addresses), locked (whether keys are asked for)
 *   tools            of the view's first card, for the keys j, x, v: card.js sets it
 *   status(text, late)         the words in the header: counted until …
 */
import { Away, Refused, ask } from './api.js'
import { address, asked, read } from './address.js'
import { current } from './current.js'
import { fill, h } from './dom.js'
import { Keys } from './keys.js'
import { watchLag } from './late.js'
import { metricsOf } from './metrics.js'
import { pick, pksOf } from './picker.js'
import * as shell from './shell.js'
import { refused } from './states.js'
import * as overview from './views/overview.js'

/**
 * name: in the address.  key: opens it.  without: no pk is needed.  parameters: of the address, that only this view knows.
 * fresh: shown anew each minute.
 */
const VIEWS = [
  { name: 'overview', label: 'Overview', key: 'o', fresh: true, load: () => overview },
  { name: 'breakdown', label: 'Breakdown', key: 'b', parameters: ['support'], load: () => import('./views/breakdown.js') },
  { name: 'compare', label: 'Compare', key: 'e', load: () => import('./views/compare.js') },
  { name: 'decisions', label: 'Decisions', key: 'd', without: true, parameters: ['decision', 'phase'], load: () => import('./views/decisions.js') },
  { name: 'live', label: 'Live', key: 'l', without: true, parameters: ['all'], load: () => import('./views/live.js') },
  { name: 'health', label: 'Health', key: 'h', without: true, load: () => import('./views/health.js') },
]

const MINUTE = 60e3
const facts = document.documentElement.dataset
const main = document.getElementById('main')
const keys = new Keys()
const known = { pk: '', metrics: null }
let ends = new AbortController()
let page = null
let place = null

async function show() {
  ends.abort()
  ends = new AbortController()
  const { state, unknown } = read(location.search, VIEWS)
  const mine = (current.page = page = pageOf(state, ends.signal))
  const view = VIEWS.find(({ name }) => name === state.view) ?? VIEWS[0]
  shell.theme(state.theme)
  shell.notice(unknown)
  if (place?.dataset.view !== view.name) fill(main, (place = h('div', { 'data-view': view.name })))
  const into = place
  into.setAttribute('aria-busy', true)
  try {
    if (state.pk.length || view.without || (await chosePk(mine, into))) {
      shell.header(mine, VIEWS)
      const module = await Promise.resolve(view.load()).catch(otherVersion)
      await module.show(into, mine)
    }
  } catch (error) {
    if (mine.signal.aborted) return
    if (!(error instanceof Away && into.firstChild)) {
      fill(into, h('section', { class: 'card' }, refused(error, show, mine.signal)))
      place = null // what the view kept there is gone: it begins anew
    }
    mine.failed(error)
  }
  if (!mine.signal.aborted) into.removeAttribute('aria-busy')
}

function pageOf(state, signal) {
  const self = {
    state, signal, tools: {}, zone: state.tz || facts.zone, hail: facts.hail, whale: location.origin, locked: facts.keys === 'needed',
    get asked() { return { ...asked(self.state), ...(self.isNew && { compare: undefined }) } },
    link: (changes) => address(self.state, changes),
    go: (changes, { step = true } = {}) => {
      history[step ? 'pushState' : 'replaceState'](null, '', self.link(changes))
      return show()
    },
    ask: async (route, parameters, options = {}) => {
      const answered = await ask(route, parameters, { signal, ...options })
      shell.back()
      if (answered.asOf) shell.counted(new Date(answered.asOf), self.zone)
      return answered
    },
    metrics: () => {
      const pk = JSON.stringify(self.state.pk)
      const unended = (route, parameters) => self.ask(route, parameters, { signal: null }) // a next view may wait for it too
      if (known.pk !== pk) Object.assign(known, { pk, metrics: metricsOf(self.state.pk, unended) })
      known.metrics.then((metrics) => (self.isNew = metrics.isNewIn(self.state)), () => (known.pk = ''))
      return known.metrics
    },
    key: (names, says, action) => keys.add(names, says, action, signal),
    status: shell.status,
    failed: (error) => {
      if (error instanceof Away) shell.away(show, self.zone)
      else if (!(error instanceof Refused)) console.error(error)
    },
  }
  return self
}

function otherVersion() {
  throw new Refused({ detail: 'Whale is of another version by now: load this page again.' })
}

/** Without a pk in the address the one with the most hits today is shown. */
async function chosePk(page, into) {
  const [first] = await pksOf(page.ask)
  page.state.pk = first?.pk ?? []
  if (!first) await firstMinute(page, into)
  return Boolean(first)
}

async function firstMinute(page, into) {
  into.dataset.view = 'first'
  shell.header(page, VIEWS)
  const module = await import('./views/first.js').catch(otherVersion)
  await module.show(into, page)
}

/** Is somebody reading, and not in the middle of something? */
const isIdle = () => !document.hidden && !main.contains(document.activeElement) && !document.querySelector('dialog, details[open]')

setInterval(() => isIdle() && VIEWS.find(({ name }) => name === place?.dataset.view)?.fresh && show(), MINUTE)

function nextTheme() {
  history.replaceState(null, '', page.link({ theme: (page.state.theme = '') }))
  shell.nextTheme()
}

const buttonOf = (id) => document.getElementById(id)
addEventListener('popstate', show)
document.addEventListener('click', (event) => {
  const link = event.target.closest('a[href]')
  const plain = !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || event.button || event.defaultPrevented)
  if (!link || !plain || link.download || link.target || link.origin !== location.origin || link.pathname !== '/' || link.hash) return
  event.preventDefault()
  history.pushState(null, '', link.href)
  show()
})
buttonOf('picker').addEventListener('click', () => pick(page))
keys.add(['k', '/'], 'another pk', () => pick(page))
keys.add('?', 'this list', () => keys.show())
keys.add('.', 'light, dark, as the system has it', nextTheme)
buttonOf('keys').addEventListener('click', () => keys.show()) // also where keys are switched off, and on a phone
buttonOf('theme').addEventListener('click', nextTheme)
keys.add('j', 'the table of the first card', () => page.tools.Table?.())
keys.add('x', 'its CSV', () => page.tools.CSV?.())
keys.add('v', 'copy the link', () => page.tools['Copy link']?.())
for (const { name, label, key } of VIEWS) keys.add(key, label.toLowerCase(), () => page.go({ view: name }))
show().then(() => watchLag((seconds) => shell.counted(undefined, page.zone, seconds)))
