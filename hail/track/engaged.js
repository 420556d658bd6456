/**
 * For how long a page was looked at, and how far down: as differences, so that whatever arrives adds up.
 *
 * Time counts while the page is visible and focused, and until a minute after the last sign of a person: a pointer, a key (which one
 * is not looked at), scrolling, or media that plays. The depth is a share of the largest height that the page had.
 */
import { on } from './page.js'

const IDLE_MS = 6e4

let since, engaged, bottom, height, told

const tick = () => {
  const now = performance.now()
  if (since) engaged += Math.min(now - since, IDLE_MS)
  since = !document.hidden && document.hasFocus() && now
  height = Math.max(height, document.documentElement.scrollHeight)
  bottom = Math.max(bottom, scrollY + innerHeight)
}

/** A page begins. */
export const begin = () => {
  engaged = bottom = height = told = since = 0
  tick()
}

/** Since it was asked before: milliseconds, and hundredths of the height. */
export const difference = () => {
  tick()
  const found = { engaged: engaged | 0, depth: Math.max(Math.min(bottom / height * 100 | 0, 100) - told, 0) }
  engaged = 0
  told += found.depth
  return found
}

export const watch = () => on('pointermove pointerdown keydown timeupdate scroll visibilitychange focus blur', tick)
