/**
 * Messages to the visitor of this page, and by them: a script of its own, beside the tracker.
 *
 *     trackr.onmessage((data, { id, by }) => …)     what is said to them; { all: true }: also what they said, and all that is kept
 *     trackr.say(text)
 *
 *     cookie ── who ──> Hail: a token ──> live: a stream, or where none comes through a request that waits
 *
 * No cookie, no message: whoever does not want to be followed has none, and one that goes ends all of it. What came last stands in the
 * storage of the tab, so that the next page goes on after it, and so does what could not be said yet: it has an id, and counts once.
 */
import { later, on, quiet, tabs, uuid } from './page.js'

const WAIT_S = 25, SILENT_MS = 4e4, FIRST_PAUSE_MS = 1000, LONGEST_PAUSE_MS = 6e4, MOST_WAITING = 20, FRESH_MS = 4e4, MOST_STREAMS = 2

const page = uuid(), listeners = []
let trackr, key, waiting = [], after = 0, token, stream, watch, asking, flying, failed = 0, pause = 0, sayPause = 0

const visitor = () => (('; ' + document.cookie).split(`; ${trackr.options.v_visitorCookieName}=`)[1] || '').split(';')[0]
const warn = (...words) => console.warn('trackr:', ...words)
const save = quiet(() => { tabs[key] = JSON.stringify({ after, waiting }) })
const longer = (ms) => Math.min(ms * 2 || FIRST_PAUSE_MS, LONGEST_PAUSE_MS)

/** Gives the address for a request, with a token that is good; nothing where there is none for this visitor. */
const address = async (more = '') => {
  if (!token || Date.now() > token.until || token.visitor != visitor()) {
    const { account, site, serverUrl } = trackr.options, v_visitor = visitor(), until = Date.now() + FRESH_MS
    const body = new Blob([JSON.stringify({ account, site, v_visitor })], { type: 'text/plain' })
    const answer = await fetch(serverUrl + '/push_token', { method: 'POST', body })
    if (answer.status > 499 || answer.status == 429) throw answer.status
    token = { ...await answer.json(), until, visitor: v_visitor }
    if (!token.token) warn('no messages:', token.why || token.detail)
  }
  return token.token && token.url + '?token=' + token.token + more
}

const take = (message) => {
  if (!visitor()) return close()
  const { id, by, data } = message
  after = Math.max(after, id)
  save()
  for (const listener of listeners) {
    if (id <= listener.after) continue
    listener.after = id
    if (listener.all || by == 'site') quiet(listener.f)(data, { id, by })
  }
}

const close = () => {
  clearTimeout(watch)
  if (stream) stream.close()
  stream = 0
}

const again = () => {
  close()
  pause = longer(pause)
  later(listen, pause * (1 + Math.random()) / 2)
}

const open = (from) => {
  const one = stream = new EventSource(from)
  let is_alive
  const alive = () => {
    if (!visitor()) return close()
    clearTimeout(watch)
    watch = later(fail, SILENT_MS)
  }
  const fail = quiet(() => {
    if (one != stream) return
    if (!is_alive) failed++
    token = 0
    again()
  })
  one.onmessage = quiet(({ data }) => {
    alive()
    take(JSON.parse(data))
  })
  one.addEventListener('ping', quiet(() => {
    is_alive = 1
    failed = pause = 0
    alive()
  }))
  one.onerror = fail
  alive()
}

const poll = async (from) => {
  const answer = await fetch(from + '&wait=' + WAIT_S)
  if (answer.status != 200) {
    token = 0
    throw answer.status
  }
  for (const message of (await answer.json()).messages) take(message)
  pause = 0
  later(listen, 0)
}

/** Once at a time, as long as the page is shown and somebody wants to hear. */
const listen = quiet(async () => {
  if (stream || asking || !listeners[0]) return
  if (!visitor()) return later(listen, FIRST_PAUSE_MS) // the first page view makes one
  asking = 1
  const count = listeners.length
  try {
    const from = await address(`&page=${page}&after=${Math.min(...listeners.map((listener) => listener.after))}`)
    if (from && window.EventSource && failed < MOST_STREAMS) open(from)
    else if (from) await poll(from)
  } catch (error) {
    again()
  }
  asking = 0
  if (listeners.length != count) anew()
})

/** Since it is asked for more than before. */
const anew = () => {
  close()
  listen()
}

const flush = quiet(async () => {
  if (flying || !waiting[0]) return
  flying = 1
  try {
    const to = visitor() && await address(), [first] = waiting
    const body = new Blob([JSON.stringify(first)], { type: 'text/plain' })
    const { status } = to ? await fetch(to, { method: 'POST', body, keepalive: true }) : {}
    if (status > 499 || status == 429 || status == 401) throw status
    if (status != 200) warn('not said', status || 'no visitor')
    waiting.shift()
    sayPause = 0
    save()
  } catch (error) {
    token = 0
    sayPause = longer(sayPause)
  }
  flying = 0
  if (waiting[0]) later(flush, sayPause)
})

const begin = () => {
  trackr = window.trackr
  if (!trackr || !trackr.options) return later(begin, 50)
  key = `trackr_push_${trackr.options.account}_${trackr.options.site || ''}`
  const before = quiet(() => JSON.parse(tabs[key]))
  if (tabs[key]) ({ after, waiting } = before() || { after, waiting })
  trackr.onmessage = quiet((f, { all } = {}) => {
    listeners.push({ f, all, after: all ? 0 : after })
    anew()
  })
  trackr.say = quiet((text) => {
    if (!visitor() || waiting.length >= MOST_WAITING) return warn('not said', visitor() ? 'too much waits' : 'no visitor')
    waiting.push({ id: uuid(), text: String(text) })
    save()
    trackr.track('say')
    flush()
  })
  const { consent } = trackr
  trackr.consent = (yes) => {
    consent(yes)
    anew()
  }
  on('pagehide', close) // else the browser would not keep the page for the back button
  on('pageshow', ({ persisted }) => persisted && listen())
  const early = window.trackrPush || []
  window.trackrPush = { push: quiet(([name, ...rest]) => trackr[name](...rest)) }
  early.forEach(window.trackrPush.push)
  flush()
}

quiet(begin)()
