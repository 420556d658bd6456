/**
 * An experiment shows one of its options, and counts what it showed.
 *
 * Whale decides, once for each visitor, and within a time limit: the page hides nothing meanwhile. What it answers is remembered, so that
 * the next page shows it at once, as `data-exp-NAME` of the root element. Without an id of the visitor, or without an answer, it is the default.
 */
import { has, options } from './options.js'
import { later } from './page.js'
import { hit } from './pages.js'
import { stored, who } from './who.js'

export const experiments = (tracker) => {
  tracker.experiment = async (experiment, names = [], { timeout = 300, default: usual = names[0] } = {}) => {
    const key = 'exp_' + experiment, visitor = who(Date.now()).v_visitor
    const show = (option) => document.documentElement.setAttribute('data-exp-' + experiment, option)
    const ask = () => fetch(`${options.whaleUrl || options.serverUrl}/decide?pk=${experiment}&visitor=${visitor}&key=${options.key}`)
      .then((answer) => answer.json()).then((answer) => stored(key, answer.option), () => 0)
    let option = stored(key)
    if (!has(names, option)) {
      show(usual)
      option = visitor && await Promise.race([ask(), new Promise((end) => later(end, timeout))])
      if (!has(names, option)) option = usual
    }
    show(option)
    hit('experiment', { experiment, option })
    return option
  }
}
