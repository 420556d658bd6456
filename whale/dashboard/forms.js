/**
 * Forms that make a condition on a property, or a set of visitors, and that save and delete what was made. They come once one is asked for.
 * take: what is done with it.
 */
import { h } from './dom.js'
import { choice, openForm, text } from './form.js'
import * as f from './format.js'
import { valueOf } from './of_site.js'
import { routeOf } from './saved.js'
import { HOWS, SESSIONS } from './words.js'

const MOST_VALUES = 100
const WHENS = [
  ['last', 'their last value'], ['first', 'their first value'], ['any', 'any value that they ever had'], ['at', 'the value that they had then'],
  ['event', 'the value of this very event'],
]

/** A form for { property, is | in | not, when }; the values that are known are offered. event: only its properties; without one those of visitors. */
export async function askCondition(page, { title, event }, take) {
  const asked = { pk: page.state.pk.slice(0, 1), tz: page.asked.tz }
  const { answer } = await page.ask('properties', { ...asked, event })
  const said = ({ property, of }) => `${f.shown(property)}${of === 'event' ? ', of the event' : ''}`
  const some = answer.properties.filter(({ of }) => event || of === 'visitor')
  const property = choice('property', 'Property', some.map((each) => [JSON.stringify([each.property, each.of]), said(each)]))
  const [how, value, values] = testFields()
  const when = choice('when', 'Which of their values', event ? WHENS : WHENS.slice(0, 3), 'last')
  const look = async () => {
    const [name, of] = JSON.parse(property.control.value || '["",""]')
    if (event) when.control.value = of === 'event' ? 'event' : when.control.value === 'event' ? 'last' : when.control.value
    values.know(name ? (await page.ask('properties', { ...asked, property: name, of, limit: MOST_VALUES })).answer.rows.map((row) => row.value) : [])
  }
  openForm(document.body, {
    title, action: 'Add', fields: [property, how, value, when],
    send: (given) => take({ property: JSON.parse(given.property)[0], ...values.test(given), ...(given.when !== 'last' && { when: given.when }) }),
  })
  property.control.addEventListener('change', look)
  await look()
}

/** Fields for a test of a value, and what reads them: values.test({ how, value }) is { is: … }, { not: … } or { in: […] }. */
function testFields() {
  const how = choice('how', 'Condition', HOWS, 'is')
  const value = text('value', 'Value', '', { list: 'values-known', hint: 'With commas between, where it is one of several. Empty: none at all.' })
  const [known, list] = [new Map(), h('datalist', { id: 'values-known' })]
  value.element.append(list)
  const read = (given) => (given === '' ? null : known.has(given) ? known.get(given) : jsonOf(given))
  return [how, value, {
    know: (values) => {
      known.clear()
      for (const each of values) known.set(valueOf(each), each)
      list.replaceChildren(...[...known.keys()].map((each) => h('option', { value: each })))
    },
    test: (given) => ({ [given.how]: given.how === 'in' ? given.value.split(',').map((each) => read(each.trim())) : read(given.value.trim()) }),
  }]
}

/** 5 is a number, true is true; all else is text. */
function jsonOf(given) {
  try { return JSON.parse(given) } catch { return given }
}

export const askProperty = (page, take) => askCondition(page, { title: 'Visitors with a property' }, take)

export async function askEvent(page, take) {
  const known = await eventsOf(page)
  openForm(document.body, {
    title: 'Visitors who had an event', action: 'Add', fields: [choice('event', 'In the period, the event', known)],
    send: ({ event }) => take({ event }),
  })
}

const eventsOf = async (page) => (await page.ask('events', { ...page.asked, compare: undefined })).answer.events.map(({ event }) => [event, f.shown(event)])

export async function askSession(page, take) {
  const [how, value, values] = testFields()
  openForm(document.body, {
    title: 'Visitors who began a session', action: 'Add', fields: [choice('session', 'Of its', SESSIONS, 'source'), how, value],
    send: (given) => take({ session: given.session, ...values.test(given) }),
  })
}

export async function askCohort(page, take) {
  const known = [['', 'any event'], ...await eventsOf(page)]
  openForm(document.body, {
    title: 'Visitors who began', action: 'Add',
    fields: [choice('cohort', 'With the event', known, ''),
      text('period', 'In the period', 'last_week', { required: true, list: 'periods-known', hint: 'As last_week, 30d, 2026-11 or 2026-11-01..2026-11-15.' })],
    send: ({ cohort, period }) => take({ cohort, period: period.trim() }),
  })
}

/** Whoever changes what is saved says which revision they saw. what: as "funnel".  body: what is saved.  done: with the name. */
export function askSave(page, { kind, what, site, saved, name, body, done }) {
  const field = text('name', 'Name', name ?? '', { required: true, hint: `A name that is there already gets the new ${what}.` })
  openForm(document.body, {
    title: `Save the ${what}`, action: 'Save', fields: [field],
    send: async ({ name: given }) => {
      const revision = saved.find((each) => each.name === given)?.revision ?? 0
      await page.ask(routeOf(kind, site, given), {}, { method: 'PUT', body: { ...body, revision } })
      done(given)
    },
  })
}

export function askDelete(page, { kind, what, site, name, done }) {
  openForm(document.body, {
    title: `Delete the ${what} ${f.shown(name)}?`, says: 'What was logged stays.', action: 'Delete',
    send: async () => {
      await page.ask(routeOf(kind, site, name), {}, { method: 'DELETE' })
      done()
    },
  })
}
