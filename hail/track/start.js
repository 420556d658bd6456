/**
 * Begins once on a page for each account, whichever way and how often the script came.
 *
 * parts: each takes the tracker and the options that were given, and adds what it can do.
 */
import { resume } from './delivery.js'
import { watch } from './engaged.js'
import { ofTag, options } from './options.js'
import { quiet } from './page.js'
import { hit, watchPages } from './pages.js'
import { agree } from './who.js'

let tracker

const begin = (given, parts) => {
  const { q, options: { account } = {} } = window.trackr || {}
  if (tracker) return tracker
  for (const name in given) options[name] = /^(true)?$/.test(given[name]) || given[name] !== 'false' && given[name]
  if (account && account == options.account) return window.trackr
  tracker = {
    options,
    track: hit,
    consent: agree,
  }
  parts.forEach((part) => quiet(part)(tracker, given))
  for (const name in tracker) if (tracker[name].call) tracker[name] = quiet(tracker[name])
  agree(options.consent)
  if (options.account) {
    for (const f of [watch, watchPages, resume]) quiet(f)()
  }
  tracker.q = { push: quiet(([name, ...rest]) => tracker[name](...rest)) }
  if (!account) {
    window.trackr = tracker // of several accounts the first
    ;[].concat(q || []).forEach(tracker.q.push) // it may be an element of that name
  }
  return tracker
}

export const start = (...parts) => {
  const safe = quiet(begin)
  window.Trackr = function (given) {
    return safe(given, parts)
  }
  if (ofTag && ofTag.account) safe(ofTag, parts)
}
