/**
 * What the views of visitors share beside those of a site: a row that leads from one to the other, and a segment.
 *
 *     export const show = ofSite('funnels', 'Funnels', build, draw)
 *
 * build, draw: as of_site.js has them. The segment is a set of visitors, about whom alone all is asked; it goes along from view to view.
 */
import { key } from './api.js'
import { h, svg } from './dom.js'
import * as f from './format.js'
import { styled, viewOfSite } from './of_site.js'
import { refused } from './states.js'
import { segmentOf } from './segment.js'

const VIEWS = [['visitors', 'Visitors'], ['funnels', 'Funnels'], ['retention', 'Retention'], ['paths', 'Paths'], ['segments', 'Segments'], ['talk', 'Talk']]
const own = styled('visiting.css')

export function ofSite(name, title, build, draw, { segment = true, ...more } = {}) {
  const head = (page) => h('div', { class: 'visiting-head' }, links(page, name), segment && segmentOf(page), seek(page))
  const instead = (page, error) => error.problem?.field?.startsWith('segment') && noSegment(page, error)
  const show = viewOfSite(title, build, draw, { head, instead, ...more })
  return async (place, page) => {
    await own
    return show(place, page)
  }
}

const links = (page, name) => h('nav', { class: 'chips', 'aria-label': 'About visitors' }, VIEWS.map(([view, label]) =>
  h('a', { id: `about-${view}`, href: page.link({ view, segment: page.state.segment }), 'aria-current': view === name ? 'page' : null }, label)))

/** Who knows an id is led to what that visitor did. */
function seek(page) {
  const name = 'Id of a visitor'
  const field = h('input', { id: 'seek', type: 'search', placeholder: name, 'aria-label': name, required: true, autocomplete: 'off', spellcheck: 'false' })
  const go = (event) => {
    event.preventDefault()
    page.go({ view: 'visitor', visitor: field.value.trim(), segment: page.state.segment })
  }
  return h('form', { class: 'ways', role: 'search', onsubmit: go }, field, h('button', {}, 'Show'))
}

const noSegment = (page, error) => h('section', { class: 'card' }, h('h1', {}, 'No such segment'), refused(error),
  h('a', { href: page.link({ segment: '' }) }, 'Ask about all visitors'))

/** Amounts one after the other, each as a bar from the ground up. */
export function columns(amounts) {
  const most = Math.max(1, ...amounts)
  return svg('svg', { class: 'columns-of', width: '100%', height: 28, viewBox: `0 0 ${amounts.length} 28`, preserveAspectRatio: 'none', 'aria-hidden': true },
    amounts.map((v, i) => svg('rect', { class: v ? 'part' : 'ground', x: i + 0.1, width: 0.8, y: 26 - (v / most) * 26, height: 2 + (v / most) * 26 })))
}

export const when = (text, zone) => f.bucket(Date.parse(text), 60_000, zone)

/** A file that Whale answers, with the key that this tab keeps. */
export async function fileOf(address) {
  const headers = key.get() ? { Authorization: `Bearer ${key.get()}` } : {}
  const answer = await fetch(address, { headers })
  if (!answer.ok) throw new Error((await answer.json()).detail)
  return answer.text()
}
