/** What one visitor did, the newest first, and what they are like. All that is kept of them can be taken along, or erased. */
import { Refused, questionOf } from '../api.js'
import { card, tableOf } from '../card.js'
import { download, fill, h } from '../dom.js'
import { openForm } from '../form.js'
import * as f from '../format.js'
import { valueOf } from '../of_site.js'
import { empty } from '../states.js'
import { fileOf, ofSite, when } from '../visiting.js'

const [FEW, MANY, APART_MS] = [100, 10_000, 30 * 60e3]
const NOBODY = 'Nobody is known by this id: nobody came under it for a long time, or they were erased.'
const AOF = {
  rewriting: 'The file of the embedded Redis is written anew without them.',
  kept: 'Copies stay in the append-only file of Redis until it is written anew.',
}

export const show = ofSite('visitor', 'A visitor', build, draw, { period: false, segment: false })

function build(parts) {
  parts.deeds = card('Visitor', { id: 'deeds', height: 'page', main: true })
  parts.properties = card('Properties', { id: 'properties', height: 'rows' })
  parts.notice = h('p', { class: 'notice', role: 'status', hidden: true })
  return [parts.notice, h('div', { class: 'columns' }, parts.deeds.element, parts.properties.element)]
}

async function draw(view) {
  const { page, parts: { deeds, properties, notice }, asked: { pk, tz } } = view
  const { visitor, limit } = page.state
  const route = `visitor/${encodeURIComponent(visitor ?? '')}`
  deeds.title(f.shown(visitor ?? ''))
  if (notice.dataset.of !== visitor) fill(notice).hidden = true
  const found = visitor ? await page.ask(route, { pk, tz, limit: Number(limit) || FEW }).catch(unknown) : null
  if (!found) {
    deeds.at()
    fill(deeds.body, empty(visitor ? NOBODY : 'Type the id of a visitor into the field above.'))
    fill(properties.body, empty('Nothing is known.'))
    return void [deeds, properties].forEach((each) => fill(each.tools))
  }
  const { answer, address } = found
  deeds.title('Visitor ', f.shown(visitor), answer.visitor !== visitor && h('small', {}, `first seen as ${f.shown(answer.visitor)}`))
  deeds.at(h('button', { id: 'export', onclick: () => save(route, pk, visitor).catch((error) => tell(notice, visitor, error.message)) }, 'Export'),
    h('button', { id: 'erase', class: 'bad', onclick: () => erase(view, route) }, 'Erase'))
  const rows = answer.events
  fill(deeds.body, facts(answer, page.zone), rows.length ? timeline(rows, page.zone) : empty('Properties alone are known of them, and no event.'),
    answer.more > 0 && h('p', { class: 'foot' }, `${f.full(answer.more)} earlier ${answer.more === 1 ? 'event is' : 'events are'} not shown. `,
      rows.length < MANY && h('a', { href: page.link({ limit: String(Math.min(MANY, rows.length * 10)) }) }, 'Show more')))
  deeds.offer({ address, table: () => ({
    columns: ['Time', 'Event', 'Properties'], rows: rows.map(({ at, event, properties: own }) => [at, event, own ? JSON.stringify(own) : '']),
  }) })
  const said = answer.properties.map(({ property, value, since }) => [f.shown(property), valueOf(value), when(since, page.zone)])
  const table = () => ({ columns: ['Property', 'Value', 'Since'], rows: said })
  fill(properties.body, said.length ? tableOf('Properties', table()) : empty('No hit said a property of them.'))
  properties.offer({ address, table })
}

function unknown(error) {
  if (error instanceof Refused && error.problem.status === 404 && error.problem.field === 'visitor') return null
  throw error
}

function facts({ events, more, since, is_incomplete: isIncomplete }, zone) {
  const all = events.length + more
  return h('p', { class: 'foot facts' }, [
    `${f.full(all)} ${all === 1 ? 'event' : 'events'}`, events.length && `last seen ${when(events[0].at, zone)}`,
    events.length && !more && `first seen ${when(events.at(-1).at, zone)}`, `the log begins on ${f.weekday(Date.parse(since), zone)}`,
    isIncomplete && 'a part of it could not be read',
  ].filter(Boolean).join(' · '))
}

/** Day by day; a rule where half an hour or more passed between two events. */
function timeline(events, zone) {
  const days = Map.groupBy(events, ({ at }) => f.weekday(Date.parse(at), zone))
  return [...days].map(([day, some]) => h('section', { class: 'day', 'aria-label': day }, h('h3', {}, day), h('ol', {}, some.map((event, i) => {
    const before = some[i - 1] && Date.parse(some[i - 1].at) - Date.parse(event.at)
    return h('li', { class: before > APART_MS ? 'apart' : null },
      h('time', { datetime: event.at, title: event.at }, clock(event.at, zone)), h('b', {}, f.shown(event.event)),
      Object.entries(event.properties ?? {}).map(([name, value]) => h('span', { class: 'badge' }, `${f.shown(name)} ${valueOf(value)}`)))
  }))))
}
const clock = (at, zone) => f.clock(Date.parse(at), zone) + at.slice(16, 19)

function tell(notice, visitor, text) {
  fill(notice, text)
  notice.dataset.of = visitor
  notice.hidden = false
}

async function save(route, pk, visitor) {
  const text = await fileOf(questionOf(route, { pk, export: 'true' }))
  download(`${visitor.replace(/[^\w.-]+/g, '_')}.json`, 'application/json', text)
}

function erase({ page, parts: { notice }, asked: { pk } }, route) {
  const { visitor } = page.state
  openForm(document.body, {
    title: `Erase ${f.shown(visitor)}?`, action: 'Erase',
    says: 'Whatever is known of them by any of their ids leaves the log for ever. What was counted stays, since counts know no visitors.',
    send: async () => {
      const { answer } = await page.ask(route, { pk }, { method: 'DELETE' })
      tell(notice, visitor, `${f.shown(visitor)} is erased. ${answer.purged ? '' : 'Their records leave memory within an hour. '}${AOF[answer.aof] ?? ''}`)
      page.go({ limit: '' }, { step: false })
    },
  })
}
