/**
 * Who it is: a visitor for a year, and a session until 20 minutes without a hit.
 *
 * Nothing of it exists, nor anything else on the device, under Global Privacy Control, Do Not Track, or `consent(false)`; with
 * `cookies: false` there is nothing on the device either, and Hail tells visitors apart by day.
 */
import { anonymize } from './delivery.js'
import { options } from './options.js'
import { later, local, quiet, tabs, uuid } from './page.js'

const YEAR_S = 31536000, SESSION_MS = 12e5, FRESH_MS = 1000
let ids = {}, known, consented

/** Functions that give more to tell of who it is; each is given what is known until then. */
export const facts = []

export const refused = () => !consented || navigator.globalPrivacyControl || navigator.doNotTrack == 1

/** May the device keep anything? */
const keeps = () => !refused() && options.cookies

/** A text of localStorage, read or written. Nothing where nothing may be kept. All keys begin with trackr_. */
export const stored = quiet((key, value) => keeps() && (value ? local['trackr_' + key] = value : local['trackr_' + key]))

/** Undefined in a frame without an origin, where it throws. */
const cookies = quiet(() => document.cookie)

/**
 * Without a value it ends. Where cookies are blocked, the value is kept here: so a page is one visitor, and not each hit.
 * Without TLS the last attribute is `false`, which browsers do not know and leave out.
 */
export const bake = (name, value, age = value ? YEAR_S : 0) => {
  if (keeps() || !value) quiet(() => document.cookie = `${name}=${value};path=/;samesite=lax;max-age=${age};${location.protocol != 'http:' && 'secure'}`)()
  ids[name] = ''
  ids[name] = tasted(name) ? '' : value
  return value
}

/** What was baked, in any tab. */
export const tasted = (name) => (('; ' + cookies()).split('; ' + name + '=')[1] || ids[name] || '').split(';')[0]

const ofCookies = (now) => {
  const [id, at] = tasted(options.sessionCookieName).split('.')
  const session = now - at < SESSION_MS ? id : uuid() // on the clock of the page, alike in all tabs
  bake(options.sessionCookieName, session + '.' + now, SESSION_MS / 1000)
  return { session, v_visitor: bake(options.v_visitorCookieName, tasted(options.v_visitorCookieName) || uuid()) }
}

/** The fields of a hit that say who; worked out once a second, since cookies cost more than all else of a hit. */
export const who = (now) => {
  if (refused()) return { anonymous: 1 }
  if (known) return known
  known = options.cookies ? ofCookies(now) : {}
  facts.forEach((fact) => Object.assign(known, quiet(fact)(known)))
  later(doubt, FRESH_MS)
  return known
}

/** It is to be worked out anew. */
export const doubt = () => known = 0

/** From now on. `false` forgets all ids, here and on the device. */
export const agree = (yes) => {
  doubt()
  consented = yes
  if (!refused()) return
  anonymize()
  for (const name in options) if (/CookieName/.test(name)) bake(options[name], '')
  for (const place of [local, tabs]) for (const key in place) if (/^trackr_/.test(key)) delete place[key]
}
