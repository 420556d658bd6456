/**
 * A page for the tracker, without a browser: its clock stands still until a test lets time pass, and its network is a list.
 *
 *     const page = new Page({ account: 'shop' })
 *     page.start()                     // the script runs, as built of hail/track
 *     page.pass(400)                   // ms
 *     page.posts                       // bodies of requests, which page.answer(status) answers one by one
 */
import { webcrypto } from 'node:crypto'
import { createContext, runInContext } from 'node:vm'
import { bundled } from './build.js'

const SCRIPTS = { whole: bundled('whole.js', false), core: bundled('core.js', false) }

/** A storage, or one that the browser forbids. */
export const forbidden = () => { throw new Error('SecurityError') }

export class Page {
  constructor(options = {}, { address = 'https://shop.example/', local = {}, tabs = {}, cookies = {}, now = 1_795_776_000_000 } = {}) {
    Object.assign(this, { local, cookies, now, posts: [], beacons: [], said: [], timers: [], listeners: {}, takes: () => true })
    this.options = options
    this.flags = {} // of each cookie, as it was last written
    const page = this
    const root = { scrollHeight: 2000, attributes: {}, setAttribute(name, value) { this.attributes[name] = value } }
    class Clock extends Date {
      static now() { return page.now }
    }
    const document = {
      hidden: false,
      readyState: 'interactive',
      referrer: '',
      documentElement: root,
      hasFocus: () => true,
      querySelector: (selector) => { if (selector.startsWith('>')) throw new Error('no selector') },
      currentScript: { src: 'https://hail.example/js/trackr.js', dataset: options.dataset ?? {} },
      get cookie() { return page.blocked ? '' : Object.entries(page.cookies).map(([name, value]) => `${name}=${value}`).join('; ') },
      set cookie(text) { page.bake(text) },
    }
    this.window = {
      document,
      location: new URL(address),
      history: { pushState: (_, __, to) => this.go(to), replaceState: (_, __, to) => this.go(to) },
      navigator: { language: 'de-AT', webdriver: false, sendBeacon: (_, body) => page.takes(body) && page.beacons.push(body) },
      performance: { now: () => this.now, getEntriesByType: () => [], timing: { domInteractive: 900, responseEnd: 700 } },
      screen: { width: 1920, height: 1080 },
      scrollY: 0,
      innerHeight: 0,
      crypto: webcrypto,
      console: { warn: (...words) => this.said.push(words.join(' ')) },
      addEventListener: (name, f) => (this.listeners[name] ??= []).push(f),
      setTimeout: (f, ms = 0) => this.timers.push({ at: this.now + ms, f }),
      clearTimeout: (number) => { if (number) this.timers[number - 1].f = () => {} },
      fetch: (url, { body }) => new Promise((answer, fail) => this.posts.push({ url, body: JSON.parse(body), answer, fail })),
      Blob: class { constructor([text]) { this.size = Buffer.byteLength(text) } },
      Date: Clock,
      URL,
      get localStorage() { return local instanceof Function ? local() : local },
      get sessionStorage() { return tabs instanceof Function ? tabs() : tabs },
    }
    this.window.window = this.window
  }

  /** core: without what core.js leaves out. */
  start(core) {
    runInContext(core ? SCRIPTS.core : SCRIPTS.whole, createContext(this.window))
    return this.options.dataset ? this.window.trackr : (this.window.trackr = new this.window.Trackr(this.options))
  }

  go(to) { this.window.location = new URL(to, this.window.location) }

  bake(text) {
    const [pair, ...flags] = text.split(';'), [name, value] = pair.split('='), age = +/max-age=(\d+)/.exec(text)[1]
    if (this.blocked) return
    this.flags[name] = flags
    if (age) this.cookies[name] = value
    else delete this.cookies[name]
  }

  tell(name, event = {}) { for (const f of this.listeners[name] ?? []) f(event) }

  hide() {
    this.window.document.hidden = true
    this.tell('visibilitychange')
    this.tell('pagehide')
  }

  /** Time goes from one timer to the next. */
  pass(ms) {
    const end = this.now + ms
    for (;;) {
      const next = this.timers.filter((timer) => !timer.done && timer.at <= end).sort((a, b) => a.at - b.at)[0]
      if (!next) break
      this.now = Math.max(this.now, next.at)
      next.done = true
      next.f()
    }
    this.now = end
  }

  /** Answers the newest request; without a status it fails, as when nobody is there. */
  async answer(status) {
    const { answer, fail } = this.posts.at(-1)
    if (status) answer({ status })
    else fail(new TypeError('Failed to fetch'))
    for (let turn = 0; turn < 10; turn++) await null // what waits for it
  }

  get hits() { return this.posts.flatMap(({ body }) => body.hits) }
  get names() { return this.hits.map((hit) => hit.event) }
}
