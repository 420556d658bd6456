/** Who came: how many visitors, new and returning, over time; what happened, what they are like, and who was here last. */
import { card } from '../card.js'
import { fill, h, headOf, scroller, select } from '../dom.js'
import * as f from '../format.js'
import { datesOf, fairly, limits, ofWhole, shares, valueOf } from '../of_site.js'
import { empty } from '../states.js'
import { SESSIONS, sessionsOf, showSessions } from '../sessions.js'
import { tile } from '../tiles.js'
import { showNumber } from '../number_line.js'
import { columns, ofSite, when } from '../visiting.js'

const [MOST_EVENTS, MOST_VALUES, MOST_SEEN] = [12, 8, 8]
const count = (formula, name, better = 'up') => ({ formula, name, unit: 'count', better })
const NUMBERS = [count('visitors', 'Visitors'), count('new', 'New'), count('returning', 'Came back')]

export const show = ofSite('visitors', 'Visitors', build, async (given) => {
  const dates = await datesOf(given)
  const view = { ...given, asked: fairly(dates, given.asked, given.page.zone) }
  const now = await numbersOf(view.page, view.asked)
  const { chart, events, properties, sessions, seen } = view.parts
  await Promise.all([
    chart.during(() => showNumbers(view, dates, now)), events.during(() => showEvents(view, now.answer.visitors)),
    properties.during(() => showProperties(view)), sessions.during(() => showSessions(view)), seen.during(() => showSeen(view)),
  ])
})

/** What /visitors and /sessions say: { answer, of: (number) => { address, total, points: [[ms, value], …] } }. */
async function numbersOf(page, question) {
  const [visits, sessions] = await Promise.all([page.ask('visitors', question), sessionsOf(page, question)])
  return {
    answer: visits.answer,
    of: ({ formula }) => {
      const { answer, address } = SESSIONS.some((each) => each.formula === formula) ? sessions : visits
      const points = answer.points?.filter(({ at }) => Date.parse(at) <= Date.now()) ?? []
      return { address, total: answer[formula], points: points.map((point) => [Date.parse(point.at), point[formula]]) }
    },
  }
}

function build(parts) {
  parts.tiles = h('section', { class: 'tiles', 'aria-label': 'Numbers of visitors' })
  parts.chart = card('Visitors', { id: 'chart', height: 'chart', main: true })
  parts.events = card('Events', { id: 'events', height: 'few' })
  parts.properties = card('Properties', { id: 'properties', height: 'few' })
  parts.sessions = card('Sessions', { id: 'sessions', height: 'few' })
  parts.seen = card('Seen last', { id: 'seen', height: 'seen' })
  const { chart, events, sessions, properties, seen } = parts
  return [parts.tiles, chart.element, h('div', { class: 'columns' }, events.element, properties.element),
    h('div', { class: 'columns' }, sessions.element, seen.element)]
}

async function showNumbers(view, { compared, start }, now) {
  const { page, parts, asked } = view
  const { since } = now.answer
  const isWhole = asked.start && Date.parse(since) <= Date.parse(compared.before.start)
  const past = isWhole ? numbersOf(page, { ...asked, start: compared.before.start, finish: compared.before.end }) : null
  const [lately, before] = await Promise.all([page.ask('visitors', { pk: asked.pk, period: '1m:30m', segment: asked.segment }), past])
  const numbers = [...NUMBERS, ...SESSIONS].filter((each) => now.of(each).total != null)
  const chosen = numbers.find(({ formula }) => formula === page.state.show) ?? numbers[0]
  fill(parts.tiles, numbers.map((each, i) => {
    const choose = () => page.go({ show: i ? each.formula : '' })
    page.key(String(i + 1), 'a number', choose)
    const [these, those] = [now.of(each), before?.of(each)]
    const [total, series] = those ? [{ now: these.total, before: those.total }, { now: these.points, before: those.points }] : [these.total, these.points]
    return tile(page, each, total, series, { pressed: each === chosen, choose })
  }), lastMinutes(lately.answer))
  showNumber(view, chosen, now.of(chosen), before?.of(chosen))
  parts.chart.body.append(limits(now.answer, start, page.zone) || '')
}

function lastMinutes({ visitors, points }) {
  return h('div', { class: 'tile' }, h('span', { class: 'name' }, 'Last 30 minutes'), h('b', { class: 'big' }, f.number(visitors)),
    h('span', { class: 'change soft' }, visitors ? 'by the minute' : 'nobody'),
    columns(points.map((point) => point.visitors)))
}

const amount = (v, name = 'n') => h('td', { class: name, title: f.full(v) }, f.number(v))

async function showEvents({ page, parts: { events }, asked }, visitors) {
  const { answer, address } = await page.ask('events', asked)
  const rows = answer.events
  if (!rows.length) return void fill(events.body, empty('No event was logged in this period.'))
  const link = (event) => page.link({ view: 'funnels', steps: JSON.stringify([event]), segment: page.state.segment })
  fill(events.body, scroller('Table: Events', h('table', { class: 'rows' },
    headOf(['Event'], ['Times', 'n'], ['Visitors', 'n'], ['Of all visitors', 'wide-only'], ['', 'n wide-only'], ['Last', 'n wide-only']),
    h('tbody', {}, rows.slice(0, MOST_EVENTS).map((row) => h('tr', {},
      h('th', { scope: 'row' }, h('a', { href: link(row.event), title: 'Begin a funnel with it' }, f.shown(row.event))),
      amount(row.times), amount(row.visitors, 'n strong'),
      h('td', { class: 'wide-only wide-bar' }, shares(['part', visitors ? row.visitors / visitors : 0])),
      h('td', { class: 'n wide-only' }, ofWhole(row.visitors, visitors)), h('td', { class: 'n wide-only' }, when(row.last, page.zone))))))),
  h('p', { class: 'foot' }, rows.length > MOST_EVENTS && `${f.full(rows.length - MOST_EVENTS)} more are in the table. `,
    'An event opens a funnel that begins with it.'))
  events.offer({ address, table: () => ({
    columns: ['Event', 'Times', 'Visitors', 'Last'], rows: rows.map(({ event, times, visitors, last }) => [event, times, visitors, last]),
  }) })
}

async function showProperties({ page, parts: { properties }, asked: { pk, tz, segment } }) {
  const { answer } = await page.ask('properties', { pk, tz, segment })
  const named = answer.properties.map(({ property, of }) => [JSON.stringify([property, of]), `${f.shown(property)}${of === 'event' ? ', of events' : ''}`])
  if (!named.length) return void fill(properties.body, empty('No hit said a property yet.'))
  const chosen = named.some(([name]) => name === page.state.property) ? page.state.property : named[0][0]
  const [property, of] = JSON.parse(chosen)
  properties.at(select({ id: 'property', 'aria-label': 'Property' }, named, chosen, (name) => page.go({ property: name })))
  const found = await page.ask('properties', { pk, tz, segment, property, of, limit: MOST_VALUES })
  const { rows, visitors, since } = found.answer
  fill(properties.body, scroller('Table: Properties', h('table', { class: 'rows' }, headOf(['Last value'], ['', 'wide-only'], ['Visitors', 'n'], ['', 'n']),
    h('tbody', {}, rows.map((row) => h('tr', {}, h('th', { scope: 'row' }, valueOf(row.value)),
      h('td', { class: 'wide-only wide-bar' }, shares(['part', visitors ? row.visitors / visitors : 0])),
      amount(row.visitors, 'n strong'), h('td', { class: 'n' }, ofWhole(row.visitors, visitors))))))),
  h('p', { class: 'foot' }, `All visitors since ${f.day(Date.parse(since), page.zone)}, whatever the period.`))
  properties.offer({ address: found.address, table: () => ({ columns: [property, 'Visitors'], rows: rows.map((row) => [valueOf(row.value), row.visitors]) }) })
}

async function showSeen({ page, parts: { seen }, asked }) {
  const { answer, address } = await page.ask('visitors/recent', { ...asked, limit: MOST_SEEN })
  const link = (visitor) => page.link({ view: 'visitor', visitor, segment: page.state.segment })
  const who = (visitor) => (visitor === null ? h('span', { class: 'soft' }, 'no id is kept') : h('a', { href: link(visitor) }, f.shown(visitor)))
  const line = ({ visitor, at, event }) => h('li', {}, who(visitor), h('span', { class: 'badge' }, f.shown(event)),
    h('span', { class: 'soft' }, f.bucket(Date.parse(at), 60_000, page.zone)))
  if (!answer.rows.length) return void fill(seen.body, empty('Nobody came in this period.'))
  fill(seen.body, h('ul', { class: 'seen' }, answer.rows.map(line)))
  seen.offer({ address, table: () => ({ columns: ['Visitor', 'Last', 'Event'], rows: answer.rows.map(({ visitor, at, event }) => [visitor, at, event]) }) })
}
