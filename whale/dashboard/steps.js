/**
 * Steps of a funnel, and sets of a segment: events, each with conditions on properties. A step is "order", or
 * { event: "order", where: [{ property, is | in | not, when }] }, as questions take it.
 */
import { h } from './dom.js'
import { choice, openForm, text } from './form.js'
import * as f from './format.js'
import { valueOf } from './visiting.js'

const HOWS = [['is', 'is'], ['not', 'is not'], ['in', 'is one of']]
const WHENS = [
  ['last', 'their last value'], ['first', 'their first value'], ['any', 'any value that they ever had'], ['at', 'the value that they had then'],
  ['event', 'the value of this very event'],
]
const [MOST_VALUES, MOST_CONDITIONS] = [100, 16]

export const eventOf = (step) => (typeof step === 'string' ? step : step.event)
export const whereOf = (step) => step.where ?? []
const plain = (event, where) => (where.length ? { event, where } : event)

/** Of the address; null where it has none. */
export function stepsOf(given) {
  try {
    const steps = JSON.parse(given ?? 'null')
    const read = (step) => (step?.event === undefined ? String(step) : plain(String(step.event), [step.where ?? []].flat()))
    return Array.isArray(steps) ? steps.map(read) : null
  } catch { return null }
}

/** plan is pro; price is not 5. */
export function inWords({ property, when = 'last', ...test }) {
  const [how, name] = HOWS.find(([each]) => each in test) ?? ['is', 'is']
  const values = [test[how]].flat().map((value) => (value === null ? 'none' : valueOf(value))).join(' or ')
  const said = { last: '', event: '', first: ' first', any: ' ever', at: ' then' }[when] ?? ''
  return `${f.shown(String(property))} ${name}${said} ${values}`
}

/** order (plan is pro and price is not 5). */
export const named = (step) => f.shown(eventOf(step)) + (whereOf(step).length ? ` (${whereOf(step).map(inWords).join(' and ')})` : '')

/** The conditions of a step, each a button that takes it out, and one that adds another. change: with the step as it is to be. */
export function conditions(page, step, number, change) {
  const [event, where] = [eventOf(step), whereOf(step)]
  const out = (i) => () => change(plain(event, where.toSpliced(i, 1)))
  return [
    where.map((condition, i) => h('button', {
      id: `condition-${number}-${i}`, class: 'condition', 'aria-label': `Take out: ${inWords(condition)}`, onclick: out(i),
    }, inWords(condition), ' ×')),
    where.length < MOST_CONDITIONS && h('button', {
      id: `where-${number}`, class: 'plain', 'aria-label': `Add a condition to step ${number + 1}`, onclick: () => add(page, step, number, change),
    }, 'if…'),
  ]
}

async function add(page, step, number, change) {
  const event = eventOf(step)
  await askCondition(page, { title: `Only if, for ${f.shown(event)}`, event }, (condition) => change(plain(event, [...whereOf(step), condition])))
}

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
export function testFields() {
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
