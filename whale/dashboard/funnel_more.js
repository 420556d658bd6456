/** A funnel over time, as the share of those who began in each bucket; and the same funnel for each value of a property. */
import { draw, keyOf } from './chart.js'
import { fill, h, headOf, scroller, select } from './dom.js'
import * as f from './format.js'
import { OTHERS, SHARE, none, ofWhole, shares, valueOf } from './of_site.js'
import { SURE } from './rows.js'

const DAY = 86400e3
const FIRST = ['source', 'campaign']
const RATE = { ...SHARE, formula: 'rate', name: 'Rate', better: 'up' }

export function showRate({ page, parts: { rate } }, { answer, address }, rows) {
  const points = (answer.rate ?? []).filter(([at]) => at <= Date.now())
  const [times, values] = [points.map(([at]) => at), points.map(([, v]) => v)]
  if (!times.length) return void (rate.element.hidden = true)
  const [width, last] = [times.length > 1 ? times[1] - times[0] : DAY, times.length - 1]
  const [at, said] = [(i) => f.bucket(times[i], width, page.zone), (i) => f.value(values[i], SHARE)]
  rate.title('Rate over time', h('small', {}, `from ${rows[0].name} to ${rows.at(-1).name}, by when they began`))
  draw(rate.body, {
    page, metric: RATE, times, width, series: [{ name: RATE.name, values }], open: times[last] + width > Date.now(), area: true,
    label: `Rate from ${at(0)}, ${said(0)}, to ${at(last)}, ${said(last)}`, details: 'rate-more',
    spoken: (i) => `${at(i)}, ${said(i)}`,
    cursor: (i) => rate.at(h('span', { class: 'soft' }, at(i)), h('span', {}, keyOf({}, 0), h('b', {}, said(i)))),
    chosen: (from, to) => page.go({ range: [from, to].map((ms) => f.local(ms, page.zone)).join('..'), period: '' }),
  })
  rate.offer({ address, table: () => ({ columns: ['Time', 'Rate'], rows: times.map((_, i) => [at(i), values[i]]) }) })
}

/** Properties of visitors, by which a funnel may be split. */
export const splits = (page, asked) => page.ask('properties', asked).catch(none)
  .then(({ answer }) => (answer.properties ?? []).filter(({ of }) => of === 'visitor').map(({ property }) => property))
  .then((names) => names.sort((a, b) => FIRST.includes(b) - FIRST.includes(a))) // where they came from is asked first

/** How sure it is that a value differs from all others, in standard deviations. */
function sureness({ steps }, all) {
  const [n, x] = [steps[0].visitors, steps.at(-1).visitors]
  const [m, y] = [all[0].visitors - n, all.at(-1).visitors - x]
  const part = (x + y) / (n + m)
  const variance = part * (1 - part) * (1 / n + 1 / m)
  return variance > 0 && Number.isFinite(variance) ? (x / n - y / m) / Math.sqrt(variance) : 0
}

/** The value of which far fewer get there than of all others, beyond chance. */
function lagging(split, all, by) {
  const [worst] = split.filter(({ value }) => value !== OTHERS).map((each) => ({ ...each, z: sureness(each, all) })).sort((a, b) => a.z - b.z)
  if (!(worst?.z < -SURE)) return null
  const [n, x] = [worst.steps[0].visitors, worst.steps.at(-1).visitors]
  const name = `${f.shown(by)} ${worst.value === null ? 'none' : valueOf(worst.value)}`
  return h('p', { class: 'story bad' }, 'Of ', h('b', {}, name), ' ', h('b', { class: 'bad' }, ofWhole(x, n)),
    ` got there, and of all others ${ofWhole(all.at(-1).visitors - x, all[0].visitors - n)}.`)
}

export function showSplit({ page, parts: { split }, by, properties }, { answer, address }, rows) {
  if (!properties.length) return void (split.element.hidden = true)
  const known = [...new Set([...properties, by])].map((name) => [name, f.shown(name)])
  split.at(h('label', {}, h('span', { class: 'soft' }, 'by '), select({ id: 'by' }, known, by, (to) => page.go({ by: to }))))
  const name = ({ value }) => (value === null ? `no ${f.shown(by)}` : valueOf(value))
  const all = { value: null, steps: answer.steps, isAll: true }
  const line = (each) => {
    const [{ visitors: first }, last] = [each.steps[0], each.steps.at(-1)]
    return h('tr', {}, h('th', { scope: 'row' }, each.isAll ? 'All' : name(each)), h('td', { class: 'n', title: f.full(first) }, f.number(first)),
      each.steps.slice(1, -1).map((step) => h('td', { class: 'n wide-only', title: f.full(step.visitors) }, ofWhole(step.visitors, first))),
      h('td', { class: 'n strong', title: f.full(last.visitors) }, f.ofFew([last.visitors, first], first, SHARE) ?? ofWhole(last.visitors, first)),
      h('td', { class: 'wide-only wide-bar' }, shares(['part', first ? last.visitors / first : 0])))
  }
  const middle = rows.slice(1, -1).map((row) => [row.name, 'n wide-only'])
  fill(split.body, lagging(answer.split ?? [], answer.steps, by), scroller('Table: Split', h('table', { class: 'rows' },
    headOf([f.title(f.shown(by))], [rows[0].name, 'n'], ...middle, [rows.at(-1).name, 'n'], ['', 'wide-only']),
    h('tbody', {}, (answer.split ?? []).map(line)), h('tfoot', {}, line(all)))),
  h('p', { class: 'foot' }, 'Visitors of the first step, and which part of them got to each further one. Each visitor counts at their last value.'))
  split.offer({ address, table: () => ({
    columns: [by, ...rows.map((row) => row.name)],
    rows: [...(answer.split ?? []), all].map((each) => [each.isAll ? 'All' : name(each), ...each.steps.map(({ visitors }) => visitors)]),
  }) })
}
