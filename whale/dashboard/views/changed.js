/** What changed: the sentences of /shifts, and the parts of the change that are beyond chance (/factors). */
import { card } from '../card.js'
import { fill, h, headOf } from '../dom.js'
import { bar } from '../figures.js'
import * as f from '../format.js'
import { judged } from '../metrics.js'
import { Refused } from '../api.js'
import { SURE } from '../rows.js'
import { empty } from '../states.js'

const [MOST_PARTS, MOST_DIMENSIONS, SENTENCES] = [4, 8, 3]
/** Shifts are looked for by day, and need some days before them. */
const LOOKED = { today: '30d', '7d': '30d', '1w:1y': '1d:1y' }

export const changedCard = () => card('What changed', { id: 'changed', height: 'changed' })

/** The most costly shifts of the first of these formulas that has some, each with its metric. */
export async function shiftsOf(page, metrics, [formula, ...more]) {
  const cost = metrics.names.filter((name) => metrics.of(name).unit === 'money' && metrics.of(name).better === 'up').slice(0, 2)
  const { compare, ...asked } = page.asked
  const question = { ...asked, period: LOOKED[asked.period] ?? asked.period, metric: formula, cost, limit: SENTENCES }
  const none = (error) => {
    if (error instanceof Refused && error.problem.status === 400) return { answer: { shifts: [] } } // of no such kind, or too many series
    throw error
  }
  const { answer, address } = await page.ask('shifts', question).catch(none)
  if (!answer.shifts.length && more.length) return shiftsOf(page, metrics, more)
  return answer.shifts.map((shift) => ({ ...shift, metric: metrics.of(formula), address }))
}

/** dims: names of dimensions, of which the first few are looked at; else all are. */
export async function showChanged(changed, page, metrics, metric, shifts, dims = []) {
  const since = shifts.find((shift) => shift.ongoing && shift.metric.formula === metric.formula)
  const { period, compare, ...asked } = page.asked
  const stretch = since ? { start: since.at, interval: 'day' } : { period, compare: compare ?? 'previous' }
  const told = shifts.map((shift, at) => (at ? shortly : story)(page, metrics, shift))
  if (page.isNew) return void fill(changed.body, told, !told.length && empty('There is no period before this one to compare with yet.'))
  const dimensions = dims.length > MOST_DIMENSIONS
    ? [...new Set([...shifts.flatMap(({ path }) => path.slice(0, 1)), ...dims])].slice(0, MOST_DIMENSIONS).map((name) => [name]) : undefined
  const explained = await page.ask('factors', { ...asked, metric: metric.formula, dimensions, limit: MOST_PARTS, ...stretch }).catch((error) => {
    if (!told.length || !(error instanceof Refused)) throw error
    return null // the sentences stand by themselves
  })
  fill(changed.body, told, explained && parts(page, metric, explained.answer, since, MOST_PARTS - told.length + 1))
  changed.offer({ address: shifts[0]?.address ?? explained?.address, table: explained && (() => plainParts(explained.answer)) })
}

function story(page, metrics, shift) {
  const { path, at, until, ongoing, before, now, cost, metric, notes } = shift
  const [tone, day] = [judged(metric, now - before), (time) => f.weekday(time, page.zone)]
  const of = path.length > 1 ? [whose(page, path), `: ${metric.name.toLowerCase()}`] : h('b', {}, metric.name)
  const priced = ([formula, amount]) => `${f.value(Math.round(Math.abs(amount)), metrics.of(formula))} ${f.title(formula).toLowerCase()}`
  const costs = Object.entries(cost).filter(([, amount]) => Math.abs(amount) >= 0.5).map(priced)
  const less = Object.values(cost)[0] < 0 ? 'less' : 'more'
  return h('div', { class: `story ${tone}` },
    h('p', { class: 'date' }, ongoing ? `Since ${day(Date.parse(at))}` : `From ${day(Date.parse(at))} until ${day(Date.parse(until) - 1)}`),
    h('p', { class: 'lead' }, of, moved(shift, tone), metric.formula.includes('/') ? '.' : ' a day.'),
    costs.length > 0 && h('p', {}, `About ${costs.join(' and ')} ${less} than before${ongoing ? ', so far' : ''}.`),
    notes?.length > 0 && h('p', { class: 'soft' }, `Noted then: ${f.shown(notes[0].text)}`))
}

/** One of the further ones: a line, so that the card keeps its height. */
const shortly = (page, metrics, shift) => h('p', { class: 'also' }, whose(page, shift.path),
  moved(shift, judged(shift.metric, shift.now - shift.before)), ` since ${f.weekday(Date.parse(shift.at), page.zone)}${shift.ongoing ? '' : ', for a while'}.`)

const whose = (page, path) => path.length > 1
  ? [h('span', { class: 'soft' }, `${path[0]} `),
    h('a', { href: page.link({ view: 'breakdown', dim: path[0], at: path.slice(0, -1) }) }, h('b', {}, f.named(path.slice(1))))] : 'All'

const moved = ({ before, now, metric }, tone) =>
  [` ${now < before ? 'fell' : 'rose'} from ${f.value(before, metric)} to `, h('b', { class: tone }, f.value(now, metric))]

/** A part beyond chance: it differs from no part, and the value moved otherwise than the others. */
export const isSure = ({ z, low, high }) => Math.abs(z ?? 0) > SURE && (low > 0 || high < 0)

/** A part of a change: of a share in points. */
export const pointsOf = (metric) => metric.unit === 'share' ? (v) => f.signed(v * 100, 2) : (v) => (v > 0 ? '+' : '') + f.value(v, metric)

function parts(page, metric, answer, since, most) {
  const points = pointsOf(metric)
  const sure = answer.dimensions.flatMap(({ rows }) => rows).filter((row) => row.kind === 'value' && isSure(row))
  const rows = sure.map((row) => row.because?.at(-1) ?? row).sort((a, b) => Math.abs(b.part) - Math.abs(a.part))
  const name = since ? `In all, ${metric.name.toLowerCase()}` : metric.name
  const differs = answer.change > 0 ? 'is higher than' : answer.change < 0 ? 'is lower than' : 'is the same as'
  const said = answer.change == null ? '' : ` ${differs} ${since ? 'in as many days before' : 'before'}`
  const whole = h('p', { class: 'whole' }, `${name}${said}: `,
    h('b', {}, f.value(answer.now, metric)), ` from ${f.value(answer.before, metric)}. `,
    rows.length ? 'Beyond chance, that is:' : answer.why ? '' : 'No single value stands out from chance.')
  const unit = metric.unit === 'share' ? 'points' : metric.name
  return [whole, rows.length > 0 && h('table', { class: 'parts' },
    headOf(['Part of the change'], [''], [unit, 'n']),
    h('tbody', {}, rows.slice(0, most).map(({ path: text, part }) => {
      const path = f.pathOf(text)
      return h('tr', {}, h('th', { scope: 'row' }, h('span', { class: 'soft' }, `${path[0]} `), f.named(path.slice(1))),
        h('td', {}, bar(part / Math.abs(rows[0].part), { tone: judged(metric, part) || 'bad' })), h('td', { class: 'n' }, points(part)))
    })))]
}

/** All parts, as a table of all digits. */
export const plainParts = ({ dimensions }) => ({
  columns: ['dimension', 'value', 'kind', 'part', 'of change', 'z', 'now', 'before'],
  rows: dimensions.flatMap(({ dimension, rows }) => rows.map(({ path, kind, part, of_change: share, z, now, before }) =>
    [f.named([dimension].flat()), path ? f.named(f.pathOf(path).slice(1)) : kind, kind, part, share, z, now, before])),
})
