/**
 * What is wrong with the options, which pages and persons are left out, and what would be sent.
 */
import { guards } from './delivery.js'
import { has, options } from './options.js'
import { local } from './page.js'
import { who } from './who.js'

const SWITCHES = 'trackTabs,cookies,consent,hash,outbound,downloads'
const KNOWN = [SWITCHES, Object.keys(options), 'account,site,query,exclude,key,whaleUrl,loadstartvariable']

export const checks = (tracker, given) => {
  const say = (...words) => console.warn('trackr:', ...words)
  for (const name in given) if (!has(KNOWN, name) || has(SWITCHES, name) != (options[name] === !!options[name])) say('wrong option', name)
  if (!options.account) say('no account')

  // a path of /admin/** begins with /admin/
  const left = RegExp('^(' + (options.exclude + '').replace(/\*+/g, '.*').replace(/,/g, '|') + ')$')
  guards.push((hit) => left.test(new URL(hit.url).pathname))

  /** Leaves out who wished it; the wish is the one thing that any device keeps. */
  tracker.off = (yes = true) => { local['trackr-off'] = yes || '' }
  const wish = /[?&]trackr=(off|on)/.exec(location)
  if (wish) tracker.off(wish[1] == 'off')

  tracker.debug = () => {
    say('off', local['trackr-off'], options, who(Date.now()))
    guards.push((hit) => say(hit.event, hit))
  }
}
