/** The tables of a site: the values by which its visits are split. A press on one leaves only its visits, in all tables. */
import { fill, h, headOf, scroller, select } from './dom.js'
import * as f from './format.js'
import { OTHERS, SHARE, ofWhole, shares, valueOf } from './of_site.js'
import { empty } from './states.js'

/** Cards, each with the ways in which it may split: [of the answer, in words, of a visit without one]. */
export const WAYS = [
  { id: 'sources', title: 'Sources', height: 'ways', ways: [['source', 'source', 'not known'], ['channel', 'channel', 'not known'],
    ['campaign', 'campaign', 'no campaign'], ['medium', 'medium', 'no medium'], ['content', 'content', 'no content'], ['term', 'term', 'no term']] },
  { id: 'pages', title: 'Pages', height: 'ways', ways: [['page', 'all', 'no page'], ['entry_page', 'entry page', 'no page'],
    ['exit_page', 'exit page', 'no page']] },
  { id: 'places', title: 'Countries', height: 'ways', ways: [['country', 'country', 'not known'], ['language', 'language', 'not known']] },
  { id: 'devices', title: 'Devices', height: 'last', ways: [['device', 'device', 'not known'], ['browser', 'browser', 'not known'],
    ['platform', 'platform', 'not known'], ['screen', 'screen', 'not known']] },
  { id: 'happened', title: 'Events', height: 'last', ways: [['event', 'event', '']] },
]
const OF_GOAL = ['Converted', 'Conversion', 'Low', 'High', 'Worth']
const SEVERAL = ['page', 'event'] // of which one visit may have more than one
const NAMES = new Map(WAYS.flatMap(({ ways }) => ways.map(([by, name, none]) => [by, { name: by === 'page' ? 'page' : name, none }])))
const countries = new Intl.DisplayNames(['en'], { type: 'region' })

/** What a card splits by: as the address says, else its first way. */
export function chosenWay({ ways }, cards = '') {
  const chosen = cards.split(',')
  return (ways.find(([by]) => chosen.includes(by)) ?? ways[0])[0]
}

/** The filters of the address: [{ by, is | not | in }, …]. */
export function testsOf(text) {
  try {
    const tests = JSON.parse(text || '[]')
    return Array.isArray(tests) ? tests.filter((test) => NAMES.has(test?.by)) : []
  } catch { return [] }
}
export const textOf = (tests) => (tests.length ? JSON.stringify(tests) : '')

/** With one more. A visit has one source, so another one takes its place. */
const withTest = (tests, test) => textOf([...tests.filter(({ by, is }) => by !== test.by || (SEVERAL.includes(by) && is !== test.is)), test])

/** A value in words. */
export function nameOf(by, value) {
  if (value === null) return NAMES.get(by).none
  if (by === 'country' && /^[A-Z]{2}$/.test(value)) return countries.of(value)
  return value === OTHERS ? 'other values' : valueOf(value)
}

/** A value as a link that leaves its visits alone. */
export const linkOf = ({ page, tests }, by, value) => (value === OTHERS ? h('span', { class: 'soft' }, nameOf(by, value))
  : h('a', { href: page.link({ where: withTest(tests, { by, is: value }) }), title: `Only visits with this ${NAMES.get(by).name}` }, nameOf(by, value)))

/** The filters as chips: a press on one turns it round, × takes it off; Escape and Backspace take off the last. */
export function filters({ page, tests }, place) {
  const without = (test) => textOf(tests.filter((each) => each !== test))
  const turned = ({ by, ...test }) => textOf(tests.map((each) => (each.by !== by || each.is !== test.is || each.not !== test.not ? each
    : 'is' in test ? { by, not: test.is } : { by, is: test.not })))
  page.key(['Escape', 'Backspace'], 'the last filter off', () => tests.length && page.go({ where: without(tests.at(-1)) }))
  fill(place, tests.length ? h('ul', { class: 'chips', 'aria-label': 'Filters' }, tests.map((test) => {
    const values = (test.in ?? [test.is ?? test.not ?? null]).map((value) => nameOf(test.by, value)).join(' or ')
    const said = `${NAMES.get(test.by).name} ${'not' in test ? 'is not' : 'is'} ${values}`
    return h('li', { class: 'filter' }, h('a', { href: test.in ? null : page.link({ where: turned(test) }), title: test.in ? null : 'Turn it round' }, said),
      h('a', { href: page.link({ where: without(test) }), 'aria-label': `Take off: ${said}` }, '×'))
  })) : h('p', { class: 'soft' }, 'Press a row to see only its visits.'))
}

const amount = (v, name = 'n') => h('td', { class: name, title: f.full(v) }, f.number(v))

export function showRows(view, way, { answer, address }) {
  const { page, parts, goal } = view
  const [place, by] = [parts[way.id], chosenWay(way, page.state.cards)]
  const choose = (to) => page.go({ cards: cardsWith(page, way, to) })
  if (way.ways.length > 1) place.at(select({ id: `${way.id}-by`, 'aria-label': `${way.title} by` }, way.ways, by, choose))
  const rows = answer.rows[by] ?? []
  if (!answer.visits) return void fill(place.body, empty('Nobody came in this period.'))
  const title = f.title(NAMES.get(by).name)
  const [third, of] = by === 'event' ? ['Times', 'times'] : ['Views', 'views']
  fill(place.body, scroller(`Table: ${way.title}`, h('table', { class: 'rows' },
    headOf([title], ['', 'wide-only'], ['Visitors', 'n'], ['Visits', 'n wide-only'], [third, 'n wide-only'], goal && ['Conversion', 'n']),
    h('tbody', {}, rows.map((row) => h('tr', {}, h('th', { scope: 'row' }, linkOf(view, by, row.value)),
      h('td', { class: 'wide-only wide-bar' }, shares(['part', row.visits / answer.visits])), amount(row.visitors, 'n strong'),
      amount(row.visits, 'n wide-only'), amount(row[of], 'n wide-only'),
      goal && h('td', { class: 'n', title: `${f.full(row.converted)} of ${f.full(row.visits)} visits` }, f.value(row.conversion, SHARE))))))))
  place.offer({ address: alone(address, by), table: () => ({
    columns: [title, 'Visitors', 'Visits', 'Of all visits', third, 'Bounces', ...(goal ? OF_GOAL : [])],
    rows: rows.map((row) => [nameOf(by, row.value), row.visitors, row.visits, ofWhole(row.visits, answer.visits), row[of], row.bounces,
      ...(goal ? [row.converted, row.conversion, row.low, row.high, row.worth] : [])]),
  }) })
}

/** The question of one card: of all that was asked in one, its own. */
function alone(address, by) {
  const [path, query] = address.split('?')
  const asked = new URLSearchParams(query)
  asked.set('by', by)
  return `${path}?${asked}`
}

/** The choices of all cards with another one; those that are first are left out. */
function cardsWith({ state }, way, to) {
  const chosen = WAYS.map((each) => (each === way ? to : chosenWay(each, state.cards)))
  return chosen.filter((by, i) => by !== WAYS[i].ways[0][0]).join(',')
}
