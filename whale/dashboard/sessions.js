/** Sessions of visitors in the view of visitors: their numbers for the tiles, and a card that splits them. */
import { fill, h, headOf, scroller, select } from './dom.js'
import * as f from './format.js'
import { SHARE, none, ofWhole, shares, valueOf } from './of_site.js'
import { empty } from './states.js'

const MOST = 8
const WAYS = [['source', 'source'], ['campaign', 'campaign'], ['medium', 'medium'], ['entry', 'first event'], ['exit', 'last event']]
export const SESSIONS = [
  { formula: 'sessions', name: 'Sessions', unit: 'count', better: 'up' }, { formula: 'bounce_rate', name: 'Bounce rate', better: 'down', ...SHARE },
]

/** An answer of /sessions with a bounce rate at each point. Who may not ask is answered {}. */
export async function sessionsOf(page, question) {
  const { answer, address } = await page.ask('sessions', question).catch(none)
  const points = answer.points?.map((point) => ({ ...point, bounce_rate: point.sessions ? point.bounces / point.sessions : null }))
  return { answer: { ...answer, points }, address }
}

export async function showSessions({ page, parts: { sessions }, asked }) {
  const by = WAYS.some(([name]) => name === page.state.by) ? page.state.by : WAYS[0][0]
  const choose = (to) => page.go({ by: to === WAYS[0][0] ? '' : to })
  sessions.at(h('label', {}, h('span', { class: 'soft' }, 'by '), select({ id: 'by', name: 'by' }, WAYS, by, choose)))
  const { answer, address } = await page.ask('sessions', { ...asked, by, limit: MOST })
  const { rows, duration, sessions: all, gap_s: gap } = answer
  if (!all) return void fill(sessions.body, empty('No session began in this period.'))
  const name = ({ value }) => (value === null ? `no ${by}` : valueOf(value))
  const took = (each) => (each.median == null ? '–' : f.duration(each.median))
  fill(sessions.body, scroller('Table: Sessions', h('table', { class: 'rows' },
    headOf([f.title(WAYS.find(([each]) => each === by)[1])], ['', 'wide-only'], ['Sessions', 'n'], ['', 'n wide-only'], ['Visitors', 'n wide-only'],
      ['Bounces', 'n'], ['Median time', 'n']),
    h('tbody', {}, rows.map((row) => h('tr', {},
      h('th', { scope: 'row' }, name(row)), h('td', { class: 'wide-only wide-bar' }, shares(['part', row.sessions / all])),
      h('td', { class: 'n strong', title: f.full(row.sessions) }, f.number(row.sessions)), h('td', { class: 'n wide-only' }, ofWhole(row.sessions, all)),
      h('td', { class: 'n wide-only' }, f.number(row.visitors)), h('td', { class: 'n' }, f.value(row.bounce_rate, SHARE)),
      h('td', { class: 'n' }, took(row.duration))))))),
  h('p', { class: 'foot' }, `${f.duration(gap)} without an event ends a session. Half of all last ${took(duration)} or longer. `,
    'A bounce has one page view and no second.'))
  sessions.offer({ address, table: () => ({
    columns: [f.title(by), 'Sessions', 'Visitors', 'Bounces', 'Bounce rate', 'Median s', 'Mean s'],
    rows: rows.map((row) => [name(row), row.sessions, row.visitors, row.bounces, row.bounce_rate, row.duration.median, row.duration.mean]),
  }) })
}
