/**
 * What the metrics of a pk are: { formula, name, unit: count|money|share|seconds|bytes|times|number, currency, better: up|down|none }.
 * Whale says it of each metric (GET /metrics_of?info=true); of a ratio it follows from its two parts.
 */
import { title } from './format.js'

/** The names that a formula divides by each other; in quotes they hold anything. */
export const namesOf = (formula) => (formula.match(/(?:`[^`]*`|"[^"]*"|[^/`"])+/g) ?? []).map((part) => part.trim().replace(/^([`"])(.*)\1$/s, '$2'))

/** A name as a formula has it: in quotes where it would be read as anything else, and nothing where no quotes can hold it. */
export const inFormula = (name) => (/[+\-*/():`"]|^[\s\d.[{]|\s$/.test(name) ? ['`', '"'].map((q) => q + name + q).find(([q]) => !name.includes(q)) : name)

/** Metrics of a pk, in the order in which they were first counted. ask: as the page has it. */
export async function metricsOf(pk, ask) {
  const { answer, unknown } = await ask('metrics_of', { pk, info: true })
  return new Metrics(answer, unknown.find(({ kind }) => kind === 'pk'))
}

const DAYS = { today: 1, '7d': 7, '30d': 30, '90d': 90, '1w:1y': 365 }

export class Metrics {
  #known
  /** unknown: { near } of a pk that was never counted. */
  constructor(listed, unknown) {
    this.#known = new Map(listed.map((metric) => [metric.name, metric]))
    this.unknown = unknown
  }

  get names() { return [...this.#known.keys()] }

  /** The last day with a count of any of them, as 2026-11-26. */
  get lastSeen() { return [...this.#known.values()].map((metric) => metric.last_seen ?? '').sort().at(-1) }

  /** The first day with a count of any of them. */
  get firstSeen() { return [...this.#known.values()].map((metric) => metric.first_seen).filter(Boolean).sort()[0] }

  /** The first day on which all metrics of a formula were counted. */
  since(formula) {
    const parts = this.has(formula) ? [formula] : formula.split(/[^\p{L}\p{N}_.]+/u)
    return parts.map((name) => this.#known.get(name)?.first_seen ?? '').sort().at(-1)
  }

  /** Was there no hit before this period? Then a comparison would only cut off what came since its last whole bucket. */
  isNewIn({ period, range }) {
    const first = this.firstSeen
    return !range && Boolean(first) && Date.now() - Date.parse(first) < (DAYS[period] ?? 0) * 86400e3
  }

  /** The metrics that a formula divides by each other. */
  within(formula) { return namesOf(formula).filter((name) => name !== formula && this.has(name)) }

  has(name) { return this.#known.has(name) }

  /** A name, or a formula, described. */
  of(formula) {
    const parts = namesOf(formula)
    const metric = this.#known.get(formula) ?? (parts.length === 1 && this.#known.get(parts[0]))
    if (metric) return { ...metric, formula, name: title(metric.name) }
    const [, mean, plain = mean] = /^ma7\((.+)\)$|^(.+):sum$/.exec(formula) ?? []
    if (plain) return { ...this.of(plain), formula, plain }
    const [above, below, more] = parts.map((part) => this.#known.get(part) ?? { name: part, unit: 'number' })
    if (!below || more) return { formula, name: formula, unit: 'number', better: 'none' }
    const better = below.better === 'down' && above.better === 'up' ? 'up' : (above.better ?? 'none')
    const one = title(below.name).toLowerCase().replace(/([^s])s$/, '$1')
    return { formula, name: `${title(above.name)} per ${one}`, better, ...ratio(above, below) }
  }
}

const MEASURES = ['money', 'seconds', 'bytes']

function ratio(above, below) {
  if (above.unit === 'money' && below.unit === 'money') return { unit: 'times' }
  if (above.unit === 'count' && below.unit === 'count') return { unit: 'share' }
  return MEASURES.includes(above.unit) ? { unit: above.unit, currency: above.currency } : { unit: 'number' }
}

/** `good`, `bad` or nothing, of a change in this direction: a class. */
export function judged(metric, sign) {
  if (!sign || metric.better === 'none') return ''
  return sign > 0 === (metric.better !== 'down') ? 'good' : 'bad'
}
