/**
 * <hail-whale-graph>: a graph in any page, with the table of its numbers inside. Whale serves it, and all that it needs, as one file.
 *
 *     <script type="module" src="https://WHALE/hail-whale-graph.js"></script>
 *     <hail-whale-graph src="https://WHALE/s/TOKEN" depth="1" area interval="60000"></hail-whale-graph>
 *
 * It works under a strict policy of the page around it: no markup is parsed, and its styles are a sheet that it adopts.
 */
import { CHART } from './address.js'
import { draw, keyOf } from './chart.js'
import { fill, h } from './dom.js'
import * as f from './format.js'
import { MOST_PARTS, SAYS, allowed, faintOf, over, partsOfWhole, sumsOf } from './lines.js'
import { Metrics } from './metrics.js'
import { STYLE, ZONE } from './served.js'

const [MOST_LINES, LEAST_MS, MOST_MS, LIVE_MS, DAY] = [6, 1000, 30_000, 6000, 86400e3]
const OF_A_SHARE = ['dimensions', 'metric', 'metric-two', 'depth', 'limit']
const ASKED = [...OF_A_SHARE, 'pk', 'period', 'tz', 'tzoffset', 'compare']
const KNOWN = [...ASKED, ...CHART, 'also', 'other', 'src', 'share', 'title', 'height', 'theme', 'interval', 'table', 'colors', 'width-factor', 'threshold']
const OF_ANY_ELEMENT = /^(id|class|style|hidden|slot|lang|dir|role|part|data-.*|aria-.*)$/
const STACKED = { zero: ['stacked'], percent: ['stacked', 'shares'], expand: ['stacked', 'shares'], wiggle: ['stacked'], silhouette: ['stacked'] } // areas of the first HailWhale
const STACKED_ONLY = /^(wiggle|silhouette)$/
const sheet = new CSSStyleSheet()
sheet.replaceSync(STYLE)

/** A list as JSON, as `a, b`, or as one name. */
const listOf = (text) => (/^\s*\[/.test(text ?? '') ? JSON.parse(text) : text ? text.split(/\s*,\s*/) : [])
/** Midnight in UTC of the day that begins at `start` in a zone between 12 hours behind and 14 ahead. */
const midnight = (start) => start - (start % DAY) + (start % DAY > DAY - 14.5 * 3600e3 ? DAY : 0)

export class Graph extends HTMLElement {
  static observedAttributes = KNOWN
  #parts = null
  #answer = null
  #metric = ''
  #known = null
  #life = new AbortController()
  #asked = new AbortController()
  #timer = 0
  #pause = 0

  connectedCallback() {
    const { signal } = (this.#life = new AbortController())
    document.addEventListener('visibilitychange', () => (document.hidden ? this.#stop() : (this.#number('interval') || !this.#answer) && this.#soon()), { signal })
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#draw(), { signal })
    this.#parts ??= this.#build()
    this.#soon()
  }

  disconnectedCallback() {
    this.#stop()
    this.#life.abort()
  }

  attributeChangedCallback(name) {
    if (['src', 'share', 'pk'].includes(name)) this.#known = null
    this.#soon()
  }

  /** Numbers that are there already, as /plotpoints answers them: nothing is asked. */
  set answer(paths) { this.#answer = { paths }; this.#soon() }
  /** The metric that is shown, of those that were asked. */
  set metric(name) { this.#metric = name; this.#draw() }

  #is = (name) => !['false', null].includes(this.getAttribute(name))
  #words = () => [...CHART.filter(this.#is), ...(STACKED[this.getAttribute('area')] ?? [])]
  /** What is asked: the metrics that the reader switches between, those beside them, and the two of a ratio whose `other` is drawn; all over time. */
  #metrics(known = this.#known ?? new Metrics([])) {
    const [names, also, two] = ['metric', 'also', 'metric-two'].map((name) => listOf(this.getAttribute(name)))
    const { has } = allowed(this.#words(), [...names, ...also, ...two].map((name) => known.of(name)), known, true)
    const [form, parts] = [(name) => over(name, has, known), (name) => sumsOf(known.of(name), known)]
    return { form, parts, names: names.map(form), also: also.map(form), two: two.map(form), asked: [...new Set([...(this.#is('other') ? names.flatMap(parts).reverse() : []), ...names, ...also, ...two])].map(form) }
  }
  #number = (name) => Number.parseFloat(this.getAttribute(name)) || 0
  #stop = () => { clearTimeout(this.#timer); this.#asked.abort() }
  /** Once, after all attributes that change together. */
  #soon = (ms = 0) => { clearTimeout(this.#timer); if (this.#parts) this.#timer = setTimeout(() => this.#refresh(), ms) }

  #build() {
    const part = (tag, name, more) => h(tag, { class: name, ...more })
    const parts = {
      title: part('h2', '', { id: 'title' }), metrics: part('p', 'metrics', { role: 'group', 'aria-label': 'Metric' }), at: part('p', 'at'), body: part('div', '', { id: 'chart' }),
      notice: part('p', 'notice', { role: 'status' }), spoken: part('p', 'sr', { 'aria-live': 'polite' }), table: part('div', 'sr', { id: 'numbers' }),
    }
    const root = this.attachShadow({ mode: 'open' })
    root.adoptedStyleSheets = [sheet]
    root.append(h('div', { class: 'card', role: 'figure', 'aria-labelledby': 'title' }, h('div', { class: 'head' }, parts.title, parts.metrics, parts.at), parts.body, parts.notice, parts.spoken, parts.table))
    return parts
  }

  async #refresh() {
    this.#stop()
    if (this.#answer && !this.#answer.url) return this.#draw()
    if (document.hidden) return
    const { signal } = (this.#asked = new AbortController())
    try {
      this.#known ??= new Metrics((await this.#ask('metrics_of', signal)).answer)
      const { url, answer, open } = await this.#ask('plotpoints', signal)
      this.#answer = { url, paths: answer.paths ?? answer, open }
      this.#pause = 0
      this.#draw()
    } catch (error) {
      if (signal.aborted) return
      this.#pause = Math.min(MOST_MS, this.#pause * 2 || 2000)
      this.#tell(error.refused ? error.message : 'Whale does not answer')
      if (!error.refused && !(error instanceof TypeError)) console.warn(error)
      if (error.refused < 500) return // it will not be answered later either
    }
    const interval = this.#number('interval')
    if (interval && !document.hidden) this.#soon(Math.min(DAY, Math.max(interval, LEAST_MS, this.#pause)))
  }

  /** A share is asked below its own address, for its own pk and period. */
  async #ask(route, signal) {
    const src = new URL(this.getAttribute('src') || '/', import.meta.url)
    const share = this.hasAttribute('share') ? `/s/${this.getAttribute('share')}` : /^.*\/s\/[^/]+$/.exec(src.pathname)?.[0]
    const url = new URL(share ? `${share}/${route}` : route, src)
    const metrics = this.#metrics().asked
    const asked = (share ? OF_A_SHARE : ASKED).filter((name) => this.hasAttribute(name) && !name.startsWith('metric'))
    if (route === 'plotpoints') {
      asked.forEach((name) => url.searchParams.set(name, this.getAttribute(name)))
      if (metrics.length) url.searchParams.set('metrics', JSON.stringify(metrics))
      if (!share) url.searchParams.set('undefined', 'null')
    } else if (!share) url.search = new URLSearchParams({ pk: this.getAttribute('pk'), info: true })
    const response = await fetch(url, { signal })
    const answer = await response.json()
    if (!response.ok) throw Object.assign(new Error(answer.detail || answer.title), { refused: response.status })
    return { url, answer, open: response.headers.get('X-Whale-Complete') === 'false' }
  }

  /** One line, in the box and on the console, about what is wrong or not understood. */
  #tell(said = '') {
    const unknown = [...this.getAttributeNames().filter((name) => !KNOWN.includes(name) && !OF_ANY_ELEMENT.test(name)), ...(this.unknown ?? []).map(f.shown)]
    const unused = this.#answer?.url?.pathname.includes('/s/') ? ASKED.filter((name) => !OF_A_SHARE.includes(name) && this.hasAttribute(name)) : []
    const text = [
      unknown.length && `unknown option: ${unknown.join(', ')}`, unused.length && `a share has its own ${unused.join(', ')}`,
said,
    ].filter(Boolean).join('. ')
    if (text && this.#parts.notice.textContent !== text) console.warn(`hail-whale-graph: ${text}`)
    fill(this.#parts.notice, text)
  }

  /** The lines: of the paths that are large enough, for the metric that is shown; the second metric on an axis of its own. */
  #draw() {
    if (!this.#answer || this.#life.signal.aborted) return
    const entries = Object.entries(this.#answer.paths)
    const known = this.#known ?? new Metrics([])
    const { form, parts, names: given, also, two } = this.#metrics(known)
    const names = given.length ? given : Object.keys(entries[0]?.[1] ?? {}).filter((name) => ![...also, ...two].includes(name))
    if (!names.length) return this.#tell('nothing to show')
    const metric = known.of(names.includes(this.#metric) ? this.#metric : names[0])
    const points = (numbers, name) => (numbers[name]?.now ?? numbers[name] ?? []).map(([, v]) => v)
    const rows = entries.map(([path, numbers]) => ({ path: f.pathOf(path), of: (name) => points(numbers, name), before: (name) => numbers[name].before?.map(([, v]) => v) }))
    const sum = (row) => Math.abs(row.of(metric.formula).reduce((total, v) => total + (v ?? 0), 0))
    const large = rows.filter((row, i) => !i || sum(row) >= this.#number('threshold') * sum(rows[0]))
    const [whole, ...below] = large
    const isWhole = below.every(({ path }) => whole.path.every((part, i) => path[i] === part))
    const sums = parts(metric.formula).map(form)
    const { has, unused } = allowed(this.#words(), [metric], known, isWhole && below.length > 0)
    const isCut = below.length > 0 && (has('stacked') || has('shares') || (this.#is('other') && isWhole && sums.length > 0))
    const cut = isCut && partsOfWhole(large, metric.formula, { sums, shares: has('shares') })
    const name = (path) => f.named(path.slice(isWhole && path !== whole.path ? whole.path.length : 0)) || 'all'
    const lines = large.map((row, i) => ({
      name: below.length ? name(row.path) : metric.name, values: row.of(metric.formula), before: row.before(metric.formula), width: i ? 2 : Math.min(6, this.#number('width-factor') / 2 || 2),
    }))
    const beside = [...also.filter((each) => known.of(each).unit === metric.unit).map((each) => [each]), ...two.map((each) => [each, known.of(each)])]
    if (!cut) lines.splice(1, 0, ...beside.map(([each, second]) => ({ name: known.of(each).name, values: whole.of(each), second })))
    const most = cut ? MOST_PARTS + 1 : MOST_LINES
    const series = (cut?.series ?? lines).slice(0, most)
    const isStacked = has('stacked') && cut.closes
    const [area, refused] = [this.getAttribute('area'), unused.filter((word) => word !== 'area')]
    if (!given.length) refused.push(...['running', 'ma7'].filter(this.#is)) // which metric, is not said
    const first = entries[0][1][metric.formula]
    this.#show(metric, names, (first.now ?? first).map(([at]) => at), {
      series, stacked: isStacked, area: this.#is('area') && !isStacked, most: isStacked && has('shares') ? 1 : null, metric: has('shares') ? { unit: 'share' } : metric,
    })
    this.#tell([
      area in STACKED && (!isStacked || STACKED_ONLY.test(area)) && `area=${area} is drawn as ${isStacked ? 'stacked' : 'area=true'}`, cut && !cut.closes && 'values overlap: without other',
      !(area in STACKED) && refused.length > 0 && `not for these lines: ${refused.join(', ')}`, lines.length > most && `these are ${most} of ${lines.length} lines`,
    ].filter(Boolean).join('. '))
  }

  #show(chosen, names, starts, { series, metric, ...drawn }) {
    const [parts, get] = [this.#parts, (name) => this.getAttribute(name)]
    const width = starts.length > 1 ? starts[1] - starts[0] : DAY
    const [times, zone] = width < DAY ? [starts, get('tz') || get('period')?.split('|')[1] || ZONE] : [starts.map(midnight), 'UTC']
    const at = (i) => f.bucket(times[i], width, zone)
    const shown = (each, i) => f.value(each.values[i], each.second ?? metric)
    listOf(get('colors')).slice(0, MOST_LINES).forEach((colour, i) => CSS.supports('color', colour) && this.style.setProperty(`--series-${i + 1}`, colour))
    this.style.setProperty('--height', `${Math.min(2000, Math.max(60, this.#number('height') || 296))}px`)
    fill(parts.title, get('title') || [chosen.name, ...(chosen.plain ? ['running', 'ma7'].filter(this.#is).slice(-1).map((word) => SAYS[word]) : [])].join(', '))
    fill(parts.metrics, names.length > 1 && names.map((name) => h('button', { id: `metric-${name}`, 'aria-pressed': name === chosen.formula, onclick: () => (this.metric = name) }, f.title(name))))
    draw(parts.body, {
      ...drawn, page: { zone }, metric, times, width, series, open: this.#answer.open, faint: this.#is('nights') && faintOf(width, zone), details: 'numbers',
      label: `${parts.title.textContent}: ${series.map((each) => `${each.name} ${shown(each, 0)} to ${shown(each, times.length - 1)}`).join('; ')}.`,
      cursor: (i) => fill(parts.at, h('span', { class: 'soft' }, at(i)), series.map((each, n) => h('span', {}, keyOf(each, n), `${each.name} `, h('b', {}, shown(each, i))))),
      spoken: (i) => `${at(i)}: ${series.map((each) => `${each.name} ${shown(each, i)}`).join(', ')}`, say: (text) => fill(parts.spoken, text),
    })
    const rows = times.map((_, i) => h('tr', {}, h('th', { scope: 'row' }, at(i)), series.map((each) => h('td', { class: 'n', title: f.full(each.values[i]) }, shown(each, i)))))
    const head = h('tr', {}, h('th', { scope: 'col' }, 'Time'), series.map((each) => h('th', { scope: 'col', class: 'n' }, each.name)))
    parts.table.className = this.hasAttribute('table') ? 'scroll' : 'sr'
    fill(parts.table, h('table', {}, h('caption', {}, parts.title.textContent), h('thead', {}, head), h('tbody', {}, rows.slice(this.#number('table') ? -1 - this.#number('table') : 0))))
  }
}

/** A graph by the names of attributes, or by those of the first HailWhale. What is null or undefined is left out; nothing runs. */
const NAMES = { dimension: 'dimensions', metrics: 'metric', category: 'pk', hwurl: 'src' }
export function graphOf({ live, autoupdate, interval, debug: _, parent_div: __, delay: ___, ...options }) {
  const polls = [live, autoupdate].map(String).includes('true') || (live ?? autoupdate) == null
  const element = document.createElement('hail-whale-graph')
  for (const [name, value] of Object.entries({ threshold: 0.1, ...options, interval: polls ? (interval ?? LIVE_MS) : null }).filter(([, value]) => value != null)) {
    const option = Object.hasOwn(NAMES, name) ? NAMES[name] : name.replaceAll('_', '-').toLowerCase()
    option.search(/^(?!on)[a-z][a-z-]*$/) === 0 ? element.setAttribute(option, typeof value === 'string' ? value : JSON.stringify(value)) : (element.unknown ??= []).push(name) // what no attribute can be
  }
  return element
}

/** Tables of numbers that drive a graph: those that Whale.render_hw_plotpoint_table writes, inside of one with data-hw-target. */
export function graphTables(tables, options = {}) {
  return [...tables].map((table) => {
    const graph = graphOf({ threshold: 0, live: false, ...options })
    const draw = () => {
      const paths = Object.create(null) // a name may be __proto__
      for (const { dataset: of, rows } of table.querySelectorAll('table[data-hw-metric]')) {
        if (table.querySelector(`input[data-hw-name="${CSS.escape(of.hwName)}"]:not(:checked)`)) continue
        const cells = [...rows].flatMap((row) => row.querySelector('[data-hw-at]') ? [[+row.cells[0].dataset.hwAt, row.cells[1].dataset.hwValue === '' ? null : +row.cells[1].dataset.hwValue]] : [])
        ;(paths[of.hwName] ??= Object.create(null))[of.hwMetric] = cells
      }
      graph.answer = paths
    }
    table.addEventListener('change', draw)
    table.addEventListener('click', ({ target }) => {
      const chosen = target.closest('[data-extra="graphable"], [data-graphmetric]')?.dataset
      if (chosen) graph.metric = chosen.graphmetric ?? chosen.name
    })
    new MutationObserver(draw).observe(table, { attributeFilter: ['please-redraw'], childList: true, subtree: true })
    const target = table.dataset.hwTarget && document.querySelector(table.dataset.hwTarget)
    if (target) fill(target, graph)
    else table.before(graph)
    draw()
    return graph
  })
}

if (!customElements.get('hail-whale-graph')) customElements.define('hail-whale-graph', Graph)
