/**
 * Where to look first: the value of a property of which far fewer get there of late. The last quarter of the period is held against
 * the days before it, and against all others in the same days, so what slows everybody names nobody.
 */
import { fill, h } from './dom.js'
import * as f from './format.js'
import { ofWhole } from './visiting.js'
import { OTHERS, named, valueOf } from './words.js'

const DAY = 86400e3
const [MOST_PROPERTIES, VALUES, FEWEST_DAYS] = [4, 50, 4]
const SURE = 3.5 // in standard deviations: many values are looked at, and in at most 1 of 100 funnels one is named by chance

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
  const [worst] = found.filter(({ value, z }) => value !== OTHERS && z < -SURE).sort((a, b) => a.z - b.z)
  if (worst) fill(place, sentence(page, worst, at, steps))
}

const iso = (ms) => new Date(ms - (ms % 1000)).toISOString().replace('.000', '')
const ends = ({ steps }) => [steps[0].visitors, steps.at(-1).visitors]
const less = ([n, x], [m, y]) => [n - m, x - y]

/** By how much of late fewer of one value get there than before, beyond all others, in standard deviations; and how it was before. */
function lag(one, before, late) {
  const was = before.split.find(({ value }) => JSON.stringify(value) === JSON.stringify(one.value))
  if (!was) return { z: 0 }
  const mine = moved(ends(was), ends(one))
  const others = moved(less(ends(before), ends(was)), less(ends(late), ends(one)))
  return { was: was.steps, z: sureness({ by: mine.by - others.by, variance: mine.variance + others.variance }) }
}

/** From a share to another one: of n visitors x. */
function moved([m, y], [n, x]) {
  const part = (x + y) / (n + m)
  return { by: x / n - y / m, variance: part * (1 - part) * (1 / n + 1 / m) }
}

const sureness = ({ by, variance }) => by / Math.sqrt(variance) || 0

function sentence(page, { by, value, steps: late, was }, at, steps) {
  const got = (of, i) => ofWhole(of[i].visitors, of[i - 1].visitors)
  const sure = late.map((_, i) => (i ? sureness(moved(...[was, late].map((of) => [of[i - 1].visitors, of[i].visitors]))) : 0))
  const step = Math.max(1, sure.indexOf(Math.min(...sure)))
  const of = value === null ? `visitors without ${f.shown(by)}` : `${f.shown(by)} ${valueOf(value)}`
  const whole = ([n, x]) => ofWhole(x, n)
  return h('p', { class: 'story bad' },
    'Look here first: ', h('span', { class: 'date' }, `since ${f.weekday(at, page.zone)}`), ', of ', h('b', {}, of), ' ',
    h('b', { class: 'bad' }, whole(ends({ steps: late }))), ` got there, before ${whole(ends({ steps: was }))}. `,
    'They leave after ', h('b', {}, named(steps[step - 1])), `: ${got(late, step)} went on to ${named(steps[step])}, before ${got(was, step)}. `,
    h('a', { href: page.link({ by }) }, `Split by ${f.shown(by)}`))
}
