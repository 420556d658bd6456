/**
 * What the page wants, by `new Trackr({…})` or by `data-*` at the script tag. Of the defaults, those that are neither empty nor false:
 * they are those of Aktivat's README.
 */

const tag = document.currentScript

export const options = {
  serverUrl: tag && tag.src.replace(/\/js\/[^/]*$/, ''),
  sessionCookieName: 'trackit_session',
  v_visitorCookieName: 'trackit_v_visitor',
  cookies: true,
  consent: true,
}

/** Is a word in a list, or in a text with commas? */
export const has = (list, word) => `,${list},`.includes(`,${word},`)

/** The options at the script tag. */
export const ofTag = tag && tag.dataset
