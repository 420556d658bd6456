/** Where buyers come from: sources and campaigns by how surely their visits reach the goal, and the same in one sentence. */
import { card } from './card.js'
import { fill, h, headOf, scroller, select } from './dom.js'
import { interval } from './figures.js'
import * as f from './format.js'
import { OTHERS } from './of_site.js'
import { linkOf, nameOf } from './site_rows.js'
import { empty } from './states.js'

const [SHOWN, ASKED, FEW, NONE] = [7, 50, 5, '-']

export const buyersCard = () => card('Where buyers come from', { id: 'buyers', height: 'ways' })

export async function showBuyers(view) {
  const { page, parts: { buyers, said }, goal, goals, asked } = view
  const choices = [...goals.map((name) => [name, f.shown(name)]), [NONE, 'no goal']]
  buyers.at(select({ id: 'goal', 'aria-label': 'Goal' }, choices, goal ?? NONE, (name) => page.go({ goal: name })))
  buyers.title(`Where ${goal ? who(goal) : 'buyers'} come from`)
  if (!goal) {
    fill(said)
    return void fill(buyers.body, empty('Nothing but page views is chosen or counted. Send an event, as trackr.purchase(…), to see where buyers come from.'))
  }
  const { answer, address } = await page.ask('visits', { ...asked, by: 'source,campaign', order: 'confidence', limit: ASKED })
  const rows = answer.rows.source
  fill(said, sentence(view, answer))
  if (!answer.converted) return void fill(buyers.body, empty(`No visit of this period has a ${f.shown(goal)}.`))
  const some = rows.filter(({ value }) => value !== OTHERS).slice(0, SHOWN)
  const scale = { least: 0, most: Math.max(...some.map(({ high }) => high ?? 0)) }
  const worth = answer.worth ? view.metrics?.of('revenue') ?? { unit: 'number' } : null
  fill(buyers.body, scroller('Table: Where buyers come from', h('table', { class: 'rows' },
    headOf(['Source'], [goal === 'purchase' ? 'Buyers' : 'With it', 'n'], ['Per 100 visits', 'n'], ['95 % interval · dotted: all', 'wide-only'],
      worth && ['Revenue', 'n']),
    h('tbody', {}, some.map((row) => h('tr', {}, h('th', { scope: 'row' }, linkOf(view, 'source', row.value)),
      h('td', { class: 'n strong', title: f.full(row.converters) }, f.number(row.converters)),
      h('td', { class: 'n', title: `${f.full(row.converted)} of ${f.full(row.visits)} visits` }, per100(row.conversion)),
      h('td', { class: 'wide-only' }, row.low != null && interval({ value: row.conversion, low: row.low, high: row.high, whole: answer.conversion }, scale)),
      worth && h('td', { class: 'n', title: f.full(row.worth) }, f.value(row.worth, worth))))))),
  h('p', { class: 'foot' }, 'By the low end of the 95 % interval, so that one lucky visit does not come first.'))
  buyers.offer({ address, table: () => ({
    columns: ['Source', 'Visits', 'Buyers', 'Converted', 'Conversion', 'Low', 'High', 'Worth'],
    rows: rows.map((row) => [nameOf('source', row.value), row.visits, row.converters, row.converted, row.conversion, row.low, row.high, row.worth]),
  }) })
}

const per100 = (share) => (share == null ? '–' : (share * 100).toFixed(1))
/** Who reached a goal. */
const who = (goal) => (goal === 'purchase' ? 'buyers' : `visitors with ${f.shown(goal)}`)

/** Of 124 buyers 41 came from newsletter; the campaign that brought most is weekly, with 30. Per 100 visits partner surely sells most: 5.2. */
function sentence(view, answer) {
  const { goal } = view
  if (!answer.converters) return `Nobody of ${f.full(answer.visitors)} visitors came to ${f.shown(goal)} yet.`
  const known = (by) => answer.rows[by].filter(({ value }) => value !== OTHERS && value !== null)
  const most = (by) => known(by).reduce((best, row) => (row.converters > (best?.converters ?? 0) ? row : best), null)
  const [source, campaign] = [most('source'), most('campaign')]
  const surest = known('source').length > 1 && known('source').find(({ visits, low }) => visits > FEW && low > 0)
  const amount = (number) => h('b', {}, f.full(number))
  return [`Of ${f.full(answer.converters)} ${who(goal)} `,
    source ? [amount(source.converters), ' came from ', linkOf(view, 'source', source.value)] : 'none came from a source that is known',
    campaign && ['; the campaign that brought most is ', linkOf(view, 'campaign', campaign.value), ', with ', amount(campaign.converters)], '.',
    surest && [' Per 100 visits ', linkOf(view, 'source', surest.value), ' surely sells most: ', h('b', {}, per100(surest.conversion)),
      ` (${per100(surest.low)}–${per100(surest.high)}); all together ${per100(answer.conversion)}.`]]
}
