/**
 * Where to look first: the value of a property of which far fewer go on at a step of late. The last quarter of the period is held against
 * the days before it, and against all others in the same days, so what slows everybody names nobody.
 */
import { fill, h } from './dom.js'
import * as f from './format.js'
import { OTHERS, ofWhole, valueOf } from './of_site.js'
import { named } from './words.js'

const DAY = 86400e3
const [MOST_PROPERTIES, VALUES, FEWEST_DAYS] = [4, 50, 4]
const MOST_BY_CHANCE = 0.01 // of all that is looked at together

/** Comes after the rest of the view, one question after the other. */
export async function showBroken(place, { page, asked: { period, ...about }, window, properties }, steps, { start, compared }) {
  const [from, to] = [Date.parse(start), Math.min(Date.now(), Date.parse(compared?.now.end) || Infinity)]
  const days = Math.floor((to - from) / DAY)
  if (!(days >= FEWEST_DAYS)) return
  const at = from + (days - Math.ceil(days / 4)) * DAY
  place.ariaBusy = 'true'
  const [question, found] = [{ ...about, steps, window, limit: VALUES }, []]
  const split = async (by, start, finish) => (await page.ask('funnel', { ...question, by, start: iso(start), finish: iso(finish) })).answer
  for (const by of properties.slice(0, MOST_PROPERTIES)) {
    const [before, late] = [await split(by, from, at), await split(by, at, to)]
    found.push(...late.split.map((each) => ({ by, ...each, ...lag(each, before, late) })))
  }
  place.ariaBusy = null
  const [worst] = found.filter(({ value }) => value !== OTHERS).sort((a, b) => a.z - b.z)
  if (worst && found.length * (steps.length - 1) * byChance(worst.z) < MOST_BY_CHANCE) fill(place, sentence(page, worst, at, steps))
}

const iso = (ms) => new Date(ms - (ms % 1000)).toISOString().replace('.000', '')

/**
 * { was, step, z }: how the steps of a value were before, the step to which fewer of them go on of late, and by how much beyond all
 * others in the same days, in standard deviations.
 */
function lag(one, before, late) {
  const was = before.split.find(({ value }) => JSON.stringify(value) === JSON.stringify(one.value))
  if (!was) return { z: 0 }
  const on = ({ steps }, i) => [steps[i - 1].visitors, steps[i].visitors]
  const others = (all, of, i) => on(all, i).map((n, k) => n - on(of, i)[k])
  const sure = one.steps.slice(1).map((_, i) =>
    sureness(moved(on(was, i + 1), on(one, i + 1)), moved(others(before, was, i + 1), others(late, one, i + 1))))
  const z = Math.min(...sure)
  return { was: was.steps, step: 1 + sure.indexOf(z), z }
}

/** From a share to another one: of n visitors x. */
function moved([m, y], [n, x]) {
  const part = (x + y) / (n + m)
  return { by: x / n - y / m, variance: part * (1 - part) * (1 / n + 1 / m) }
}

/** How often so much less comes by chance alone, at most: the tail of a normal distribution. */
const byChance = (z) => (z < 0 ? Math.exp(-z * z / 2) / (-z * Math.sqrt(2 * Math.PI)) : 1)

const sureness = (mine, others) => (mine.by - others.by) / Math.sqrt(mine.variance + others.variance) || 0

function sentence(page, { by, value, steps: late, was, step }, at, steps) {
  const [on, got] = [(of) => ofWhole(of[step].visitors, of[step - 1].visitors), (of) => ofWhole(of.at(-1).visitors, of[0].visitors)]
  const counts = `${f.full(late[step].visitors)} of ${f.full(late[step - 1].visitors)}`
  const [from, to] = [named(steps[step - 1]), named(steps[step])]
  const of = value === null ? `visitors without ${f.shown(by)}` : `${f.shown(by)} ${valueOf(value)}`
  return h('p', { class: 'story bad' },
    'Look here first: ', h('span', { class: 'date' }, `since ${f.weekday(at, page.zone)}`), ', of ', h('b', {}, of), ' ',
    h('b', { class: 'bad' }, on(late)), ' went on from ', h('b', {}, from), ` to ${to} (${counts}), before ${on(was)}. `,
    steps.length > 2 && `All the way got ${got(late)}, before ${got(was)}. `,
    'It may have begun some days earlier: that day is where the last quarter of the period begins. ',
    h('a', { href: page.link({ by }) }, `Split by ${f.shown(by)}`))
}
