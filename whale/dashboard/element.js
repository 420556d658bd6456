/**
 * <hail-whale-graph>: a graph in any page, with the table of its numbers inside. Whale serves it, and all that it needs, as one file.
 *
 *     <script type="module" src="https://WHALE/hail-whale-graph.js"></script>
 *     <hail-whale-graph src="https://WHALE/s/TOKEN" depth="1" area interval="60000"></hail-whale-graph>
 *
 * It works under a strict policy of the page around it: no markup is parsed, and its styles are a sheet that it adopts.
 */
import { draw } from './chart.js'
import { fill, h } from './dom.js'
import * as f from './format.js'
import { Metrics } from './metrics.js'
import { STYLE, ZONE } from './served.js'

const [MOST_LINES, LEAST_MS, MOST_MS, LIVE_MS, DAY] = [6, 1000, 30_000, 6000, 86400e3]
const OF_A_SHARE = ['dimensions', 'metric', 'metric-two', 'depth', 'limit']
const ASKED = [...OF_A_SHARE, 'pk', 'period', 'tz', 'tzoffset', 'compare']
const KNOWN = [...ASKED, 'src', 'share', 'title', 'height', 'theme', 'area', 'interval', 'table', 'colors', 'width-factor', 'threshold']
const OF_ANY_ELEMENT = /^(id|class|style|hidden|slot|lang|dir|role|part|data-.*|aria-.*)$/
const STACKED = ['percent', 'zero', 'wiggle', 'expand', 'silhouette'] // of the first HailWhale
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
      const { url, answer, open } = await this.#ask('plotpoints', signal)
      this.#known ??= new Metrics((await this.#ask('metrics_of', signal)).answer)
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
    const metrics = ['metric', 'metric-two'].flatMap((name) => listOf(this.getAttribute(name)))
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
    const unknown = this.getAttributeNames().filter((name) => !KNOWN.includes(name) && !OF_ANY_ELEMENT.test(name))
    const [area, share] = [this.getAttribute('area'), this.#answer?.url?.pathname.includes('/s/')]
    const unused = share ? ASKED.filter((name) => !OF_A_SHARE.includes(name) && this.hasAttribute(name)) : []
    const text = [
      unknown.length && `unknown option: ${unknown.join(', ')}`, unused.length && `a share has its own ${unused.join(', ')}`,
      STACKED.includes(area) && `area=${area} is drawn as area=true`, said,
    ].filter(Boolean).join('. ')
    if (text && this.#parts.notice.textContent !== text) console.warn(`hail-whale-graph: ${text}`)
    fill(this.#parts.notice, text)
  }

  /** The lines: of the paths that are large enough, for the metric that is shown; the second metric on an axis of its own. */
  #draw() {
    if (!this.#answer || this.#life.signal.aborted) return
    const entries = Object.entries(this.#answer.paths)
    const two = this.getAttribute('metric-two')
    const names = Object.keys(entries[0]?.[1] ?? {}).filter((name) => name !== two)
    if (!names.length) return this.#tell('nothing to show')
    const known = this.#known ?? new Metrics([])
    const metric = known.of(names.includes(this.#metric) ? this.#metric : names[0])
    const points = ([, numbers], name = metric.formula) => (numbers[name]?.now ?? numbers[name] ?? []).map(([, v]) => v)
    const sum = (entry) => Math.abs(points(entry).reduce((total, v) => total + (v ?? 0), 0))
    const large = entries.filter((entry, i) => !i || sum(entry) >= this.#number('threshold') * sum(entries[0]))
    const [top, ...below] = large.map(([path]) => f.pathOf(path))
    const name = (path) => f.named(path.slice(below.every((each) => top.every((part, i) => each[i] === part)) && path !== top ? top.length : 0)) || 'all'
    const series = large.map((entry, i) => ({
      name: large.length > 1 ? name([top, ...below][i]) : metric.name, values: points(entry),
      before: entry[1][metric.formula].before?.map(([, v]) => v), width: i ? 2 : Math.min(6, this.#number('width-factor') / 2 || 2),
    }))
    if (two) series.splice(1, 0, { name: known.of(two).name, values: points(entries[0], two), second: known.of(two) })
    const first = entries[0][1][metric.formula]
    this.#show(metric, names, series.slice(0, MOST_LINES), (first.now ?? first).map(([at]) => at))
    this.#tell(series.length > MOST_LINES ? `these are ${MOST_LINES} of ${series.length} lines` : '')
  }

  #show(metric, names, series, starts) {
    const [parts, get] = [this.#parts, (name) => this.getAttribute(name)]
    const width = starts.length > 1 ? starts[1] - starts[0] : DAY
    const [times, zone] = width < DAY ? [starts, get('tz') || get('period')?.split('|')[1] || ZONE] : [starts.map(midnight), 'UTC']
    const at = (i) => f.bucket(times[i], width, zone)
    const shown = (each, i) => f.value(each.values[i], each.second ?? metric)
    listOf(get('colors')).slice(0, MOST_LINES).forEach((colour, i) => CSS.supports('color', colour) && this.style.setProperty(`--series-${i + 1}`, colour))
    this.style.setProperty('--height', `${Math.min(2000, Math.max(60, this.#number('height') || 296))}px`)
    fill(parts.title, get('title') || metric.name)
    fill(parts.metrics, names.length > 1 && names.map((name) => h('button', { id: `metric-${name}`, 'aria-pressed': name === metric.formula, onclick: () => (this.metric = name) }, f.title(name))))
    draw(parts.body, {
      page: { zone }, metric, times, width, series, open: this.#answer.open, area: this.hasAttribute('area') && get('area') !== 'false', details: 'numbers',
      label: `${parts.title.textContent}: ${series.map((each) => `${each.name} ${shown(each, 0)} to ${shown(each, times.length - 1)}`).join('; ')}.`,
      cursor: (i) => fill(parts.at, h('span', { class: 'soft' }, at(i)), series.map((each, n) => h('span', {}, h('i', { class: `key key-${n + 1}` }), `${each.name} `, h('b', {}, shown(each, i))))),
      spoken: (i) => `${at(i)}: ${series.map((each) => `${each.name} ${shown(each, i)}`).join(', ')}`, say: (text) => fill(parts.spoken, text),
    })
    const rows = times.map((_, i) => h('tr', {}, h('th', { scope: 'row' }, at(i)), series.map((each) => h('td', { class: 'n', title: f.full(each.values[i]) }, shown(each, i)))))
    const head = h('tr', {}, h('th', { scope: 'col' }, 'Time'), series.map((each) => h('th', { scope: 'col', class: 'n' }, each.name)))
    parts.table.className = this.hasAttribute('table') ? 'scroll' : 'sr'
    fill(parts.table, h('table', {}, h('caption', {}, parts.title.textContent), h('thead', {}, head), h('tbody', {}, rows.slice(this.#number('table') ? -1 - this.#number('table') : 0))))
  }
}

/** A graph by the names of attributes, or by those of the first HailWhale. What is null or undefined is left out. */
const NAMES = { dimension: 'dimensions', metrics: 'metric', category: 'pk', hwurl: 'src' }
export function graphOf({ live, autoupdate, interval, debug: _, parent_div: __, delay: ___, ...options }) {
  const polls = [live, autoupdate].map(String).includes('true') || (live ?? autoupdate) == null
  const element = document.createElement('hail-whale-graph')
  for (const [name, value] of Object.entries({ threshold: 0.1, ...options, interval: polls ? (interval ?? LIVE_MS) : null })) {
    if (value != null) element.setAttribute(NAMES[name] ?? name.replaceAll('_', '-'), typeof value === 'string' ? value : JSON.stringify(value))
  }
  return element
}

/** Tables of numbers that drive a graph: those that Whale.render_hw_plotpoint_table writes, inside of one with data-hw-target. */
export function graphTables(tables, options = {}) {
  return [...tables].map((table) => {
    const graph = graphOf({ threshold: 0, live: false, ...options })
    const draw = () => {
      const paths = {}
      for (const { dataset: of, rows } of table.querySelectorAll('table[data-hw-metric]')) {
        if (table.querySelector(`input[data-hw-name="${CSS.escape(of.hwName)}"]:not(:checked)`)) continue
        const cells = [...rows].flatMap((row) => row.querySelector('[data-hw-at]') ? [[+row.cells[0].dataset.hwAt, row.cells[1].dataset.hwValue === '' ? null : +row.cells[1].dataset.hwValue]] : [])
        ;(paths[of.hwName] ??= {})[of.hwMetric] = cells
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
