/**
 * What the metrics of a pk are: { formula, name, unit: count|money|share|seconds|bytes|times|number, currency, better: up|down|none }.
 * Whale says it of each metric (GET /metrics_of?info=true); of a ratio it follows from its two parts.
 */
import { title } from './format.js'

/** Metrics of a pk, in the order of use. ask: as the page has it. */
export async function metricsOf(pk, ask) {
  const listed = (await ask('metrics_of', { pk })).answer.map(guess)
  return new Metrics(listed)
}

const MONEY = /^(revenue|.*cost|earned|spent|price|sales|.*dollars|amount|profit)$/
function guess(name) {
  const unit = MONEY.test(name) ? 'money' : /_s$|seconds/.test(name) ? 'seconds' : /bytes/.test(name) ? 'bytes' : 'count'
  return { name, unit, better: /cost|error|refund|bounce/.test(name) ? 'down' : 'up' }
}

export class Metrics {
  #known
  constructor(listed) {
    this.#known = new Map(listed.map((metric) => [metric.name, metric]))
  }

  get names() {
    return [...this.#known.keys()]
  }

  has(name) {
    return this.#known.has(name)
  }

  /** A name, or a formula, described. */
  of(formula) {
    const metric = this.#known.get(formula)
    if (metric) return { ...metric, formula, name: title(formula) }
    const [above, below, more] = formula.split('/').map((part) => this.#known.get(part.trim()) ?? { name: part, unit: 'number' })
    if (!below || more) return { formula, name: formula, unit: 'number', better: 'none' }
    const better = below.better === 'down' && above.better === 'up' ? 'up' : (above.better ?? 'none')
    return { formula, name: `${title(above.name)} per ${title(below.name).toLowerCase()}`, better, ...ratio(above, below) }
  }
}

function ratio(above, below) {
  if (above.unit === 'money' && below.unit === 'money') return { unit: 'times' }
  if (above.unit === 'count' && below.unit === 'count') return { unit: 'share' }
  return ['money', 'seconds', 'bytes'].includes(above.unit) ? { unit: above.unit, currency: above.currency } : { unit: 'number' }
}

/** `good`, `bad` or nothing, of a change in this direction: a class. */
export const judged = (metric, sign) => (!sign || metric.better === 'none' ? '' : sign > 0 === (metric.better !== 'down') ? 'good' : 'bad')
