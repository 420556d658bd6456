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
import { fill, h, say } from './dom.js'
import { clock, duration, named } from './format.js'
import { Keys } from './keys.js'
import { levelOf, watchLag } from './late.js'
import { metricsOf } from './metrics.js'
import { pick, pksOf } from './picker.js'
import { empty, refused } from './states.js'
import * as overview from './views/overview.js'

/** name: in the address.  key: opens it.  without: no pk is needed.  parameters: of the address, that only this view knows. */
const VIEWS = [
  { name: 'overview', label: 'Overview', key: 'o', load: () => overview },
  { name: 'breakdown', label: 'Breakdown', key: 'b', parameters: ['support'], load: () => import('./views/breakdown.js') },
  { name: 'compare', label: 'Compare', key: 'e', load: () => import('./views/compare.js') },
  { name: 'decisions', label: 'Decisions', key: 'd', without: true, parameters: ['decision', 'phase'], load: () => import('./views/decisions.js') },
  { name: 'health', label: 'Health', key: 'h', without: true, load: () => import('./views/health.js') },
]

const $ = (id) => document.getElementById(id)
const facts = document.documentElement.dataset
const keys = new Keys()
const known = { pk: null, metrics: null }
let ends = new AbortController()
let page = null
let place = null

async function show() {
  ends.abort()
  ends = new AbortController()
  const { state, unknown } = read(location.search, VIEWS)
  page = pageOf(state, ends.signal)
  theme(state.theme || localStorage.getItem(THEME) || '')
  const view = VIEWS.find((each) => each.name === state.view) ?? VIEWS[0]
  notice(unknown)
  if (place?.dataset.view !== view.name) {
    place = h('div', { 'data-view': view.name })
    fill($('main'), place)
  }
  const mine = [page, place]
  place.setAttribute('aria-busy', 'true')
  try {
    if (!state.pk.length && !view.without && !(await chosePk(mine[0]))) return
    header(mine[0])
    const module = await view.load()
    await module.show(mine[1], mine[0])
  } catch (error) {
    if (mine[0].signal.aborted) return
    if (!(error instanceof Away && mine[1].firstChild)) fill(mine[1], h('section', { class: 'card' }, refused(error, show, mine[0].signal)))
    mine[0].failed(error)
    if (!(error instanceof Away || error instanceof Refused)) console.error(error)
  }
  if (!mine[0].signal.aborted) mine[1].removeAttribute('aria-busy')
}

function pageOf(state, signal) {
  const self = {
    state, signal, tools: {}, get asked() { return asked(this.state) }, zone: state.tz || facts.zone, hail: facts.hail, whale: facts.whale, locked: facts.keys === 'needed',
    link: (changes) => address(self.state, changes),
    go: (changes, { step = true } = {}) => {
      history[step ? 'pushState' : 'replaceState'](null, '', self.link(changes))
      return show()
    },
    ask: async (route, parameters, options = {}) => {
      const answered = await ask(route, parameters, { signal, ...options })
      back()
      if (answered.asOf) counted(answered.asOf)
      return answered
    },
    metrics: () => {
      const pk = JSON.stringify(self.state.pk)
      if (known.pk !== pk) Object.assign(known, { pk, metrics: metricsOf(self.state.pk, self.ask).catch((error) => { known.pk = null; throw error }) })
      return known.metrics
    },
    key: (names, says, action) => keys.add(names, says, action, signal),
    status: (text, late = false) => {
      if ($('status').textContent !== text) fill($('status'), h('i', { class: late ? 'dot late' : 'dot' }), text)
    },
    failed: (error) => error instanceof Away && away(),
  }
  return self
}

/** Without a pk in the address the one with the most hits today is shown. */
async function chosePk(page) {
  const [first] = await pksOf(page.ask)
  if (first) page.state.pk = first.pk
  else fill(place, h('section', { class: 'card' }, empty('Nothing is counted yet. This line counts a hit:'), h('pre', { tabindex: 0 }, `curl -G '${page.hail}/count' --data-urlencode pk=shop`)))
  if (!first) place.removeAttribute('aria-busy')
  return Boolean(first)
}

function header({ state, link }) {
  fill($('picker').firstElementChild, named(state.pk) || 'Pick a pk')
  const menu = VIEWS.map(({ name, label }) => h('a', { id: `view-${name}`, href: link({ view: name }), 'aria-current': name === state.view ? 'page' : null }, label))
  fill($('views'), menu)
  document.title = [named(state.pk), VIEWS.find(({ name }) => name === state.view)?.label, 'HailWhale'].filter(Boolean).join(' · ')
}

function notice(unknown) {
  const said = unknown.length ? `The address has something that this page does not know: ${unknown.join(', ')}.` : ''
  $('notice').hidden = !said
  if ($('notice').textContent !== said) $('notice').textContent = said
}

/** Until when the numbers are, and in amber how late counting is. */
let [until, lag] = ['', 0]
function counted(asOf = until) {
  until = asOf
  const late = Boolean(levelOf(lag))
  const said = [until && `counted until ${clock(new Date(until), page.zone)} ${page.zone}`, late && `${duration(lag)} late`].filter(Boolean)
  if (said.length && !pause) page.status(said.join(', '), late)
}

/** Whale is away: the last numbers stay, greyed, with their time, and it is asked again: after 2 s, at last every 30. */
let pause = 0
function away() {
  if (pause) return
  document.body.classList.add('away')
  const since = clock(Date.now(), page.zone)
  page.status(`Whale has not answered since ${since}. These are the numbers from before.`, true)
  pause = 2
  const again = async () => {
    if (!pause) return
    pause = Math.min(30, pause * 2)
    await show()
    if (pause) setTimeout(again, pause * 1000)
  }
  setTimeout(again, pause * 1000)
}
function back() {
  if (!pause) return
  pause = 0
  document.body.classList.remove('away')
  say('Whale answers again.')
}

const THEME = 'hailwhale.theme'
const repaint = () => document.dispatchEvent(new Event('theme'))
function theme(name) {
  if (facts.theme === name) return
  facts.theme = name
  repaint()
}
function nextTheme() {
  const next = { '': 'light', light: 'dark', dark: '' }[facts.theme]
  localStorage.setItem(THEME, next)
  page.state.theme = ''
  history.replaceState(null, '', page.link({}))
  theme(next)
}

addEventListener('popstate', show)
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', repaint)
document.addEventListener('click', (event) => {
  const link = event.target.closest('a[href]')
  const plain = !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || event.button || event.defaultPrevented)
  if (!link || !plain || link.download || link.target || link.origin !== location.origin || link.pathname !== '/' || link.hash) return
  event.preventDefault()
  history.pushState(null, '', link.href)
  show()
})
$('picker').addEventListener('click', () => pick(page))
keys.add(['k', '/'], 'another pk', () => pick(page))
keys.add('?', 'this list', () => keys.show())
keys.add('.', 'light, dark, as the system has it', nextTheme)
keys.add('j', 'the table of the first card', () => page.tools.Table?.())
keys.add('x', 'its CSV', () => page.tools.CSV?.())
keys.add('v', 'copy the link', () => page.tools['Copy link']?.())
for (const { name, label, key } of VIEWS) keys.add(key, label.toLowerCase(), () => page.go({ view: name }))
show().then(() => watchLag((seconds) => {
  lag = seconds
  counted()
}))
