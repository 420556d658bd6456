/** What is counted now: the last minute by seconds, the last hour by minutes, and the last hits, those too that were refused. */
import { card } from '../card.js'
import { fill, h, headOf, scroller, svg } from '../dom.js'
import * as f from '../format.js'
import { watch } from '../stream.js'
import { many, metricsOf } from './first.js'

const [SLOTS, ROWS] = [60, 50]
const COLUMNS = ['Time', 'Outcome', 'pk', 'Counted as']

export async function show(place, page) {
  const all = page.state.all === 'true' || !page.state.pk.length
  const pk = all ? [] : page.state.pk
  const [seconds, minutes] = ['seconds', 'minutes'].map((name) => card(`Last 60 ${name}`, { id: name, height: 'bars' }))
  const tail = card('Hits', { id: 'tail', height: 'tail', main: true })
  const [state, pause] = [h('p', { class: 'soft' }, '…'), h('button', { id: 'pause', 'aria-pressed': 'false', onclick: () => stop(!paused) }, 'Pause')]
  const choice = page.state.pk.length ? h('div', { class: 'periods' }, [['', f.named(page.state.pk)], ['true', 'All pks']].map(([value, label]) =>
    h('button', { 'aria-pressed': (value === 'true') === all, onclick: () => page.go({ all: value }) }, label))) : ''
  const [bySecond, byMinute] = [Array(SLOTS).fill(0), await hour(page, pk)]
  fill(place, h('h1', { class: 'sr' }, 'Live'), h('div', { class: 'when' }, choice, pause, state),
    h('div', { class: 'columns halves' }, seconds.element, minutes.element), tail.element)
  const list = scroller('Last hits') // it stays, so that who reads in it keeps the focus and the place
  fill(tail.body, list)
  let [rows, paused, fresh, moved, minute] = [[], false, true, true, Math.floor(Date.now() / 60000)]

  const stop = (value) => {
    paused = value
    pause.setAttribute('aria-pressed', String(value))
    draw()
  }
  function draw() {
    if (paused || !(moved || fresh)) return
    const sum = bySecond.reduce((a, b) => a + b)
    bars(seconds, bySecond, `${many(sum, 'hit')}, ${f.number(sum / SLOTS)} a second`)
    if (byMinute) bars(minutes, byMinute, many(byMinute.reduce((a, b) => a + b), 'hit'))
    else fill(minutes.body, h('p', { class: 'soft' }, 'Of one pk: pick it.'))
    if (fresh) fill(list, rows.length ? table(rows) : h('p', { class: 'soft' }, 'No hit yet.'))
    fresh = moved = false
  }
  const add = (...row) => {
    rows = [row, ...rows].slice(0, ROWS)
    fresh = true
  }
  const at = (ms) => f.clock(ms, page.zone) + new Date(ms).toISOString().slice(16, 19)
  watch(page, pk, {
    hit: ({ at: ms, pk: of = [], metrics, paths }) => {
      const places = paths.map((path) => (path.length ? f.named(path) : '_')).join(', ')
      add(at(ms), 'counted', f.named(of), [metricsOf(metrics), places].filter(Boolean).join('; '))
    },
    refused: ({ at: ms, reason, pk: of, field, came }) => add(at(ms), reason, of ? f.named(of) : '', [field, came].filter(Boolean).map(f.shown).join(': ')),
    totals: ({ metrics }) => {
      bySecond[SLOTS - 1] += metrics.hits
      if (byMinute) byMinute[SLOTS - 1] += metrics.hits
      moved = true
    },
    state: (text, late) => fill(state, h('i', { class: late ? 'dot late' : 'dot' }), text),
  })
  const second = () => {
    moved = true
    bySecond.push(0)
    bySecond.shift()
    for (const now = Math.floor(Date.now() / 60000); byMinute && minute < now; minute++) byMinute.splice(0, 1) && byMinute.push(0)
  }
  const timers = [setInterval(draw, 250), setInterval(second, 1000)]
  page.signal.addEventListener('abort', () => timers.forEach(clearInterval))
  tail.offer({ address: '/spy?limit=60', table: () => ({ columns: COLUMNS, rows }) })
  draw()
}

/** Hits of a pk by minutes. */
async function hour(page, pk) {
  if (!pk.length) return null
  const { answer } = await page.ask('plotpoints', { pk, metrics: ['hits'], period: '1m:1h' })
  const found = Object.values(answer)[0].hits.map(([, v]) => v).slice(-SLOTS)
  return [...Array(SLOTS - found.length).fill(0), ...found]
}

function bars({ body, at }, values, says) {
  const most = Math.max(1, ...values)
  at(says)
  fill(body, svg('svg', { class: 'bars', viewBox: `0 0 ${SLOTS * 4} 60`, preserveAspectRatio: 'none', role: 'img', 'aria-label': says },
    values.map((v, i) => v > 0 && svg('rect', { x: i * 4, y: 60 - (v / most) * 58, width: 3, height: (v / most) * 58 }))))
}

const table = (rows) => h('table', { class: 'tail' }, headOf(...COLUMNS.map((column) => [column])),
  h('tbody', {}, rows.map(([time, outcome, ...rest]) => h('tr', {}, h('th', { scope: 'row' }, time),
    h('td', { class: outcome === 'counted' ? 'good' : 'bad' }, outcome), rest.map((text) => h('td', {}, text))))))
