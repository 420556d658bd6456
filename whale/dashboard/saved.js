/** What people save of a site under a name: funnels and segments. The forms that save and delete stand in forms.js. */
import { Refused } from './api.js'
import { h } from './dom.js'
import { shown } from './format.js'

export const routeOf = (kind, site, name) => [kind, site, name].filter((each) => each !== undefined).map(encodeURIComponent).join('/')

/** Whoever may not see them, or whose site cannot be named in a path, has none. */
export const savedOf = (page, kind, site) => page.ask(routeOf(kind, site)).then(({ answer }) => answer, (error) => {
  if (!(error instanceof Refused)) throw error
  return []
})

/** Links to all of them. to: the changes of the address that lead to one. */
export const savedLinks = (page, label, saved, chosen, to) => saved.length > 0 && h('nav', { class: 'chips', 'aria-label': label }, saved.map((each) =>
  h('a', { id: `saved-${each.name}`, href: page.link(to(each)), 'aria-current': each.name === chosen ? 'true' : null }, shown(each.name))))
