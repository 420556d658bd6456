/**
 * Hits while they are counted: one EventSource of the live service for all cards of a page. Where there is none, /spy and /totals
 * are asked instead, after 2 s, then twice as long, at last every 30 s. A hidden tab asks nothing; it asks once when it is back.
 *
 * `hits` is how many of today's hits the page knows of: asked before the first stream opens, so that all later ones are told, whatever
 * hides the page meanwhile. The stream adds to it, and whenever the page asks, what is missing is told. Answers may come late: one that
 * was asked before another one that is here is passed over, and one that knows less than the stream says nothing.
 *
 *     watch(page, pk, {
 *       hit: ({ pk, paths, metrics, at, id }) => …,             // paths: every place it counted in
 *       refused: ({ reason, field, came, pk, at, id }) => …,
 *       totals: ({ metrics }) => …,                              // counted since the totals before: add them up
 *       state: (text, late) => …,                                // of the connection, in words
 *     })
 *
 * pk: [] is all pks. All ends with page.signal.
 */
import { day as dayOf } from './format.js'

const [LEAST_S, MOST_S, MOST_SEEN] = [2, 30, 1000]

export function watch(page, pk, told) {
  const { signal } = page
  const seen = new Set() // names of hits: the stream and /spy have some of them both
  let [source, timer, pause, last, hits, day, asked, met] = [null, 0, LEAST_S, '', null, '', 0, 0]

  async function start() {
    stop()
    const way = page.ask('live_token').catch((error) => (page.failed(error), { answer: { isOut: [401, 403].includes(error.problem?.status) } }))
    const [{ answer }] = await Promise.all([way, hits === null && sums()])
    if (signal.aborted || document.hidden || source) return
    if (answer.url) open(answer)
    else later(answer.isOut)
  }

  function open({ url, token }) {
    const given = { pk: pk.length && JSON.stringify(pk), token, last }
    source = new EventSource(`${url}?${new URLSearchParams(Object.entries(given).filter(([, value]) => value))}`)
    let first = true
    const on = (kind, take) => source.addEventListener(kind, (event) => {
      last = event.lastEventId || last
      take(JSON.parse(event.data))
    })
    on('hit', (data) => isNew(data) && told.hit(data))
    on('refused', (data) => isNew(data) && told.refused(data))
    on('totals', (data) => { if (hits !== null) hits += data.metrics.hits; told.totals(data) })
    on('ping', ({ redis, spy }) => {
      pause = LEAST_S
      const counts = spy ? 'Hits show as they are counted' : 'Sums alone show (HAILWHALE_SPY=0)'
      told.state(redis === 'away' ? 'Redis is away: counting waits' : counts, redis === 'away')
      if (first) ask() // what came before it was open
      first = false
    })
    source.onerror = () => later() // also where its time was over: the next one has a new token
  }

  async function later(isOut = false) {
    stop()
    timer = setTimeout(start, pause * 1000)
    told.state(`${isOut ? 'Whale no longer lets you in' : 'The live service does not answer'}: asked again in ${pause} s`, true)
    pause = Math.min(MOST_S, pause * 2)
    if (!isOut) await ask()
  }

  function stop() {
    source?.close()
    clearTimeout(timer)
    source = null
  }

  function isNew({ name }) {
    const known = seen.has(name)
    seen.add(name)
    if (seen.size > MOST_SEEN) seen.delete(seen.values().next().value)
    return !known
  }

  /** What the stream did not tell. */
  async function ask() {
    const [spy] = await Promise.all([page.ask('spy', { limit: 60 }).catch(none), sums()])
    for (const trace of (spy.answer ?? []).reverse()) {
      if ((trace.pk && !pk.every((name, i) => trace.pk[i] === name)) || !isNew(trace)) continue
      if (trace.outcome === 'counted') told.hit({ ...trace, paths: pathsOf(trace.dimensions) })
      else told.refused({ ...trace, reason: trace.outcome })
    }
  }

  /** Today's hits; tells those that the page did not know of. */
  async function sums() {
    if (!pk.length) return
    const mine = ++asked
    const { answer } = await page.ask('totals', { pk, metrics: ['hits'], period: 'today' }).catch(none)
    const [now, today] = [answer?.today._?.hits, dayOf(Date.now(), page.zone)]
    if (now === undefined || mine < met || signal.aborted) return
    met = mine
    if (hits !== null && day === today && now > hits) told.totals({ metrics: { hits: now - hits } })
    hits = hits === null || day !== today ? now : Math.max(hits, now)
    day = today
  }

  document.addEventListener('visibilitychange', () => (document.hidden ? stop() : start()), { signal })
  signal.addEventListener('abort', stop)
  if (!document.hidden) start()
}

const none = () => ({ answer: null })
const pathsOf = (tree, above = []) => [above, ...Object.entries(tree ?? {}).flatMap(([name, below]) => pathsOf(below, [...above, name]))]
