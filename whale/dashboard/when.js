/**
 * The bar above the numbers of a view: the period, its dates in words, and the period beside it; with the keys that change them.
 *
 *     const when = whenBar(page)         // append when.element; { compared: false }: nothing stands beside the period
 *     when.add(button)                   // a tool of the view's own, at the right
 *     when.says(compared, headers)       // the dates that were read, once they are known: of an answer
 */
import { fill, h, select } from './dom.js'
import * as f from './format.js'

const PERIODS = [['today', 'Today', 't'], ['7d', '7 days', 'w'], ['30d', '30 days', 'm'], ['90d', '90 days', 'q'], ['1w:1y', '12 months', 'y']]
const COMPARED = [['previous', 'the period before'], ['last_year', 'last year'], ['none', 'nothing']]

export function whenBar(page, { compared: beside = true } = {}) {
  const { state } = page
  let read = null
  const buttons = PERIODS.map(([period, label, key]) => {
    const choose = () => page.go({ period, range: '' })
    page.key(key, label.toLowerCase(), choose)
    return h('button', { id: `period-${key}`, 'aria-pressed': !state.range && state.period === period, onclick: choose }, label)
  })
  const dates = h('p', { class: 'range', id: 'dates' }, '\u00a0')
  const compare = (name) => page.go({ compare: name })
  const choice = select({ id: 'compare' }, COMPARED, state.compare, compare)
  const next = (COMPARED.findIndex(([name]) => name === state.compare) + 1) % COMPARED.length
  if (beside) page.key('c', 'compare: the period before, last year, nothing', () => compare(COMPARED[next][0]))
  const move = (by) => () => read && page.go({ range: moved(read, by, page.zone), period: '' })
  page.key('ArrowLeft', 'the period before', move(-1))
  page.key('ArrowRight', 'the period after', move(1))
  return {
    element: h('div', { class: 'when' }, h('div', { class: 'periods', role: 'group', 'aria-label': 'Period' }, buttons),
      beside && h('label', { class: 'compare' }, h('span', { class: 'soft' }, 'beside '), choice), dates),
    add: (tool) => dates.before(tool),
    says: (compared, headers) => {
      read = compared?.now ?? (headers && rangeOf(headers))
      choice.value = compared?.with ?? choice.value // last year may be refused
      fill(dates, read ? inWords(compared, read, page.zone) : '\u00a0')
    },
  }
}

/** Of an answer without another period: 2026-11-19T00:00Z/2026-11-26T00:00Z;by=1d;points=7. */
function rangeOf(headers) {
  const [start, end] = (headers.get('X-Whale-Range') ?? '').replace(/^.*?=(?=\d{4}-)/, '').split(';')[0].split('/')
  return end && { start, end }
}

/** Sun 25 Oct – Wed 25 Nov, until 19:00 UTC · beside 23 Sept – 24 Oct, until the same time. */
function inWords(compared, { start, end }, zone) {
  const [from, to] = [Date.parse(start), Date.parse(end)]
  const days = to - from > 36 * 3600e3
  const at = (ms) => (days ? f.weekday(ms, zone) : `${f.weekday(ms, zone)} ${f.clock(ms, zone)}`)
  const open = compared && !compared.complete
  const span = f.weekday(from, zone) === f.weekday(to - 1, zone) ? f.weekday(from, zone) : `${at(from)} – ${at(to - 1)}`
  const said = `${span}${open ? `, until ${f.clock(to, zone)} ${zone}` : ''}`
  if (!compared) return said
  const before = [compared.before.start, compared.before.end].map((text) => Date.parse(text))
  return `${said} · beside ${f.day(before[0], zone)} – ${f.day(before[1] - 1, zone)}${open ? ', until the same time' : ''}`
}

/** As long, next to it. Whole days stay whole. */
function moved({ start, end }, by, zone) {
  const day = 86400e3
  const [from, to] = [Date.parse(start), Date.parse(end)]
  const length = to - from > day ? Math.ceil((to - from) / day) * day : to - from
  return [from + by * length, from + (by + 1) * length].map((ms) => f.local(ms, zone)).join('..')
}
