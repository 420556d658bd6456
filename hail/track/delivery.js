/**
 * Hits on their way: one POST at a time, one beacon when the page hides, and what is not confirmed comes again.
 *
 *     send -> waiting -> flying (a POST) -> gone, or waiting again after 1 s, 2 s, … 60 s
 *
 * A browser allows 64 KB of requests that outlive their page, all together, and refuses more: so one at a time, of at most 48 KB.
 * Waiting and flying hits are in localStorage too, 50 of them, for the next page. Each has an id, so what comes twice counts once. Hail
 * knows an id for two days; a hit is given up after one. What was given up is told with the next hit (`lost`).
 */
import { options } from './options.js'
import { later, local, on, quiet, uuid } from './page.js'
import { stored, who } from './who.js'

const DAY_MS = 864e5, MOST_WAITING = 2000, MOST_STORED = 50, MOST_LETTERS = 15e3
const MOST_SENT = 60, MOST_BEACON = 20, MOST_BYTES = 48e3, SOON_MS = 400, FIRST_PAUSE_MS = 1000, LONGEST_PAUSE_MS = 6e4

let waiting = [], flying = [], mine = [], timer, saving, pause = 0, lost = 0

const pending = () => flying.concat(waiting)
const queue = (text) => stored('trackr_queue_' + options.account, text)
/** What is in storage and not among `hits`. */
const queued = (hits) => {
  const ids = hits.map((hit) => hit.id)
  return quiet(() => JSON.parse(queue() || '[]').filter((hit) => !ids.includes(hit.id)))() || []
}

/** Keeps what is under way, beside that of other pages: the newest. The last that is kept tells of those that are not. */
const save = () => {
  const own = pending(), others = queued(mine.concat(own)), all = others.concat(mine = own).slice(-MOST_STORED), last = all.pop()
  others.splice(0, others.length + own.length - MOST_STORED).forEach((hit) => { lost += 1 + ~~hit.lost })
  // of those of this page some may still be sent, so they are lost to the next page alone
  if (last) all.push({ ...last, lost: last.lost + lost + Math.max(own.length - MOST_STORED, 0) })
  queue(JSON.stringify(all))
  saving = 0
}

const soon = (ms) => {
  if (timer && (pause || ms)) return // a pause is kept, and a hit that need not hurry waits with those before it
  clearTimeout(timer)
  timer = later(flush, pause || ms)
}

const packed = (hits) => new Blob([JSON.stringify({ account: options.account, site: options.site, sent_at: Date.now(), hits })],
  { type: 'text/plain' })

const flush = () => {
  timer = 0
  waiting = waiting.filter((hit) => Math.abs(Date.now() - hit.at) < DAY_MS || !++lost)
  if (flying[0] || !waiting[0]) return
  let count = MOST_SENT, body
  while ((body = packed(waiting.slice(0, count))).size > MOST_BYTES) count >>= 1
  flying = waiting.splice(0, count)
  new Promise((sent) => sent(fetch(options.serverUrl + '/track', { method: 'POST', body, keepalive: true })))
    .then((answer) => answer.status).catch(() => 500) // also where a page has put something else in the place of fetch
    .then(quiet((status) => {
      if (status > 499 || status == 429) {
        waiting = pending()
        pause = Math.min(pause * 2 || FIRST_PAUSE_MS, LONGEST_PAUSE_MS)
      } else pause = 0
      flying = []
      save()
      if (waiting[0]) soon(0)
    }))
}

/** The page hides, and may never be seen again. The browser takes hits without saying whether they came: so they stay, unless all before did. */
export const leave = () => {
  for (const hits = pending(); hits[0];) {
    const part = hits.splice(0, MOST_BEACON)
    if (quiet(() => navigator.sendBeacon(options.serverUrl + '/track', packed(part)))() && !pause && !flying[0]) waiting = waiting.filter((hit) => !part.includes(hit))
  }
  save()
}

/** Functions that are shown each hit before it is sent; it is not, where one gives true. */
export const guards = []

/** now: at once, and not with those of the next 400 ms. */
export const send = (event, fields, now) => {
  if (document.prerendering) return on('prerenderingchange', () => send(event, fields, now)) // if anybody ever sees it
  if (local['trackr-off']) return
  const at = Date.now(), hit = { id: uuid(), event, at, ...who(at), ...fields, lost }
  if (guards.some((guard) => guard(hit))) return
  const text = JSON.stringify(hit)
  if (waiting.length < MOST_WAITING && text.length < MOST_LETTERS) {
    waiting.push(JSON.parse(text)) // what the page handed over is its own, and may be another thing when it is sent
    lost = 0
  } else lost++
  saving = saving || later(save)
  soon(now ? 0 : SOON_MS)
  return hit.id
}

/** What is under way belongs to nobody any more. */
export const anonymize = () => {
  waiting = waiting.map(({ session, v_visitor, visitor, tab, ...hit }) => ({ ...hit, anonymous: 1 }))
}

/** What pages before this one could not send, a second from now: by then other tabs have confirmed their own. */
export const resume = () => later(() => {
  waiting = queued(pending()).concat(waiting)
  save()
  soon(0)
}, 1000)
