/**
 * Users who log in, and what else is told of a hit: the tab, and the page at which the visit began.
 */
import { options } from './options.js'
import { quiet, tabs, uuid } from './page.js'
import { hit, where } from './pages.js'
import { bake, doubt, facts, stored, tasted } from './who.js'

const YEAR_S = 31536000, ENTRY = 'entry'
Object.assign(options, { visitorCookieName: 'trackit_visitor', tabIdPrefix: 'trackit_tab_', trackTabs: true })

let entry = ''

const all = ({ session = '' }) => {
  const tab = 'trackr_' + options.tabIdPrefix, before = (stored(ENTRY) || entry).split(' ')
  // so that a purchase counts at the campaign that the visit came by
  const [, entry_url, entry_referrer] = session == before[0] ? before : [0, where().url, where().referrer]
  stored(ENTRY, entry = [session, entry_url, entry_referrer].join(' '))
  return {
    visitor: quiet(decodeURIComponent)(tasted(options.visitorCookieName)) || null,
    tab: session && options.trackTabs ? tabs[tab] = tabs[tab] || uuid() : null,
    entry_url,
    entry_referrer,
  }
}

/** Without an id, as a page has before its user is known, it is nobody: else all of them would be one visitor, `undefined`. */
const become = (given) => {
  bake(options.visitorCookieName, given && Object(given) !== given ? encodeURIComponent(given) : '')
  doubt()
}

const known = (event) => (id, properties, signupDate) => {
  become(id)
  hit(event, properties, undefined, { signupDate })
}

export const users = (tracker) => {
  facts.push(all)
  Object.assign(tracker, {
    signupUser: known('signup'),
    loginUser: known('login'),
    loginAndImportUser: known('login'),
    updateUser: (properties) => hit('update', properties),
    logoutUser: () => {
      hit('logout')
      become()
    },
  })
}
