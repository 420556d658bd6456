/** What comes before an event, and what comes next, within the same session. Each event leads on to its own neighbours. */
import { card } from '../card.js'
import { fill, h, headOf, scroller, select } from '../dom.js'
import * as f from '../format.js'
import { OTHERS, datesOf, limits, ofWhole, shares } from '../of_site.js'
import { empty } from '../states.js'
import { ofSite } from '../visiting.js'

const MOST = 10
const SIDES = [['before', 'Came before', 'the session began with it'], ['next', 'Came next', 'the session ended with it']]

export const show = ofSite('paths', 'Paths', build, async (view) => {
  const { page, parts, asked } = view
  const [{ start }, { answer }] = await Promise.all([datesOf(view), page.ask('events', asked)])
  const event = page.state.event || answer.events[0]?.event
  const known = [...new Set([event, ...answer.events.map((each) => each.event)].filter(Boolean))].sort()
  const choice = select({ id: 'event', name: 'event' }, known.map((name) => [name, f.shown(name)]), event, (to) => page.go({ event: to }))
  fill(parts.controls, event && h('label', {}, h('span', { class: 'soft' }, 'around the event '), choice))
  await Promise.all(SIDES.map(([direction, , alone]) => parts[direction].during(() => showSide(view, event, { direction, alone, start }))))
}, { compared: false })

function build(parts) {
  parts.controls = h('div', { class: 'controls around' })
  for (const [direction, title] of SIDES) parts[direction] = card(title, { id: direction, height: 'page', main: direction === 'next' })
  return [parts.controls, h('div', { class: 'columns halves' }, parts.before.element, parts.next.element)]
}

async function showSide({ page, parts, asked }, event, { direction, alone, start }) {
  const place = parts[direction]
  if (!event) return void fill(place.body, empty('No event was logged in this period.'))
  const { answer, address } = await page.ask('paths', { ...asked, event, direction, limit: MOST })
  const { rows, ended, open, occurrences } = answer
  const line = (name, times, visitors, tone = 'part') => h('tr', {},
    h('th', { scope: 'row' }, name), h('td', { class: 'wide-only wide-bar' }, shares([tone, occurrences ? times / occurrences : 0])),
    h('td', { class: 'n strong', title: f.full(times) }, f.number(times)), h('td', { class: 'n' }, ofWhole(times, occurrences)),
    h('td', { class: 'n wide-only' }, visitors == null ? '' : f.number(visitors)))
  const link = (name) => (name === OTHERS ? 'Other events' : h('a', { href: page.link({ event: name }) }, f.shown(name)))
  fill(place.body, h('p', { class: 'lead' }, leading(answer, direction)),
    occurrences > 0 && scroller(`Table: ${direction}`, h('table', { class: 'rows' },
      headOf(['Event'], ['', 'wide-only'], ['Times', 'n'], ['', 'n'], ['Visitors', 'n wide-only']),
      h('tbody', {}, rows.map((row) => line(link(row.event), row.occurrences, row.visitors)), line(`Nothing: ${alone}`, ended, null, 'lost'),
        open > 0 && line('Nothing yet', open, null, 'open')))),
    limits(answer, start, page.zone))
  place.offer({ address, table: () => ({
    columns: ['Event', 'Times', 'Visitors'],
    rows: [...rows.map((row) => [row.event, row.occurrences, row.visitors]), ['ended', ended, null], ['open', open, null]],
  }) })
}

function leading({ event, rows, ended, occurrences }, direction) {
  if (!occurrences) return `${f.shown(event)} did not happen in this period.`
  const [first] = rows
  const isNext = direction === 'next'
  const [most, said] = !first || ended > first.occurrences ? [ended, isNext ? 'the session ended.' : 'the session began with it.']
    : [first.occurrences, [h('b', {}, f.shown(first.event)), isNext ? ' came next.' : ' came before.']]
  return [h('b', {}, ofWhole(most, occurrences)), ` of ${f.full(occurrences)} times `, said]
}
