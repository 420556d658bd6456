/**
 * Which page it is, and when it is another one: at first sight, on a route of a single-page application, and back from the cache.
 *
 *     load, prerendered or hidden ── is seen ──> page view ── engaged time on hide ──> …
 *     pushState, replaceState, popstate, hashchange ── one task later, at another place ──> page view
 */
import { leave, send } from './delivery.js'
import { begin, difference } from './engaged.js'
import { has, options } from './options.js'
import { later, on } from './page.js'

const MOST_LETTERS = 2000

let page, referrer = ''

/** An address without what is nobody's business: of the query remain campaigns, ids of clicks, and what is listed. place: nor those. */
const clean = (address, place) => {
  const url = new URL(address)
  url.search = url.search.slice(1).split('&').filter((pair) => {
    const name = pair.split('=')[0]
    return has(options.query, name) || (!place && /^utm_|^ref$|(cl|bra)id$/.test(name))
  }).join('&')
  url.username = url.password = ''
  if (!options.hash) url.hash = ''
  return url.href.slice(0, MOST_LETTERS)
}

/** The page, and the page before it. */
export const where = () => ({ referrer, bot: navigator.webdriver, url: page || clean(location) })

/** more: fields of a hit that is sent at once. */
export const hit = (event, properties, metrics, more) =>
  send(event, { properties, metrics, ...where(), ...more }, more)

/** The engaged time since it was last told, under the address of the page that it is about. */
const end = () => {
  if (!page) return
  const found = difference()
  if (found.engaged + found.depth) hit('engagement', undefined, undefined, found)
}

export const view = (load) => {
  page = clean(location)
  begin()
  hit('pageview', undefined, undefined, { language: navigator.language, screen: screen.width + 'x' + screen.height, load })
}

const next = () => {
  away()
  view()
}

const route = () => later(() => page && clean(location, 1) != clean(page, 1) && next())

/** From now on nothing is a page, until `view`. */
export const away = () => {
  end()
  referrer = page || referrer
  page = ''
}

/** The first page, once a person sees it. A prerendered page may become visible before it is activated. */
const first = () => {
  if (page != null || document.hidden || document.prerendering || document.readyState == 'loading') return
  const time = performance.getEntriesByType('navigation')[0] || performance.timing
  view(Math.max(time.domInteractive - Math.max(time.activationStart || 0, time.responseEnd), 0) | 0)
}

const hide = () => {
  end()
  leave()
}

export const watchPages = () => {
  referrer = document.referrer && clean(document.referrer)
  on('visibilitychange prerenderingchange DOMContentLoaded', () => (document.hidden ? hide : first)())
  on('pagehide', hide)
  on('pageshow', (event) => event.persisted && next())
  on('popstate hashchange', route)
  for (const name of ['pushState', 'replaceState']) {
    const change = history[name]
    history[name] = (...given) => {
      change.call(history, ...given)
      route()
    }
  }
  first()
}
