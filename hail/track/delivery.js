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
const queue = (text) => stored('queue_' + options.account, text)
/** What is in storage and not among `hits`. */
const queued = (hits) => quiet(() => JSON.parse(queue() || '[]').filter((hit) => !hits.some((other) => other.id == hit.id)))() || []

/** Keeps what is under way, beside that of other pages: the newest. The last that is kept tells of those that are not. */
const save = quiet(() => {
  const own = pending(), all = queued(mine.concat(own)).concat(mine = own), last = all.pop()
  let more = saving = 0 // those of this page, some of which may still be sent: so they are lost to the next page alone
  all.splice(0, all.length + 1 - MOST_STORED).forEach((hit) => own.includes(hit) ? more++ : lost += hit.lost + 1)
  if (last) all.push({ ...last, lost: lost + last.lost + more })
  queue(JSON.stringify(all))
})

const soon = (ms) => {
  if (timer && (pause || ms)) return // a pause is kept, and a hit that need not hurry waits with those before it
  clearTimeout(timer)
  timer = later(flush, pause || ms)
}

/** A body, as a text: so browsers call it text/plain, and ask no leave of Hail before. */
const packed = (hits) => JSON.stringify({ account: options.account, site: options.site, sent_at: Date.now(), hits })

const flush = async () => {
  timer = 0
  waiting = waiting.filter((hit) => Math.abs(hit.at - Date.now()) < DAY_MS || !++lost)
  if (!waiting[0] || flying[0]) return
  let count = MOST_SENT, status = 500, body
  try { // a page may have put something else in the place of fetch
    while (new Blob([body = packed(waiting.slice(0, count))]).size > MOST_BYTES) count >>= 1
    flying = waiting.splice(0, count)
    status = (await fetch(options.serverUrl + '/track', { keepalive: true, method: 'POST', body })).status
  } catch (error) {}
  if (status > 499 || status == 429) {
    waiting = pending()
    pause = Math.min(pause * 2 || FIRST_PAUSE_MS, LONGEST_PAUSE_MS)
  } else pause = 0
  flying = []
  save()
  soon(0)
}

/** The page hides, and may never be seen again. The browser takes hits without saying whether they came: so they stay, unless all before did. */
export const leave = () => {
  const hits = pending()
  while (hits[0]) {
    const part = hits.splice(0, MOST_BEACON)
    if (quiet(() => navigator.sendBeacon(options.serverUrl + '/track', packed(part)))() && !(pause || flying[0])) {
      waiting = waiting.filter((hit) => !part.includes(hit))
    }
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
  if (!saving) saving = later(save)
  soon(now ? 0 : SOON_MS)
  return hit.id
}

/** What is under way belongs to nobody any more. Undefined is not sent; an empty id would be refused. */
export const anonymize = () => {
  waiting.forEach((hit) => Object.assign(hit, { v_visitor: undefined, visitor: undefined, session: undefined, tab: undefined, anonymous: 1 }))
}

/** What pages before this one could not send, a second from now: by then other tabs have confirmed their own. */
export const resume = () => later(() => {
  waiting = queued(pending()).concat(waiting)
  save()
  soon(0)
}, 1000)
