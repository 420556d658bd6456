/**
 * The table of a ranking: a value of a dimension per row, with the interval of its number, its change and its trend.
 *
 *     const answered = await rank(page, { dim: 'source', at: [], limit: 8 })
 *     fill(place, rowsOf(page, metric, answered, { shifts }))
 */
import { Refused } from './api.js'
import { h } from './dom.js'
import * as f from './format.js'
import { interval, spark } from './figures.js'
import { judged, namesOf } from './metrics.js'

/** GET /rank of the values below `dim`, or below the path `at`, as this page asks it; by value where nothing tells how sure it is. */
export const rank = async (page, { by, dim, at = [], columns = [], ...more }) => {
  const question = { ...page.asked, dimension: at.length ? at : [dim], by, columns, order: 'confidence', series: true, paths: 'list', ...more }
  return page.ask('rank', question).catch((error) => {
    if (!(error instanceof Refused && error.problem.field === 'order' && question.order === 'confidence')) throw error
    return page.ask('rank', { ...question, order: 'value' })
  })
}

/** Standard deviations that are beyond chance where many are looked at. */
export const SURE = 3

/** Beyond chance: colour and an arrow; else grey. */
export function changeOf(metric, compared, sureness) {
  const changed = f.change(compared?.now, compared?.before, metric)
  const sure = Math.abs(sureness?.z ?? 0) > SURE
  return h('span', { class: sure ? judged(metric, changed.sign) : 'soft' }, sure && `${f.arrow(changed.sign)} `, changed.text)
}

const valueOf = (metric, row) => f.ofFew(Object.values(row.parts ?? {}), row.n, metric) ?? f.value(row.value, metric)

/**
 * columns: metrics beside the one that ranks.  shifts: of /shifts, shown at the rows they lie in.  closing: below the rows, what
 * makes them add up to the whole.  sort: the address of the order by a formula; the one that ranks says in words how it does so.
 */
export function rowsOf(page, metric, { answer }, { title, columns = [], shifts = [], link, closing = false, sort } = {}) {
  const { rows, total, other, rest, ended } = answer
  const support = namesOf(metric.formula)[1] ?? 'hits'
  const side = (column) => (column.formula === support ? 'n' : 'n wide-only')
  const whole = metric.formula.includes('/') ? total.value : null // a sum is a part of the whole, and lies not beside it
  const lows = [...rows, ...(whole == null ? [] : [total])].map((row) => [row.low ?? row.value, row.high ?? row.value]).flat().filter((v) => v != null)
  const [least, most] = [whole == null ? Math.min(0, ...lows) : Math.min(...lows), Math.max(...lows)]
  const scale = { least: least && least - (most - least) / 12, most: most + (most - least) / 12 }
  const measured = rows.some((row) => row.low != null)
  const line = (row, name) => {
    const path = f.pathOf(row.path ?? [])
    const shift = name ? null : shifts.find((each) => path.every((part, i) => each.path[i] === part))
    return h('tr', { class: closing && row.important ? 'important' : '' },
      h('th', { scope: 'row' }, name ?? h('a', { href: link(path) }, f.shown(path.at(-1))), shift && badge(page, metric, shift, path)),
      columns.map((column) => h('td', { class: side(column), title: f.full(row.columns?.[column.formula]) }, f.value(row.columns?.[column.formula], column))),
      h('td', { class: 'n strong', title: f.full(row.value) }, valueOf(metric, row)),
      measured && h('td', { class: 'wide-only' }, row.low != null && !name && interval({ ...row, whole }, scale)),
      total.compared && h('td', { class: 'n' }, row.compared && changeOf(metric, row.compared[metric.formula], row.change)),
      h('td', { class: 'n wide-only trend' }, row.series && spark(row.series)))
  }
  const head = (column) => {
    const [ranks, name] = [column === metric, column.name]
    const sorted = ranks && sort ? (sort.ascending ? 'ascending' : 'descending') : null
    return h('th', { scope: 'col', class: ranks ? 'n' : side(column), 'aria-sort': sorted },
      sort ? h('a', { href: sort.link(column.formula), title: `Order by ${name}` }, name, ranks && (sort.ascending ? ' ↑' : ' ↓')) : name)
  }
  const closed = closing ? [
    other && line(other, 'Other names, folded'), rest && line(rest, `${f.number(rest.rows)} more ${rest.rows === 1 ? 'value' : 'values'} folded`),
    Object.values(ended.parts).some(Boolean) && line(ended, `No further than ${title}`),
  ] : []
  return h('table', { class: 'rows' },
    h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, title), [...columns, metric].map(head),
      measured && h('th', { scope: 'col', class: 'wide-only' }, whole == null ? '95 % interval' : '95 % interval · dotted: all'),
      total.compared && h('th', { scope: 'col', class: 'n' }, 'Change'), h('th', { scope: 'col', class: 'n wide-only' }, 'Trend'))),
    h('tbody', {}, rows.map((row) => line(row))), h('tfoot', {}, closed, line(total, 'All')))
}

function badge(page, metric, shift, path) {
  const below = shift.path.slice(path.length)
  const said = `${below.length ? f.named(below) : 'it'} ${shift.now < shift.before ? 'fell' : 'rose'} ${f.day(Date.parse(shift.at), page.zone)}`
  return h('span', { class: `badge ${judged(metric, shift.now - shift.before)}` }, said)
}

const CLOSING = [['other', 'other'], ['more values', 'rest'], ['no further', 'ended'], ['all', 'total']]
/** The same as a table of all digits, for card.offer. */
export const plainRows = (metric, { answer }, title, columns = []) => ({
  columns: [title, ...columns.map((column) => column.formula), metric.formula, 'low', 'high', 'before'],
  rows: [...answer.rows, ...CLOSING.filter(([, kind]) => answer[kind]).map(([path, kind]) => ({ ...answer[kind], path: [path] }))].map((row) => [
    f.named(f.pathOf(row.path).slice(-1)), ...columns.map((column) => row.columns?.[column.formula] ?? null), row.value, row.low ?? null,
    row.high ?? null, row.compared?.[metric.formula]?.before ?? null,
  ]),
})
