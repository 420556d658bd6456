/**
 * What the metrics of a pk are: { formula, name, unit: count|money|share|seconds|bytes|times|number, currency, better: up|down|none }.
 * Whale says it of each metric (GET /metrics_of?info=true); of a ratio it follows from its two parts.
 */
import { title } from './format.js'

/** Metrics of a pk, in the order in which they were first counted. ask: as the page has it. */
export async function metricsOf(pk, ask) {
  return new Metrics((await ask('metrics_of', { pk, info: true })).answer)
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
    return { formula, name: `${title(above.name)} per ${title(below.name).toLowerCase().replace(/([^s])s$/, '$1')}`, better, ...ratio(above, below) }
  }
}

function ratio(above, below) {
  if (above.unit === 'money' && below.unit === 'money') return { unit: 'times' }
  if (above.unit === 'count' && below.unit === 'count') return { unit: 'share' }
  return ['money', 'seconds', 'bytes'].includes(above.unit) ? { unit: above.unit, currency: above.currency } : { unit: 'number' }
}

/** `good`, `bad` or nothing, of a change in this direction: a class. */
export const judged = (metric, sign) => (!sign || metric.better === 'none' ? '' : sign > 0 === (metric.better !== 'down') ? 'good' : 'bad')
