/** Sets of visitors, as questions take them: in words, and the forms that make them. */
import { choice, openForm, text } from './form.js'
import * as f from './format.js'
import { askCondition, inWords, named, testFields } from './steps.js'

const SESSIONS = [
  ['source', 'source'], ['campaign', 'campaign'], ['medium', 'medium'], ['content', 'content'], ['term', 'term'], ['entry', 'first event'],
  ['exit', 'last event'],
]
const PERIODS = [['last_week', 'last week'], ['last_month', 'last month'], ['7d', 'the last 7 days'], ['30d', 'the last 30 days'], ['90d', 'the last 90 days']]

/** order (plan is pro); not (visit or order). */
export function setInWords(set) {
  if (set.event !== undefined) return named(set)
  if (set.property !== undefined) return inWords(set)
  if (set.segment !== undefined) return `segment ${f.shown(set.segment)}`
  if (set.session !== undefined) return `session’s ${inWords({ ...set, property: SESSIONS.find(([name]) => name === set.session)?.[1] ?? set.session })}`
  if (set.cohort !== undefined) return `began ${set.cohort ? `with ${f.shown(set.cohort)} ` : ''}in ${periodInWords(set.period)}`
  if (set.not !== undefined) return `not ${within(set.not)}`
  const [word] = ['and', 'or'].filter((each) => Array.isArray(set[each]))
  return word ? set[word].map(within).join(` ${word} `) : JSON.stringify(set)
}
const within = (set) => (set.and || set.or ? `(${setInWords(set)})` : setInWords(set))
const periodInWords = (period) => PERIODS.find(([name]) => name === period)?.[1] ?? f.shown(String(period))

/** Of the address; null where it has none. */
export function setsOf(given) {
  try {
    const sets = JSON.parse(given ?? 'null')
    return Array.isArray(sets) ? sets.filter((set) => set && typeof set === 'object') : null
  } catch { return null }
}

export const askProperty = (page, take) => askCondition(page, { title: 'Visitors with a property' }, take)

export function askSession(page, take) {
  const [how, value, values] = testFields()
  openForm(document.body, {
    title: 'Visitors who began a session', action: 'Add', fields: [choice('session', 'Of its', SESSIONS, 'source'), how, value],
    send: (given) => take({ session: given.session, ...values.test(given) }),
  })
}

export function askCohort(page, events, take) {
  const known = [['', 'any event'], ...events.map((event) => [event, f.shown(event)])]
  openForm(document.body, {
    title: 'Visitors who began', action: 'Add',
    fields: [choice('cohort', 'With the event', known, ''),
      text('period', 'In the period', 'last_week', { required: true, list: 'periods-known', hint: 'As last_week, 30d, 2026-11 or 2026-11-01..2026-11-15.' })],
    send: ({ cohort, period }) => take({ cohort, period: period.trim() }),
  })
}
