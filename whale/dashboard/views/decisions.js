/**
 * Which option? Managed decisions by name; and the pk of the page, whose child pks are options of a decision that nobody defined.
 * A verdict is Whale's own `state` and `stop`, which hold for daily readers, as do the thin lines; all else holds if read once.
 */
import { card } from '../card.js'
import { fill, h, headOf, scroller, select } from '../dom.js'
import * as f from '../format.js'
import { interval } from '../figures.js'
import { metricsOf } from '../metrics.js'
import { empty } from '../states.js'
import { dimensionsOf } from '../tabs.js'

const MOST = 20
const NONE = { phase: '', dim: '', at: [], by: '' }

export async function show(place, page) {
  const { pk, decision } = page.state
  const [{ answer: managed }, below] = await Promise.all([page.ask('decisions'), pk.length ? page.ask('pks', { pk, limit: MOST + 1 }) : { answer: [] }])
  const options = below.answer.length > 1 && below.answer.length <= MOST
  const name = decision || (options ? '' : managed[0]?.name)
  if (name === undefined) return void fill(place, h('div', { class: 'chips' }), nothing(page))
  const parts = (place.parts ??= build(place))
  const link = (text, to) => h('a', { id: `decision-${to}`, href: page.link({ ...NONE, decision: to }), 'aria-current': to === name ? 'true' : null }, text)
  fill(parts.names, options && link(`Options of ${f.named(pk)}`, ''), managed.map((each) => link(f.shown(each.name), each.name)))
  await parts.card.during(() => (name ? defined(parts.card, page, name, managed) : plain(parts.card, page)))
}

function build(place) {
  const names = h('nav', { class: 'chips', 'aria-label': 'Decisions' })
  const one = card('Decision', { id: 'decision', height: 'decision', main: true })
  fill(place, h('h1', { class: 'sr' }, 'Decisions'), names, one.element)
  return (place.parts = { names, card: one })
}

async function defined(one, page, name, managed) {
  const phases = managed.find((each) => each.name === name)?.phases ?? []
  const counters = ['decisions', name, page.state.phase || String(phases.at(-1)?.number ?? 1)]
  const context = await contextOf(page, counters)
  const { answer, address } = await page.ask(`decisions/${encodeURIComponent(name)}`, { phase: page.state.phase || undefined, dimensions: context.dim })
  const { decision, phase, report } = answer
  const since = (number, started) => `Phase ${number}, since ${f.weekday(Date.parse(started), page.zone)}`
  const numbered = phases.map((each) => [String(each.number), since(each.number, each.started)])
  const pickPhase = phases.length > 1 && choice('phase', 'Phase', numbered, String(phase.number), (to) => page.go({ phase: to }))
  const facts = [
    !pickPhase && since(phase.number, phase.started), phase.ended && `ended ${f.weekday(Date.parse(phase.ended), page.zone)}`, phase.policy,
    `${f.number(report.decisions)} decisions`, phase.goal === 'min' && 'less is better',
    phase.holdout && `${f.value(phase.holdout, { unit: 'share' })} held out`, decision.description,
  ]
  draw(one, page, { name, report, address, context, facts, controls: [pickPhase], fixed: fixedBy(decision) })
}

async function plain(one, page) {
  const context = await contextOf(page, page.state.pk)
  const formulas = await formulasOf(page, context.metrics)
  const by = page.state.by || formulas[0]
  const { answer: report, address } = await page.ask('outcomes', { pk: page.state.pk, by_metric: by, period: page.asked.period, dimensions: context.dim })
  const pickBy = choice('by', 'Judged by', [...new Set([...formulas, by])].map((text) => [text, text]), by, (to) => page.go({ by: to }))
  const facts = ['nobody defined it: its options are the pks below']
  draw(one, page, { name: f.named(page.state.pk), report, address, context, facts, controls: [pickBy], rolling: !page.state.range })
}

/** What outcomes may be judged by, first what was likely meant: money, or the rarest, over the most frequent; a thing over hits. */
async function formulasOf(page, metrics) {
  const names = metrics.names.filter((name) => name !== 'hits').slice(0, 6)
  if (names.length < 2) return [`${names[0] ?? 'value'}/hits`]
  const totals = Object.values((await page.ask('totals', { pk: page.state.pk, metrics: names, period: page.asked.period })).answer)[0]._
  const rank = (name) => (metrics.of(name).unit === 'money' ? -1 : Math.abs(totals[name] ?? 0))
  names.sort((a, b) => rank(a) - rank(b))
  const pairs = names.flatMap((above) => names.toReversed().filter((below) => below !== above).map((below) => `${above}/${below}`))
  return [...pairs, ...names.map((name) => `${name}/hits`)]
}

/** Of whom: everybody, or a value of a dimension that the reader picks. */
async function contextOf(page, pk) {
  const [dims, metrics] = await Promise.all([dimensionsOf(page, pk), metricsOf(pk, page.ask)])
  return { dims, metrics, dim: dims.includes(page.state.dim) ? [page.state.dim] : undefined }
}

function draw(one, page, { name, report, address, context, facts, controls, fixed, rolling }) {
  const [{ state, go }, { metrics }] = [page, context]
  const values = report.segments.map(({ dimension }) => f.pathOf(dimension))
  const segment = report.segments[values.findIndex((path) => path.length && path.at(-1) === state.at.at(-1))]
  const rows = segment?.options ?? report.options
  const all = rows.reduce((sum, row) => sum + row.trials, 0)
  const given = (row) => (report.decisions && row.shown !== undefined ? row.shown / report.decisions : all ? row.trials / all : null)
  const named = metrics.of(report.by_metric.includes('/') ? report.by_metric : `${report.by_metric}/hits`)
  const metric = named.unit === 'share' && rows.some(({ rate }) => Math.abs(rate) > 1.5) ? { ...named, unit: 'number' } : named
  const ends = rows.flatMap((row) => [row.rate, ...(row.interval ?? [])]).filter((v) => v != null)
  const [least, most] = [Math.min(...ends), Math.max(...ends)]
  const scale = { least: least - (most - least) / 4, most: most + (most - least) / 4, width: 240 }
  const [dims, dim] = [context.dims.map((each) => [each, `By ${f.shown(each)}`]), context.dim?.[0] ?? '']
  const shown = values.map((path) => [path.at(-1), f.shown(path.at(-1))])
  const ofDim = dims.length > 0 && choice('dim', 'Context', [['', 'Everybody'], ...dims], dim, (to) => go({ dim: to, at: [] }))
  const ofValue = shown.length > 0 && choice('at', 'Value', [['', 'All'], ...shown], segment ? state.at.at(-1) : '', (to) => go({ at: to ? [dim, to] : [] }))
  const range = ({ interval: ends }) => ends.map((end) => f.value(end, metric)).join(' to ')
  const lost = (row) => f.value(row.expected_loss, metric).replace('%', 'points')
  one.title(f.shown(name), ' ', h('small', {}, report.by_metric))
  one.at(controls, ofDim, ofValue)
  fill(one.body,
    h('p', { class: 'lead' },
      segment ? `Of ${f.named([dim, state.at.at(-1)])} alone. No verdict: these numbers hold if you look once.` : (fixed ?? verdict(report))),
    h('p', { class: 'foot facts' }, facts.filter(Boolean).join(' · ')),
    scroller(`Options of ${f.shown(name)}`, h('table', { class: 'rows' },
      headOf(['Option'], [metric.name, 'n'], ['95 % interval', 'wide-only'], ['Trials', 'n'], ['Share given', 'n wide-only'], ['Likely the best', 'n'],
        ['Loses, if kept', 'n wide-only']),
      h('tbody', {}, rows.map((row) => h('tr', {},
        h('th', { scope: 'row' }, f.shown(row.option), rows.length > 1 && badge(row)),
        h('td', { class: 'n strong', title: row.why }, valueOf(row, metric), row.interval && h('span', { class: 'narrow-only' }, range(row))),
        h('td', { class: 'wide-only' }, row.interval && h('div', { class: 'ends' },
          interval({ value: row.rate, low: row.interval[0] ?? scale.least, high: row.interval[1] ?? scale.most, far: row.state_interval }, scale),
          h('span', { class: 'soft' }, range(row)))),
        h('td', { class: 'n' }, f.number(row.trials)), h('td', { class: 'n wide-only' }, f.value(given(row), { unit: 'share' })),
        h('td', { class: 'n' }, likely(row.probability_best), h('span', { class: 'narrow-only' }, `${lost(row)} lost`)),
        h('td', { class: 'n wide-only' }, lost(row))))))),
    h('p', { class: 'foot' }, 'Thick: 95 % interval, if you look once. ',
      !segment && `Thin: holds even if you look daily${rolling ? ', at a period that begins on a fixed day' : ''}.`),
    report.sample_ratio.suspicious && h('p', { class: 'notice' }, report.sample_ratio.why),
    !segment && !(fixed && !all) && h('p', { class: 'foot' }, fixed && 'By the numbers alone: ',
      rolling ? report.stop.why.replace(', however often you look', '') : report.stop.why, report.held_out && ` ${report.held_out.why}`))
  one.offer({ address, table: () => ({
    columns: ['Option', report.by_metric, 'low', 'high', 'trials', 'share given', 'probability best', 'expected loss', 'lift', 'state'],
    rows: rows.map((row) => [
      row.option, row.rate, ...(row.interval ?? [null, null]), row.trials, given(row), row.probability_best, row.expected_loss, row.lift, row.state ?? '',
    ]),
  }) })
}

/** One sentence, by what holds for daily readers. */
function verdict({ options, stop }) {
  const open = options.filter(({ state }) => state !== 'beaten').length
  if (options.length < 2) return stop.why
  if (options.every(({ rate }) => rate == null)) return 'No option has data yet.'
  return stop.may_stop ? `Stop testing: ${f.shown(stop.option)} is better than all others.` : `Keep testing: ${open} of ${options.length} may still be best.`
}

const fixedBy = ({ state, winner, default: fallback }) => ({
  decided: `Decided: everybody gets ${f.shown(winner ?? '')}.`, paused: `Paused: everybody gets ${f.shown(fallback)}.`,
  archived: 'Archived: it decides no more.',
})[state]
const badge = ({ state }) => state && state !== 'open' && h('span', { class: `badge ${state === 'best' ? 'good' : ''}` }, state)
const valueOf = ({ rate, reward, trials }, metric) => f.ofFew([reward, trials], trials, metric) ?? f.value(rate, metric)
const likely = (p) => (p > 0.999 ? '> 99.9 %' : p < 0.001 && p != null ? '< 0.1 %' : f.value(p, { unit: 'share' }))

const choice = (id, label, options, chosen, choose) => select({ id: `choose-${id}`, 'aria-label': label }, options, chosen, choose)

function nothing({ whale, locked }) {
  const key = locked ? " -H 'Authorization: Bearer ADMIN_KEY'" : ''
  return h('section', { class: 'card' }, h('h1', {}, 'Decisions'),
    empty('No decision is defined. These lines make an experiment, ask which option a visitor sees, and count what it earned:'),
    h('pre', { tabindex: 0 }, `curl${key} ${whale}/decisions/checkout -d '{"options": ["red", "green"], "by_metric": "orders"}'
curl '${whale}/decide?pk=checkout&visitor=ann'
curl ${whale}/reward -d '{"decision_id": "…", "metrics": {"orders": 1}}'`),
    h('p', { class: 'foot' }, 'Or pick a pk whose child pks are options: outcomes by /count_decision need no definition.'))
}
