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
 *   options(), editing(), forms(), broken(), firstOfSite()   the modules of the chart's options, of the choice of totals, of forms about
 *                        visitors, of what broke in a funnel, and of the first minute of a site, each loaded once it is needed
 *   key(names, says, action)   a key of this view, which the list of keys shows
 *   signal, zone (of the days that are shown), hail and whale (their addresses), locked (whether keys are asked for)
 *   say(...line)     a line at the top of the page, until the state changes
 *   beside           what the address does not have, but a copied link must: the totals that are kept by this browser
 *   tools            of the view's first card, for the keys j, x, v: card.js sets it
 */
import { Away, Refused, ask } from './api.js'
import { address, asked, read } from './address.js'
import { current } from './current.js'
import { fill, h } from './dom.js'
import { named, pathOf, shown } from './format.js'
import { Keys } from './keys.js'
import { watchLag } from './late.js'
import { metricsOf } from './metrics.js'
import { pick, pksOf } from './picker.js'
import * as shell from './shell.js'
import { isOfAll, neverCounted, refused } from './states.js'
import * as overview from './views/overview.js'
import { whenBar } from './when.js'

/**
 * name: in the address.  key: opens it.  without: no pk is needed.  parameters: of the address, that only this view knows.
 * fresh: shown anew each minute.  of: the view in the menu that leads to it.
 */
const VIEWS = [
  { name: 'overview', label: 'Overview', key: 'o', fresh: true, load: () => overview },
  { name: 'site', label: 'Site', key: 'i', fresh: true, parameters: ['where', 'goal', 'show', 'cards'], load: () => import('./views/site.js') },
  { name: 'breakdown', label: 'Breakdown', key: 'b', parameters: ['support'], load: () => import('./views/breakdown.js') },
  { name: 'compare', label: 'Compare', key: 'e', load: () => import('./views/compare.js') },
  { name: 'visitors', label: 'Visitors', key: 'u', fresh: true, parameters: ['show', 'property', 'segment'], load: () => import('./views/visitors.js') },
  { name: 'funnels', label: 'Funnels', key: 'f', of: 'visitors', parameters: ['steps', 'window', 'name', 'segment'], load: () => import('./views/funnels.js') },
  { name: 'retention', label: 'Retention', key: 'r', of: 'visitors', parameters: ['first', 'again', 'count', 'segment'],
    load: () => import('./views/retention.js') },
  { name: 'paths', label: 'Paths', key: 'p', of: 'visitors', parameters: ['event', 'segment'], load: () => import('./views/paths.js') },
  { name: 'segments', label: 'Segments', key: 's', of: 'visitors', parameters: ['sets', 'segment'], load: () => import('./views/segments.js') },
  { name: 'visitor', label: 'A visitor', of: 'visitors', parameters: ['visitor', 'limit', 'segment'], load: () => import('./views/visitor.js') },
  { name: 'talk', label: 'Talk', of: 'visitors', parameters: ['visitor'], load: () => import('./views/talk.js') },
  { name: 'decisions', label: 'Decisions', key: 'd', without: true, parameters: ['decision', 'phase'], load: () => import('./views/decisions.js') },
  { name: 'live', label: 'Live', key: 'l', without: true, parameters: ['all'], load: () => import('./views/live.js') },
  { name: 'health', label: 'Health', key: 'h', without: true, load: () => import('./views/health.js') },
  { name: 'access', label: 'Access', key: 'a', without: true, load: () => import('./views/access.js') },
]

const MINUTE = 60e3
const facts = document.documentElement.dataset
const main = document.getElementById('main')
const keys = new Keys()
const known = { pk: '', metrics: null }
let [ends, page, place] = [new AbortController(), null, null]

async function show() {
  ends.abort()
  ends = new AbortController()
  const { state, unknown } = read(location.search, VIEWS)
  const mine = (current.page = page = pageOf(state, ends.signal))
  const view = viewOf(state)
  shell.theme(state.theme)
  if (unknown.length) mine.say(`The address has something that this page does not know: ${unknown.join(', ')}.`)
  if (place?.dataset.view !== view.name) fill(main, (place = h('div', { 'data-view': view.name })))
  const into = place
  into.setAttribute('aria-busy', true)
  keys.loading()
  try {
    if (state.pk.length || view.without || (await chosePk(mine, into))) {
      shell.header(mine, VIEWS)
      const module = await Promise.resolve(view.load()).catch(otherVersion)
      await module.show(into, mine)
    }
  } catch (error) {
    if (mine.signal.aborted) return
    if (!(error instanceof Away && into.firstChild)) {
      fill(main, (place = instead(view, mine, error))) // without what the view kept in it: it begins anew
    }
    mine.failed(error)
  }
  if (mine.signal.aborted) return
  into.removeAttribute('aria-busy')
  keys.loaded()
  shell.notice(mine.said)
}

/** In the place of a view that is refused. */
function instead(view, page, error) {
  const { kind, near } = error.problem ?? {}
  const way = isOfAll(error) ? h('a', { href: page.link({ period: '', range: '', tz: '' }) }, 'Show the last 30 days')
    : near && didYouMean(page.link({ pk: pathOf(near) }), pathOf(near))
  return h('div', { 'data-view': view.name }, isOfAll(error) && whenBar(page).element,
    h('section', { class: 'card' }, kind && h('h1', {}, 'Never counted'), refused(error, show, page.signal), way))
}

function pageOf(state, signal) {
  const self = {
    state, signal, tools: {}, beside: {}, said: [], zone: state.tz || facts.zone, hail: facts.hail, whale: location.origin, locked: facts.keys === 'needed',
    get asked() { return { ...asked(self.state), ...(self.isNew && { compare: undefined }) } },
    link: (changes) => address(self.state, changes),
    go: (changes, { step = true } = {}) => {
      history[step ? 'pushState' : 'replaceState'](null, '', self.link(changes))
      return show()
    },
    say: (...line) => {
      if (self.said.some((each) => each.join() === line.join())) return
      self.said.push(line)
      shell.notice(self.said)
    },
    ask: async (route, parameters, options = {}) => {
      const asks = (given) => ask(route, given, { signal, ...options }).catch((error) => asks(withLess(self, given, error)))
      const answered = await asks(parameters)
      shell.back()
      if (!options.quiet) answered.unknown.forEach((each) => sayUnknown(self, each))
      if (answered.asOf) shell.counted(new Date(answered.asOf), self.zone)
      return answered
    },
    metrics: () => {
      const pk = JSON.stringify(self.state.pk)
      const unended = (route, parameters) => self.ask(route, parameters, { signal: null }) // a next view may wait for it too
      if (known.pk !== pk) Object.assign(known, { pk, metrics: metricsOf(self.state.pk, unended) })
      known.metrics.then((metrics) => (self.isNew = metrics.isNewIn(self.state)), () => (known.pk = ''))
      return known.metrics.then((metrics) => {
        if (!metrics.unknown) return metrics
        throw new Refused({ ...metrics.unknown, detail: `No hit of ${named(self.state.pk)} was ever counted.` })
      })
    },
    options: () => import('./options.js').catch(otherVersion),
    forms: () => import('./forms.js').catch(otherVersion),
    editing: () => import('./tiles_edit.js').catch(otherVersion),
    firstOfSite: () => import('./site_first.js').catch(otherVersion),
    broken: () => import('./funnel_broke.js').catch(otherVersion),
    key: (names, says, action) => keys.add(names, says, action, signal),
    failed: (error) => {
      if (error instanceof Away) shell.away(show, self.zone)
      else if (!(error instanceof Refused) && error.name !== 'AbortError') console.error(error)
    },
  }
  return self
}

const BESIDE = { last_year: ['Last year', 'previous'], previous: ['The period before'] }

/** A question that is refused for what it compares with: with less. The page says why. */
function withLess(page, given, error) {
  if (error.problem?.field !== 'compare' || !given.compare) throw error
  const [name, less] = BESIDE[given.compare] ?? [shown(given.compare)]
  page.say(`${name} cannot be shown beside this period: ${error.message.replace(/^compare: |: ask .*$/g, '')}.`)
  return { ...given, compare: less }
}

/** Names a metric, a path, or a pk whose view shows more than that pk; where it is misspelt, with the way to the near one. */
function sayUnknown(page, unknown) {
  const { state } = page
  const [path, near] = [unknown.name, unknown.near ?? ''].map(pathOf)
  if (unknown.kind === 'pk' && !(viewOf(state).without && named(path) === named(state.pk))) return
  const mended = (formula) => formula.replaceAll(unknown.name, unknown.near)
  const to = {
    pk: { pk: near }, path: state.split === path[0] ? { split: near[0] } : { dim: near[0], at: near.length > 1 ? near : [] },
    metric: { metric: mended(state.metric), by: mended(state.by), tiles: state.tiles.map(mended), second: mended(state.second), also: state.also.map(mended) },
  }[unknown.kind]
  page.say(neverCounted(unknown), unknown.near && [' ', didYouMean(page.link(to), near)])
}

const didYouMean = (href, near) => h('a', { href }, `Did you mean ${named(near)}?`)
const viewOf = ({ view }) => VIEWS.find(({ name }) => name === view) ?? VIEWS[0]

function otherVersion() { throw new Refused({ detail: 'Whale is of another version by now: load this page again.' }) }

/** Without a pk in the address the one with the most hits today is shown. */
async function chosePk(page, into) {
  const [first] = await pksOf(page.ask)
  page.state.pk = first?.pk ?? []
  if (first) return true
  into.dataset.view = 'first'
  shell.header(page, VIEWS)
  await (await import('./views/first.js').catch(otherVersion)).show(into, page)
  return false
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
for (const { name, label, key } of VIEWS) if (key) keys.add(key, label.toLowerCase(), () => page.go({ view: name }))
show().then(() => watchLag((seconds) => shell.counted(undefined, page.zone, seconds)))
