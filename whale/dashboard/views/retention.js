/** Who comes back: visitors by the day, week or month of their first visit, and how many of them came again in each one after it. */
import { card } from '../card.js'
import { fill, h, headOf, scroller, select } from '../dom.js'
import * as f from '../format.js'
import { SHARE, limits } from '../of_site.js'
import { empty } from '../states.js'
import { ofSite } from '../visiting.js'

const [USUAL, FEW, STEPS, FEWEST] = ['week', 12, 10, 3]
const WIDTHS = [['day', 'Days'], ['week', 'Weeks'], ['month', 'Months']]
const COUNTS = { day: ['7', '14', '30'], week: ['8', '12', '26'], month: ['6', '12', '24'] }

export const show = ofSite('retention', 'Retention', build, async (view) => {
  const { page, parts: { retention }, asked: { pk, tz } } = view
  const { answer } = await page.ask('events', { pk, tz, period: '1w:1y' })
  controls(view, answer.events.map(({ event }) => event))
  await retention.during(() => showTriangle(view))
}, { period: false })

function build(parts) {
  parts.controls = h('div', { class: 'keep-cohorts' })
  parts.retention = card('Retention', { id: 'retention', height: 'page', main: true })
  return [parts.controls, parts.retention.element]
}

const widthOf = ({ by }) => (WIDTHS.some(([name]) => name === by) ? by : USUAL)

function controls({ page, parts }, events) {
  const { state, go } = page
  const width = widthOf(state)
  const known = (chosen) => [['', 'any event'], ...[...new Set([...events, chosen].filter(Boolean))].map((event) => [event, f.shown(event)])]
  const choice = (name, label, choices, chosen) =>
    h('label', {}, h('span', { class: 'soft' }, label), select({ id: name, name }, choices, chosen, (to) => go({ [name]: to })))
  const wide = (name) => go({ by: name === USUAL ? '' : name, count: '' })
  const counts = COUNTS[width].includes(state.count ?? String(FEW)) ? COUNTS[width] : [...COUNTS[width], state.count ?? String(FEW)]
  fill(parts.controls, h('form', { class: 'controls', onsubmit: (event) => event.preventDefault() },
    h('div', { class: 'periods', role: 'group', 'aria-label': 'Cohorts by' }, WIDTHS.map(([name, label]) =>
      h('button', { type: 'button', id: `by-${name}`, 'aria-pressed': name === width, onclick: () => wide(name) }, label))),
    choice('first', 'who began with ', known(state.first), state.first ?? ''), choice('again', 'and came back for ', known(state.again), state.again ?? ''),
    choice('count', 'the last ', counts.map((each) => [each, each]), state.count ?? String(FEW))))
}

async function showTriangle({ page, parts: { retention }, asked: { pk, tz, segment } }) {
  const { state } = page
  const width = widthOf(state)
  const question = { pk, tz, segment, first: state.first || undefined, again: state.again || undefined, by: width, count: Number(state.count) || FEW }
  const { answer, address } = await page.ask('retention', question)
  const began = Math.max(0, answer.cohorts.findIndex(({ visitors }) => visitors)) // before that there was nobody
  const [cohorts, curve] = [answer.cohorts.slice(began), answer.curve?.slice(0, answer.cohorts.length - began)]
  if (answer.basis === 'daily') return void fill(retention.body, empty('Some ids are of a day alone, so nobody can be known to come back.'))
  const named = (at) => (width === 'month' ? f.bucket(Date.parse(at), 28 * 86400e3, page.zone) : f.day(Date.parse(at), page.zone))
  const places = curve.map((_, i) => (i ? `${f.title(width)} ${i}` : `First ${width}`))
  const cell = ({ visitors, kept, open_from: open }, i) => {
    if (i >= kept.length) return h('td', {})
    const [part, isOpen] = [visitors ? kept[i] / visitors : null, open !== null && i >= open]
    const said = `${f.full(kept[i])} of ${f.full(visitors)}${isOpen ? ', so far' : ''}`
    const name = `heat heat-${Math.ceil(part * STEPS)}${isOpen ? ' so-far' : ''}`
    return h('td', { class: name, title: said }, percent(part), isOpen && h('span', { class: 'sr' }, ' so far'))
  }
  const all = cohorts.reduce((sum, { visitors }) => sum + visitors, 0)
  if (!all) return void fill(retention.body, empty('Nobody began in this time.'))
  const row = (name, visitors, cells) =>
    h('tr', {}, h('th', { scope: 'row' }, name), h('td', { class: 'n strong', title: f.full(visitors) }, f.number(visitors)), cells)
  fill(retention.body, sentence(cohorts, curve, width),
    scroller('Table: Retention', h('table', { class: 'triangle' }, headOf(['Began'], ['Visitors', 'n'], ...places.map((name) => [name, 'n'])),
      h('tbody', {}, row('All', all, curve.map((part) => h('td', { class: 'heat strong' }, percent(part)))),
        cohorts.map((cohort) => row(named(cohort.at), cohort.visitors, curve.map((_, i) => cell(cohort, i))))))),
    h('p', { class: 'foot' }, `In italics: the ${width} is not over, so more may come back. All has only ${width}s that are over.`),
    limits(answer, cohorts[0]?.at, page.zone))
  retention.offer({ address, table: () => ({
    columns: ['Began', 'Visitors', ...places],
    rows: cohorts.map(({ at, visitors, kept }) => [at.slice(0, 10), visitors, ...places.map((_, i) => kept[i] ?? null)]),
  }) })
}

/** Whole percents: a triangle is read by its pattern. */
const percent = (part) => (part == null ? '–' : `${Math.round(part * 100)}\u202f%`)

/** What is said of the last one rests on some cohorts, not on the oldest alone. */
function sentence(cohorts, curve, width) {
  const over = (i) => cohorts.filter(({ kept, open_from: open }) => i < (open ?? kept.length)).length
  const last = curve.findLastIndex((part, i) => part != null && (i < 2 || over(i) >= FEWEST))
  if (last < 1) return h('p', { class: 'lead' }, `No ${width} after the first one is over yet.`)
  return h('p', { class: 'lead' }, h('b', {}, f.value(curve[1], SHARE)), ` came back ${width === 'day' ? 'on' : 'in'} the ${width} after their first one`,
    last > 1 && [', and ', h('b', {}, f.value(curve[last], SHARE)), ` after ${last} ${width}s`], '.')
}
