/**
 * What the views of visitors share. They come later than the page, and bring a style sheet of their own.
 *
 *     export const show = ofSite('funnels', 'Funnels', build, draw)
 *
 * build(parts): makes what stays while the state changes, and gives its elements.  draw(view): asks, and fills it.
 * view: { page, parts, site, when, isCompared, asked: { pk, period, tz, segment } of every question }. A site without a log says how to make one.
 * The segment is a set of visitors, about whom alone all is asked; it goes along from view to view.
 */
import { Refused, curlOf, key, questionOf } from './api.js'
import { copied, fill, h, svg } from './dom.js'
import * as f from './format.js'
import { empty, refused } from './states.js'
import { segmentOf } from './segment.js'
import { whenBar } from './when.js'

const VIEWS = [['visitors', 'Visitors'], ['funnels', 'Funnels'], ['retention', 'Retention'], ['paths', 'Paths'], ['segments', 'Segments'], ['talk', 'Talk']]
export const SHARE = { unit: 'share' }

const sheet = h('link', { rel: 'stylesheet', href: new URL('visiting.css', import.meta.url).href })
const styled = new Promise((done) => ['load', 'error'].forEach((name) => sheet.addEventListener(name, done)))
document.head.append(sheet)

export const ofSite = (name, title, build, draw, { period = true, compared = true, segment = true, about = true } = {}) => async (place, page) => {
  await styled
  const head = about && h('div', { class: 'visiting-head' }, links(page, name), segment && segmentOf(page), seek(page))
  const when = period && whenBar(page, { compared })
  const [site, asked] = [page.state.pk[0], { pk: page.state.pk.slice(0, 1), tz: page.asked.tz, segment: page.state.segment || undefined }]
  if (period) asked.period = page.asked.period
  if (!place.parts) {
    const [bar, parts] = [h('div', {}), {}]
    fill(place, h('h1', { class: 'sr' }, title), bar, build(parts))
    place.parts = { ...parts, bar }
  }
  fill(place.parts.bar, head, period && h('div', { class: compared ? 'keep-when' : 'keep-dates' }, when.element))
  try {
    await draw({ page, parts: place.parts, site, when, isCompared: compared, asked })
  } catch (error) {
    const { status, field } = error.problem ?? {}
    if (!(status === 404 && field === 'pk') && !field?.startsWith('segment')) throw error
    place.parts = null
    fill(place, head, field === 'pk' ? noLog(page) : noSegment(page, error))
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

function noLog({ state, hail, link }) {
  const site = f.named(state.pk.slice(0, 1))
  const line = curlOf(hail + questionOf('count', { pk: state.pk[0], visitor: 'ann', event: 'visit' }))
  return h('section', { class: 'card' }, h('h1', {}, 'No log of visitors'),
    empty(`Nobody logs who comes to ${site}, since it is no site, or the log is turned off. Add it as a site, and send hits that say a visitor and an event:`),
    copied('curl', line), h('p', { class: 'foot' }, h('a', { href: link({ view: 'access' }) }, 'Open Access to add a site')))
}

const noSegment = (page, error) => h('section', { class: 'card' }, h('h1', {}, 'No such segment'), refused(error),
  h('a', { href: page.link({ segment: '' }) }, 'Ask about all visitors'))

/**
 * The dates that are read, in words; gives { start, compared }: of what is asked, and of both periods where another one stands beside it.
 * The totals know them at once. Who may see visitors and no counts sees no dates.
 */
export async function datesOf({ page, when, asked: { pk, period, tz }, isCompared }) {
  const compare = isCompared ? page.asked.compare : undefined
  const { answer, headers } = await page.ask('total', { pk, period, tz, metric: 'hits', compare }, { quiet: true }).catch(none)
  when.says(answer.compared, headers)
  return { compared: answer.compared, start: answer.compared?.now.start ?? headers?.get('X-Whale-Range')?.split('/')[0] }
}

/** Where somebody may not ask, or nothing is there, the rest of a view lives on. */
export function none(error) {
  if (!(error instanceof Refused)) throw error
  return { answer: {} }
}

/** Beside another period both end at the same time of day, as everywhere. */
export const fairly = ({ compared }, asked) => (compared && Date.parse(compared.now.end) > Date.parse(compared.now.start) ? within(compared.now, asked) : asked)

/** The same question about another range, in the same buckets. */
export const within = ({ start, end }, { period, ...asked }) =>
  ({ ...asked, start, finish: end, interval: period.match(/^\d+[a-z]+(?=:)/)?.[0] ?? (period === 'today' ? '1h' : '1d') })

/** Amounts one after the other, each as a bar from the ground up. */
export function columns(amounts) {
  const most = Math.max(1, ...amounts)
  return svg('svg', { class: 'columns-of', width: '100%', height: 28, viewBox: `0 0 ${amounts.length} 28`, preserveAspectRatio: 'none', 'aria-hidden': true },
    amounts.map((v, i) => svg('rect', { class: v ? 'part' : 'ground', x: i + 0.1, width: 0.8, y: 26 - (v / most) * 26, height: 2 + (v / most) * 26 })))
}

/** A part of a whole as a bar: [[name of its class, 0 to 1], …] beside each other. */
export function shares(...parts) {
  let x = 0
  const rects = parts.map(([name, part]) => svg('rect', { class: name, x: (x += part * 1000) - part * 1000, width: Math.max(0, part * 1000), height: 10 }))
  return svg('svg', { class: 'shares', width: '100%', height: 10, viewBox: '0 0 1000 10', preserveAspectRatio: 'none', 'aria-hidden': true },
    svg('rect', { class: 'ground', width: 1000, height: 10 }), rects)
}

export const ofWhole = (part, whole) => (whole ? f.value(part / whole, SHARE) : '–')
export const when = (text, zone) => f.bucket(Date.parse(text), 60_000, zone)

/** From when on the log is whole, where that is not before all that is asked; and what of it could not be read. */
export function limits(answer, start, zone) {
  const said = limitsOf(answer, start, zone)
  return said && h('p', { class: 'foot' }, said)
}

export function limitsOf({ since, is_incomplete: isIncomplete, basis, exact }, start, zone) {
  const said = [
    isIncomplete && 'A part of the log could not be read, and is missing here.',
    Date.parse(since) > Date.parse(start) && `The log begins on ${f.weekday(Date.parse(since), zone)}.`,
    basis === 'daily' && 'Some ids are of a day alone: a person counts on each day anew.',
    basis !== 'daily' && exact === false && !isIncomplete && 'Who stays away for very long counts anew.',
  ].filter(Boolean)
  return said.join(' ')
}

/** A file that Whale answers, with the key that this tab keeps. */
export async function fileOf(address) {
  const headers = key.get() ? { Authorization: `Bearer ${key.get()}` } : {}
  const answer = await fetch(address, { headers })
  if (!answer.ok) throw new Error((await answer.json()).detail)
  return answer.text()
}
