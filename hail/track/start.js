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

const begin = quiet((given, parts) => {
  const { q, options: { account } = {} } = window.trackr || {}
  if (tracker) return tracker
  for (const name in given) options[name] = /^(true)?$/.test(given[name]) || !/^false$/.test(given[name]) && given[name]
  if (account && account == options.account) return window.trackr
  tracker = {
    track: hit,
    options,
    consent: agree,
  }
  parts.forEach((part) => quiet(part)(tracker, given))
  for (const name in tracker) if (tracker[name].call) tracker[name] = quiet(tracker[name])
  agree(options.consent)
  if (options.account) {
    watch()
    resume()
    quiet(watchPages)()
  }
  tracker.q = { push: quiet(([name, ...rest]) => tracker[name](...rest)) }
  if (!account) {
    window.trackr = tracker // of several accounts the first
    ;[].concat(q || []).forEach(tracker.q.push) // it may be an element of that name
  }
  return tracker
})

export const start = (...parts) => {
  window.Trackr = function (given) {
    return begin(given, parts)
  }
  if (ofTag && ofTag.account) begin(ofTag, parts)
}
