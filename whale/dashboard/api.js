/** The public HTTP API of Whale, and nothing else. An answer keeps the address that made it, so every card can show it. */
import { keptByTab } from './kept.js'

/** Whale answered, and refused. problem: the RFC 9457 body.  retryAfter: seconds, or 0. */
export class Refused extends Error {
  constructor(problem, retryAfter, asked) {
    super(problem.detail || problem.title)
    Object.assign(this, { problem, retryAfter, asked })
  }
}

/** Whale did not answer, or not in time. */
export class Away extends Error {}

const PATIENCE_MS = 8_000

/** The read key, where the reader gave one. */
export const key = { get: () => keptByTab.get('key'), keep: (value) => keptByTab.set('key', value) }

/** The address of a question. What is no text travels as JSON; undefined and null are left out. */
export function questionOf(route, parameters = {}) {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(parameters)) {
    if (value != null) query.set(name, typeof value === 'string' ? value : JSON.stringify(value))
  }
  return `/${route}${query.size ? '?' : ''}${query}`
}

/**
 * Asks; gives { answer, address, asOf, unknown, more, headers }. signal: ends it.  method, body: what changes something.
 * Raises Refused, Away; an AbortError where the signal ended it.
 */
export async function ask(route, parameters, { signal, method = 'GET', body } = {}) {
  const address = questionOf(route, parameters)
  const headers = { ...(key.get() && { Authorization: `Bearer ${key.get()}` }), ...(body !== undefined && { 'Content-Type': 'application/json' }) }
  const patient = AbortSignal.timeout(PATIENCE_MS)
  let response, answer
  try {
    response = await fetch(address, { signal: signal ? AbortSignal.any([signal, patient]) : patient, method, headers, body: JSON.stringify(body) })
    answer = response.status === 204 ? null : await response.json()
  } catch (error) {
    if (error.name === 'AbortError') throw error
    if (!response || error.name === 'TimeoutError' || [502, 504].includes(response.status)) throw new Away() // so says a proxy where Whale is away
    throw new Refused({ detail: `Whale answered ${response.status}, and no JSON`, status: response.status }, 0, address)
  }
  if (!response.ok) throw new Refused(answer, Number(response.headers.get('Retry-After')) || 0, address)
  const said = response.headers
  return {
    answer, address, headers: said, asOf: said.get('X-Whale-As-Of'), unknown: unknownOf(said.get('X-Whale-Unknown')),
    more: Number(said.get('X-Whale-More')) || 0,
  }
}

/** [{ kind: 'pk', name: 'shpo', near: 'shop' }, …] */
function unknownOf(header) {
  if (!header) return []
  return header.split(', ').map((row) => {
    const fields = Object.fromEntries(row.split(';').map((part) => part.split('=').map(decodeURIComponent)))
    const [kind] = Object.keys(fields)
    return { kind, name: fields[kind], near: fields.near }
  })
}

/** The same question as a line for a terminal, which obeys control characters in whatever is pasted: they are encoded. */
export function curlOf(address, secret = document.documentElement.dataset.keys === 'needed' && '$KEY') {
  const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`
  const asked = new URL(address, location.href)
  const fields = [...asked.searchParams].map(([name, value]) => (/\p{Cc}/u.test(value)
    ? `-d ${quoted(`${name}=${encodeURIComponent(value)}`)}` : `--data-urlencode ${quoted(`${name}=${value}`)}`))
  const lines = [`curl -G ${quoted(asked.origin + asked.pathname)}`, ...(secret ? [`-H "Authorization: Bearer ${secret}"`] : []), ...fields]
  return lines.join(' \\\n  ')
}
