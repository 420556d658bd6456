/** What stands around a view: the header, the words about the address, light and dark, and what is said while Whale is away. */
import { fill, h, say } from './dom.js'
import { clock, duration, named } from './format.js'
import { kept } from './kept.js'
import { levelOf } from './late.js'

const $ = (id) => document.getElementById(id)
const root = document.documentElement

export function header({ state, link }, views) {
  fill($('picker').firstElementChild, named(state.pk) || 'Pick a pk')
  const current = views.find(({ name }) => name === state.view)
  const within = (view) => (view === current ? 'page' : current && view.name === current.of ? 'true' : null)
  fill($('views'), views.filter(({ of }) => !of).map((view) =>
    h('a', { id: `view-${view.name}`, href: link({ view: view.name }), 'aria-current': within(view) }, view.label)))
  const shown = $('views').querySelector('[aria-current]')
  if (shown) $('views').scrollLeft = shown.offsetLeft - 24 // on a phone the menu is wider than its window
  document.title = [named(state.pk), current?.label, 'HailWhale'].filter(Boolean).join(' · ')
}

/** Lines about the address, each once: [text or element, …]. */
export function notice(lines) {
  const said = h('div', {}, lines.map((line) => h('p', {}, line)))
  $('notice').hidden = !lines.length
  if ($('notice').textContent !== said.textContent) fill($('notice'), said)
}

/** The words in the header; late: in amber. */
function status(text, late = false) { if ($('status').textContent !== text) fill($('status'), h('i', { class: late ? 'dot late' : 'dot' }), text) }

let [asOf, behind] = [null, 0]
/** Until when the numbers are, and in amber how late counting is. */
export function counted(until = asOf, zone = 'UTC', lag = behind) {
  asOf = until
  behind = lag
  const late = Boolean(levelOf(lag))
  const said = [until && `counted until ${clock(until, zone)} ${zone}`, late && `${duration(lag)} late`].filter(Boolean)
  if (said.length && !pause) status(said.join(', '), late)
}

// light and dark

/** By the address, else as the reader chose, else as the system has it. Charts draw themselves anew at `theme`. */
export function theme(name) {
  const next = name || kept.get('theme')
  if (root.dataset.theme === next) return
  root.dataset.theme = next
  repaint()
}
const repaint = () => document.dispatchEvent(new Event('theme'))
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', repaint)

export function nextTheme() {
  kept.set('theme', { '': 'light', light: 'dark', dark: '' }[root.dataset.theme])
  theme('')
}

// away

const [FIRST_PAUSE_S, LONGEST_PAUSE_S] = [2, 30]
let pause = 0

/** The last numbers stay, greyed, with their time; again() asks anew, after 2 s and at last every 30. */
export function away(again, zone) {
  if (pause) return
  pause = FIRST_PAUSE_S
  document.body.classList.add('away')
  status(`Whale has not answered since ${clock(Date.now(), zone)}: the numbers are from before`, true)
  const next = async () => {
    if (!pause) return
    pause = Math.min(LONGEST_PAUSE_S, pause * 2)
    await again()
    if (pause) setTimeout(next, pause * 1000)
  }
  setTimeout(next, pause * 1000)
}

/** Whale answers. */
export function back() {
  if (!pause) return
  pause = 0
  document.body.classList.remove('away')
  say('Whale answers again.')
}
