/** Whom sets of visitors share: sets that one picks, each with its letter, and a row for each region that they make. */
import { card } from '../card.js'
import { fill, h, headOf, scroller } from '../dom.js'
import * as f from '../format.js'
import { datesOf, limits, ofWhole, shares } from '../of_site.js'
import { savedOf } from '../saved.js'
import { conditions } from '../steps.js'
import { empty } from '../states.js'
import { ofSite } from '../visiting.js'
import { setInWords, setsOf } from '../words.js'

const [MOST, GUESSED] = [8, 3]
const LETTERS = 'ABCDEFGH'

export const show = ofSite('segments', 'Segments', build, async (view) => {
  const { page, parts, asked } = view
  const [{ start }, { answer }, saved] = await Promise.all([datesOf(view), page.ask('events', asked), savedOf(page, 'segments', view.site)])
  const sets = (setsOf(page.state.sets) ?? guessed(answer.events)).slice(0, MOST)
  builder({ ...view, saved }, answer.events, sets)
  await parts.regions.during(() => showRegions(view, sets, start))
}, { compared: false })

function build(parts) {
  parts.sets = card('Sets', { id: 'sets', height: 'steps' })
  parts.regions = card('Regions', { id: 'regions', height: 'few', main: true })
  return [parts.sets.element, parts.regions.element]
}

/** The events of most visitors. */
const guessed = (events) => events.toSorted((a, b) => b.visitors - a.visitors).slice(0, GUESSED).map(({ event }) => ({ event }))

const letter = (i) => h('span', { class: 'letter' }, LETTERS[i])

/** The sets, each with what turns it round or takes it out; and what makes another one. */
function builder({ page, site, saved, parts: { sets: one } }, events, sets) {
  const go = (next, focus) => page.go({ sets: JSON.stringify(next) }).then(() => document.getElementById(focus)?.focus())
  const [put, isFull] = [(set) => go([...sets, set]), sets.length >= MOST]
  const ask = (name, more) => page.forms().then((forms) => forms[name](page, { kind: 'segments', what: 'segment', site, ...more })).catch(page.failed)
  const keep = (set, i) => () => ask('askSave', { saved, body: { set }, done: (name) => go(sets.with(i, { segment: name })) })
  const remove = ({ segment }, i) => () => ask('askDelete', { name: segment, done: () => go(sets.toSpliced(i, 1)) })
  const item = (set, i) => {
    const change = (step) => go(sets.with(i, typeof step === 'string' ? { event: step } : step), `where-${i}`)
    const turn = () => go(sets.with(i, set.not ?? { not: set }), `not-${i}`)
    return h('li', {}, letter(i), h('span', { class: 'event' }, setInWords(set.event === undefined ? set : { event: set.event })),
      set.event !== undefined && conditions(page, set, i, change),
      h('button', { id: `not-${i}`, class: 'plain', 'aria-label': `All but ${LETTERS[i]}`, 'aria-pressed': set.not !== undefined, onclick: turn }, 'not'),
      h('a', { href: page.link({ view: 'visitors', segment: set.segment ?? JSON.stringify(set) }), 'aria-label': `Ask about ${LETTERS[i]} alone` }, 'alone'),
      set.segment === undefined && h('button', { id: `save-${i}`, class: 'plain', 'aria-label': `Save ${LETTERS[i]}`, onclick: keep(set, i) }, 'save…'),
      set.segment !== undefined && h('button', { id: `delete-${i}`, class: 'plain', 'aria-label': `Delete ${LETTERS[i]}`, onclick: remove(set, i) }, 'delete…'),
      h('button', { id: `out-${i}`, class: 'plain', 'aria-label': `Take out ${LETTERS[i]}`, onclick: () => go(sets.toSpliced(i, 1), `out-${i - 1}`) }, '×'))
  }
  const form = (name) => () => page.forms().then((forms) => forms[name](page, put)).catch(page.failed)
  const adds = (id, name, ask) => h('button', { id, disabled: isFull, onclick: ask }, name)
  one.at(sets.length > 0 && h('button', { class: 'plain', id: 'clear', onclick: () => go([]) }, 'Begin anew'))
  fill(one.body, sets.length ? h('ol', { class: 'steps' }, sets.map(item)) : h('p', {}, 'Pick sets of visitors: who had an event, a property, a session.'),
    h('div', { class: 'ways add', role: 'group', 'aria-label': 'Add a set' },
      events.map(({ event, visitors }) =>
        adds(`add-${event}`, ['+ ', f.shown(event), ' ', h('span', { class: 'soft' }, f.number(visitors))], () => put({ event }))),
      saved.map(({ name }) => adds(`add-saved-${name}`, `+ ${f.shown(name)}`, () => put({ segment: name }))),
      adds('add-property', '+ a property…', form('askProperty')), adds('add-session', '+ a session…', form('askSession')),
      adds('add-cohort', '+ who began…', form('askCohort'))))
}

async function showRegions({ page, parts: { regions }, asked }, sets, start) {
  if (!sets.length) {
    fill(regions.tools)
    return void fill(regions.body, empty('No set yet.'))
  }
  const { answer, address } = await page.ask('overlap', { ...asked, sets })
  const all = answer.visitors
  const rows = answer.regions.toSorted((a, b) => b.visitors - a.visitors)
  const words = sets.map(setInWords)
  const joined = (inside, names) => (inside.length ? inside.map((i) => names[i]).join(' and ') : 'none of them')
  const name = (inside) => [h('span', { class: 'wide-only' }, joined(inside, words)), h('span', { class: 'narrow-only' }, joined(inside, [...LETTERS]))]
  const mark = (isIn) => h('td', { class: `mark ${isIn ? 'is-in' : ''}` }, isIn ? '●' : '·', h('span', { class: 'sr' }, isIn ? 'in' : 'not in'))
  const line = (label, visitors, marks) => h('tr', {},
    h('th', { scope: 'row' }, label), marks, h('td', { class: 'wide-only wide-bar' }, shares(['part', all ? visitors / all : 0])),
    h('td', { class: 'n strong', title: f.full(visitors) }, f.number(visitors)), h('td', { class: 'n' }, ofWhole(visitors, all)))
  fill(regions.body, h('p', { class: 'lead' }, leading(answer, words)),
    scroller('Table: Regions', h('table', { class: 'rows regions' },
      headOf(['In these and no other'], ...sets.map((_, i) => [LETTERS[i], 'mark']), ['', 'wide-only'], ['Visitors', 'n'], ['', 'n']),
      h('tbody', {}, rows.map(({ in: inside, visitors }) => line(name(inside), visitors, sets.map((_, i) => mark(inside.includes(i)))))),
      h('tfoot', {}, line('All', all, sets.map(() => h('td', {})))))),
    h('dl', { class: 'sets' }, sets.map((_, i) => h('div', {}, h('dt', {}, letter(i)), h('dd', {}, words[i], ' ', h('b', {}, f.number(answer.sets[i].visitors)),
      ` ${ofWhole(answer.sets[i].visitors, all)}`)))),
    limits(answer, start, page.zone))
  regions.offer({ address, table: () => ({
    columns: [...words, 'Visitors'],
    rows: rows.map(({ in: inside, visitors }) => [...words.map((_, i) => (inside.includes(i) ? 'in' : 'out')), visitors]),
  }) })
}

function leading({ visitors: all, regions, sets }, words) {
  if (!all) return 'No visitor had an event in this period.'
  if (words.length === 1) return [h('b', {}, ofWhole(sets[0].visitors, all)), ` of ${f.full(all)} visitors: ${words[0]}.`]
  const both = regions.find(({ in: inside }) => inside.length === words.length)?.visitors ?? 0
  return [h('b', {}, ofWhole(both, all)), ` of ${f.full(all)} visitors are in ${words.length === 2 ? 'both' : `all ${words.length}`} sets.`]
}
