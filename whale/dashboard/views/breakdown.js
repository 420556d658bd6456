/** The values of a dimension in the order of any formula, page by page, closed by what is not shown; each opens those below it. */
import { card } from '../card.js'
import { fill, h, say, select } from '../dom.js'
import * as f from '../format.js'
import { plainRows, rank, rowsOf } from '../rows.js'
import { empty } from '../states.js'
import { dimensionsOf, tabs } from '../tabs.js'
import { tilesOf } from '../tiles.js'
import { whenBar } from '../when.js'

const PAGE = 50
const ORDERS = [['', 'surely most first'], ['value', 'largest first'], ['ascending', 'smallest first']]
const SHARES = ['0.05', '', '0.2', '0.5']

export async function show(place, page) {
  const { state } = page
  const shown = place.shown ?? build(place, page)
  const when = whenBar(page)
  fill(shown.when, when.element)
  const [metrics, dims] = await Promise.all([page.metrics(), dimensionsOf(page)])
  const { tiles, chosen } = tilesOf(page, metrics)
  const metric = metrics.of(state.by || chosen)
  const dim = state.at[0] || state.dim || dims[0]
  const at = state.at[0] ? state.at : [dim]
  const offset = Math.max(0, Math.trunc(Number(state.offset)) || 0)
  const up = (names) => ({ dim, at: names.length > 1 ? names : [], offset: '' })
  tabs(page, shown.values, dims, dim, { panel: 'values-body', step: true })
  shown.page = page
  if (!typing(shown.controls)) fill(shown.controls, controls(shown, metrics, metric, tiles))
  if (at.length > 1) page.key('Backspace', 'up', () => page.go(up(at.slice(0, -1))))

  await shown.values.during(async () => {
    if (!dim) return void fill(shown.values.body, empty('Nothing was counted by dimension.'))
    const columns = [...new Set([...metrics.within(chosen), ...metrics.within(metric.formula), chosen])]
      .filter((formula) => formula !== metric.formula).map((formula) => metrics.of(formula))
    const ordered = { order: state.order ? 'value' : 'confidence', ascending: state.order === 'ascending' }
    const answered = await rank(page, {
      by: metric.formula, dim, at, columns: columns.map(({ formula }) => formula), limit: PAGE, offset, ...ordered,
      threshold: state.threshold || undefined, min_support: state.support || undefined,
    })
    const { rows, compared } = answered.answer
    when.says(compared, answered.headers)
    const inside = place.contains(document.activeElement)
    const link = (path) => page.link({ dim, at: path, offset: '' })
    const title = at.length > 1 ? f.shown(at.at(-1)) : f.title(f.shown(dim))
    const order = (formula) => (formula === metric.formula ? next(state.order) : '')
    const sort = { ...ordered, link: (formula) => page.link({ by: formula === chosen ? '' : formula, order: order(formula), offset: '' }) }
    const several = rows.length + answered.more
    fill(shown.values.body, at.length > 1 && crumbs(page, at, up), rows.length
      ? h('div', { class: 'wide-scroll' }, rowsOf(page, metric, answered, { title, columns, link, closing: true, sort }))
      : empty(several ? 'No more values.' : `Nothing was counted below ${f.named(at)} in this period.`,
        at.length > 1 && h('a', { href: page.link(up(at.slice(0, -1))) }, 'Up')),
    pager(page, offset, rows.length, several), rows.length > 0 && foot(state, metric, answered.answer))
    if (inside && document.activeElement === document.body) (shown.values.body.querySelector('tbody a') ?? shown.values.body.querySelector('a'))?.focus()
    say(`${several} ${several === 1 ? 'value' : 'values'} of ${f.named(at)}`)
    shown.values.offer({ address: answered.address, table: () => plainRows(metric, answered, title, columns) })
  })
}

function build(place, page) {
  const [when, controlled] = [h('div', { class: 'keep-when' }), h('div', { class: 'keep-controls' })]
  const values = card('Breakdown', { id: 'values', height: 'page', main: true })
  values.body.before(controlled)
  fill(place, h('h1', { class: 'sr' }, 'Breakdown'), when, values.element)
  return (place.shown = { when, controls: controlled, values })
}

const next = (order) => ORDERS[(ORDERS.findIndex(([name]) => name === order) + 1) % ORDERS.length][0]

/** Somebody writes into a field, which must not be taken away. */
const typing = (place) => [...place.querySelectorAll('input:focus')].some((field) => field.value !== field.defaultValue)

/** What orders the rows: a formula, how, from which share a row stands out, and the least support. */
function controls(shown, metrics, metric, tiles) {
  const { state } = shown.page
  const labelled = (label, input, unit) => h('label', {}, h('span', { class: 'soft' }, label), input, h('span', { class: 'soft' }, unit))
  const support = metrics.of(metrics.within(metric.formula)[1] ?? 'hits').name.toLowerCase()
  const field = (label, name, attributes, unit) => labelled(label, h('input', { id: name, name, autocomplete: 'off', ...attributes }), unit)
  const choice = (label, name, choices) => labelled(label, select({ id: name, name }, choices, state[name]))
  const changed = ({ currentTarget, target }) => {
    target.defaultValue = target.value
    const { by, ...others } = Object.fromEntries(new FormData(currentTarget))
    shown.page.go({ ...others, by: by.trim() === metric.formula ? state.by : by.trim(), offset: '' })
  }
  return h('form', { class: 'controls', onchange: changed, onsubmit: (event) => event.preventDefault() },
    field('By ', 'by', { list: 'by-known', value: metric.formula, spellcheck: 'false' }),
    h('datalist', { id: 'by-known' }, [...new Set([...tiles, ...metrics.names])].map((formula) => h('option', { value: formula }))),
    choice('in order ', 'order', ORDERS), choice('bold from ', 'threshold', SHARES.map((share) => [share, `${(share || 0.1) * 100} %`])),
    field('at least ', 'support', { type: 'number', min: 0, value: state.support ?? '', placeholder: 0 }, ` ${support}`))
}

function crumbs(page, at, up) {
  return h('nav', { class: 'crumbs', 'aria-label': 'Path' }, at.map((name, i) => [i > 0 && ' › ',
    i === at.length - 1 ? h('b', { 'aria-current': 'page' }, i ? f.shown(name) : f.title(f.shown(name)))
      : h('a', { href: page.link(up(at.slice(0, i + 1))) }, i ? f.shown(name) : f.title(f.shown(name)))]))
}

function pager(page, offset, rows, several) {
  if (several <= PAGE) return null
  const to = (first, label, rel) => h('a', { rel, href: page.link({ offset: first ? String(first) : '' }) }, label)
  const before = Math.max(0, Math.min(offset, Math.ceil(several / PAGE) * PAGE) - PAGE)
  return h('nav', { class: 'pager', 'aria-label': 'Pages' }, offset > 0 && to(before, '← Before', 'prev'),
    rows > 0 && h('span', {}, `${f.full(offset + 1)}–${f.full(offset + rows)} of ${f.full(several)}`),
    rows > 0 && offset + rows < several && to(offset + PAGE, 'After →', 'next'))
}

const hasInterval = (rows) => rows.some((row) => row.low != null)
const foot = (state, { formula }, { rows, compared }) => h('p', { class: 'foot' },
  hasInterval(rows) && 'By the low end of the 95 % interval, so that one lucky visitor does not come first. ',
  rows.some((row) => row.important) && 'Bold: ' + (formula.includes('/') ? `${hasInterval(rows) ? 'surely ' : ''}differs from the whole by` : 'has') +
    ` more than ${(state.threshold || 0.1) * 100} %. `, compared && 'A change has a colour where it is beyond chance.')
