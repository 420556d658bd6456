/**
 * The page that the tracker is a guest of. Nothing is thrown into it: each function that it calls goes through `quiet`.
 */

/** Gives what `f` gives. What it throws ends here: undefined then, as of storage in a frame without an origin. */
export const quiet = (f) => (...given) => {
  try {
    return f(...given)
  } catch (error) {
    console.warn('trackr:', error)
  }
}

/** What the device keeps, for good and for the tab. Where it is blocked, and throws when it is named, the page keeps it. */
export const local = quiet(() => localStorage)() || {}, tabs = quiet(() => sessionStorage)() || {}

/** Calls `f` at each of these events, before the page does: a window is told first, also of what does not bubble. */
export const on = (names, f) => names.split(' ').forEach((name) => addEventListener(name, quiet(f), true))

export const later = (f, ms) => setTimeout(quiet(f), ms)

/** A uuid of version 4; 128 other random bits where a page came without TLS, and has none. */
export const uuid = () => crypto.randomUUID ? crypto.randomUUID() : crypto.getRandomValues(new Uint32Array(4)).join('-')
