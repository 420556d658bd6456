/** How far they get: steps that one picks among the events of the site. What is found stands in funnel_rows.js. */
import { card } from '../card.js'
import { fill, h, select } from '../dom.js'
import * as f from '../format.js'
import { splits } from '../funnel_more.js'
import { showFunnel } from '../funnel_rows.js'
import { datesOf } from '../of_site.js'
import { savedLinks, savedOf } from '../saved.js'
import { conditions } from '../steps.js'
import { ofSite } from '../visiting.js'
import { eventOf, stepsOf } from '../words.js'

const [MOST, GUESSED] = [32, 5]
const WINDOWS = [['30m', '30 minutes'], ['1h', '1 hour'], ['1d', '1 day'], ['7d', '7 days'], ['30d', '30 days'], ['366d', 'a year']]
const USUAL = '1d'

export const show = ofSite('funnels', 'Funnels', build, async (view) => {
  const { page, parts, asked } = view
  const { pk, tz, segment } = asked
  const [dates, { answer }, properties, saved] = await Promise.all([
    datesOf(view), page.ask('events', asked), splits(page, { pk, tz, segment }), savedOf(page, 'funnels', view.site),
  ])
  const funnel = funnelOf(page, saved, answer.events)
  fill(parts.saved, savedLinks(page, 'Saved funnels', saved, funnel.name, ({ name }) => ({ name, steps: '', window: '' })))
  builder({ ...view, saved }, answer.events, funnel)
  const more = { properties, by: page.state.by || properties[0], window: funnel.window }
  await parts.funnel.during(() => showFunnel({ ...view, ...more }, funnel.steps, { events: answer.events, ...dates }))
})

function build(parts) {
  parts.saved = h('div', { class: 'keep-saved' })
  parts.steps = card('Steps', { id: 'steps', height: 'steps' })
  parts.funnel = card('Funnel', { id: 'funnel', height: 'funnel', main: true })
  parts.rate = card('Rate over time', { id: 'rate', height: 'chart' })
  parts.split = card('By a property', { id: 'split', height: 'few' })
  return [parts.saved, parts.steps.element, parts.funnel.element, parts.rate.element, parts.split.element]
}

/** { name, steps, window }: of the address, else of a saved one, else guessed. name: only of a saved one. */
function funnelOf(page, saved, events) {
  const { name, steps, window } = page.state
  const given = stepsOf(steps)
  const chosen = saved.find((each) => each.name === name) ?? (given || name ? null : saved[0])
  if (name && !chosen) page.say(`No funnel ${f.shown(name)} is saved.`)
  return {
    name: chosen?.name, steps: given ?? stepsOf(JSON.stringify(chosen?.steps ?? null)) ?? guessed(events),
    window: window || (chosen ? inUnits(chosen.window_s) : USUAL),
  }
}

const UNITS = [[86400, 'd'], [3600, 'h'], [60, 'm'], [1, 's']]
const inUnits = (seconds) => { const [size, unit] = UNITS.find(([each]) => seconds % each === 0); return `${seconds / size}${unit}` }

/** The events of most visitors: each step of a way has fewer than the one before. */
const guessed = (events) => events.toSorted((a, b) => b.visitors - a.visitors).slice(0, GUESSED).map(({ event }) => event)

/** The steps in their order, each with what moves it or takes it out; and the events, each of which becomes the last step. */
function builder({ page, site, saved, parts: { steps: one } }, events, { name, steps, window }) {
  const go = async (next, name, i) => { // the focus stays at what was moved
    await page.go({ steps: JSON.stringify(next) })
    const button = document.getElementById(`${name}-${i}`)
    ;(button?.disabled ? button.parentElement : button)?.focus()
  }
  const does = (name, i, sign, says, next, to = i) => h('button', {
    id: `${name}-${i}`, class: 'plain', disabled: !next, 'aria-label': `${says[0]} step ${i + 1}${says[1]}`, onclick: () => go(next, name, to),
  }, sign)
  const swapped = (i, to) => (to >= 0 && to < steps.length ? steps.with(i, steps[to]).with(to, steps[i]) : null)
  const change = (i) => (step) => go(steps.with(i, step), 'where', i)
  const item = (step, i) => h('li', { tabindex: -1 }, h('span', { class: 'number' }, String(i + 1)), h('span', { class: 'event' }, f.shown(eventOf(step))),
    conditions(page, step, i, change(i)),
    does('up', i, '↑', ['Move', ' up'], swapped(i, i - 1), i - 1), does('down', i, '↓', ['Move', ' down'], swapped(i, i + 1), i + 1),
    does('out', i, '×', ['Take out', ''], steps.toSpliced(i, 1), Math.max(0, i - 1)))
  const add = ({ event, visitors }) => {
    const [isFull, choose] = [steps.length >= MOST, () => go([...steps, event], 'add', event)]
    return h('button', { id: `add-${event}`, disabled: isFull, title: `${f.full(visitors)} visitors`, onclick: choose },
      '+ ', f.shown(event), ' ', h('span', { class: 'soft' }, f.number(visitors)))
  }
  const keeping = { kind: 'funnels', what: 'funnel', site, name, done: (of = '') => page.go({ name: of, steps: '', window: '' }) }
  const form = (ask, more) => () => page.forms().then((forms) => forms[ask](page, { ...keeping, ...more })).catch(page.failed)
  one.at(windowOf(page, window),
    steps.length > 1 && h('button', { class: 'plain', id: 'save', onclick: form('askSave', { saved, body: { steps, window } }) }, 'Save…'),
    name && h('button', { class: 'plain', id: 'delete', onclick: form('askDelete') }, 'Delete…'),
    steps.length > 0 && h('button', { class: 'plain', id: 'clear', onclick: () => page.go({ steps: '[]', name: '' }) }, 'Begin anew'))
  fill(one.body, steps.length ? h('ol', { class: 'steps' }, steps.map(item)) : h('p', {}, 'Pick the first event, then those that come after it.'),
    h('div', { class: 'ways add', role: 'group', 'aria-label': 'Add a step' }, events.map(add)))
}

function windowOf(page, chosen) {
  const windows = WINDOWS.some(([name]) => name === chosen) ? WINDOWS : [...WINDOWS, [chosen, chosen]]
  const choose = (to) => page.go({ window: to })
  return h('label', {}, h('span', { class: 'soft' }, 'all within '), select({ id: 'window', name: 'window' }, windows, chosen, choose))
}
