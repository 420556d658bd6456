/** The conditions of a step as buttons, in a funnel and in a set of visitors. */
import { h } from './dom.js'
import { shown } from './format.js'
import { eventOf, inWords, plain, whereOf } from './words.js'

const MOST_CONDITIONS = 16

/** The conditions of a step, each a button that takes it out, and one that adds another. change: with the step as it is to be. */
export function conditions(page, step, number, change) {
  const [event, where] = [eventOf(step), whereOf(step)]
  const more = () => add(page, step, number, change).catch(page.failed)
  const out = (i) => () => change(plain(event, where.toSpliced(i, 1)))
  return [
    where.map((condition, i) => h('button', {
      id: `condition-${number}-${i}`, class: 'condition', 'aria-label': `Take out: ${inWords(condition)}`, onclick: out(i),
    }, inWords(condition), ' ×')),
    where.length < MOST_CONDITIONS && h('button', {
      id: `where-${number}`, class: 'plain', 'aria-label': `Add a condition to step ${number + 1}`, onclick: more,
    }, 'if…'),
  ]
}

async function add(page, step, number, change) {
  const event = eventOf(step)
  const { askCondition } = await page.forms()
  await askCondition(page, { title: `Only if, for ${shown(event)}`, event }, (condition) => change(plain(event, [...whereOf(step), condition])))
}
