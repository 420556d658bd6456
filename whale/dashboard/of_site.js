/**
 * What the views of one site share: their frame, parts of a whole, and limits of a log. They come later than the page, and bring a style sheet.
 *
 *     export const show = viewOfSite('Site', build, draw)
 *
 * build(parts): makes what stays while the state changes, and gives its elements.  draw(view): asks, and fills it.
 * head(page): what stands above.  instead(page, error): what stands there if the view is refused; nothing: the shell shows it.
 * view: { page, parts, site, when, isCompared, asked: { pk, period, tz, segment } of every question }. A site without a log says how to make one.
 */
import { Refused, curlOf, questionOf } from './api.js'
import { copied, fill, h, svg } from './dom.js'
import * as f from './format.js'
import { empty } from './states.js'
import { whenBar } from './when.js'

const HOUR_MS = 3_600_000
export const SHARE = { unit: 'share' }
export const OTHERS = '__other__'
/** A value of a property: any JSON. */
export const valueOf = (value) => (value === OTHERS ? 'other values' : typeof value === 'string' ? f.shown(value) : JSON.stringify(value))

/** A style sheet of late modules; fulfilled once it is there, or cannot be. */
export function styled(name) {
  const sheet = h('link', { rel: 'stylesheet', href: new URL(name, import.meta.url).href })
  const there = new Promise((done) => ['load', 'error'].forEach((each) => sheet.addEventListener(each, done)))
  document.head.append(sheet)
  return there
}
const own = styled('of_site.css')

const nothing = () => null
export const viewOfSite = (title, build, draw, { period = true, compared = true, head: headOf = nothing, instead = nothing } = {}) => async (place, page) => {
  await own
  const head = headOf(page)
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
    const other = status === 404 && field === 'pk' ? noLog(page) : instead(page, error)
    if (!other) throw error
    place.parts = null
    fill(place, head, other)
  }
}

function noLog({ state, hail, link }) {
  const site = f.named(state.pk.slice(0, 1))
  const line = curlOf(hail + questionOf('count', { pk: state.pk[0], visitor: 'ann', event: 'visit' }))
  return h('section', { class: 'card' }, h('h1', {}, 'No log of visitors'),
    empty(`Nobody logs who comes to ${site}, since it is no site, or the log is turned off. Add it as a site, and send hits that say a visitor and an event:`),
    copied('curl', line), h('p', { class: 'foot' }, h('a', { href: link({ view: 'access' }) }, 'Open Access to add a site')))
}

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

/** Beside another period both end at the same time of day, as everywhere; but a day is in sight from its first hour on. */
export function fairly({ compared }, asked, zone) {
  const [start, end] = compared ? [compared.now.start, compared.now.end].map(Date.parse) : [0, 0]
  const isFirstHour = Date.now() - end < HOUR_MS && f.local(end - 1, zone).slice(0, 10) !== f.local(Date.now(), zone).slice(0, 10)
  return end > start ? within(isFirstHour ? { ...compared.now, end: new Date(end + HOUR_MS).toISOString() } : compared.now, asked) : asked
}

/** The same question about another range, in the same buckets. */
export const within = ({ start, end }, { period, ...asked }) =>
  ({ ...asked, start, finish: end, interval: period.match(/^\d+[a-z]+(?=:)/)?.[0] ?? (period === 'today' ? '1h' : '1d') })

/** A part of a whole as a bar: [[name of its class, 0 to 1], …] beside each other. */
export function shares(...parts) {
  let x = 0
  const rects = parts.map(([name, part]) => svg('rect', { class: name, x: (x += part * 1000) - part * 1000, width: Math.max(0, part * 1000), height: 10 }))
  return svg('svg', { class: 'shares', width: '100%', height: 10, viewBox: '0 0 1000 10', preserveAspectRatio: 'none', 'aria-hidden': true },
    svg('rect', { class: 'ground', width: 1000, height: 10 }), rects)
}

export const ofWhole = (part, whole) => (whole ? f.value(part / whole, SHARE) : '–')

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
