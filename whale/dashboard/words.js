/**
 * Steps of a funnel and sets of visitors, as questions take them, in words and from the address. A step is "order", or
 * { event: "order", where: [{ property, is | in | not, when }] }; a set is one of these objects, or of a property, a session, a cohort, and, or, not.
 */
import { shown } from './format.js'
import { valueOf } from './of_site.js'

export const HOWS = [['is', 'is'], ['not', 'is not'], ['in', 'is one of']]
export const eventOf = (step) => (typeof step === 'string' ? step : step.event)
export const whereOf = (step) => step.where ?? []
export const plain = (event, where) => (where.length ? { event, where } : event)

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
  return `${shown(String(property))} ${name}${said} ${values}`
}

/** order (plan is pro and price is not 5). */
export const named = (step) => shown(eventOf(step)) + (whereOf(step).length ? ` (${whereOf(step).map(inWords).join(' and ')})` : '')

export const SESSIONS = [
  ['source', 'source'], ['campaign', 'campaign'], ['medium', 'medium'], ['content', 'content'], ['term', 'term'], ['entry', 'first event'],
  ['exit', 'last event'],
]
const PERIODS = [['last_week', 'last week'], ['last_month', 'last month'], ['7d', 'the last 7 days'], ['30d', 'the last 30 days'], ['90d', 'the last 90 days']]

/** order (plan is pro); not (visit or order). */
export function setInWords(set) {
  if (set.event !== undefined) return named(set)
  if (set.property !== undefined) return inWords(set)
  if (set.segment !== undefined) return `segment ${shown(set.segment)}`
  if (set.session !== undefined) return `session’s ${inWords({ ...set, property: SESSIONS.find(([name]) => name === set.session)?.[1] ?? set.session })}`
  if (set.cohort !== undefined) return `began ${set.cohort ? `with ${shown(set.cohort)} ` : ''}in ${periodInWords(set.period)}`
  if (set.not !== undefined) return `not ${within(set.not)}`
  const [word] = ['and', 'or'].filter((each) => Array.isArray(set[each]))
  return word ? set[word].map(within).join(` ${word} `) : JSON.stringify(set)
}
const within = (set) => (set.and || set.or ? `(${setInWords(set)})` : setInWords(set))
const periodInWords = (period) => PERIODS.find(([name]) => name === period)?.[1] ?? shown(String(period))

/** Of the address; null where it has none. */
export function setsOf(given) {
  try {
    const sets = JSON.parse(given ?? 'null')
    return Array.isArray(sets) ? sets.filter((set) => set && typeof set === 'object') : null
  } catch { return null }
}

