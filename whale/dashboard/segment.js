/** About whom a view of visitors asks: about all, or about a set of them, which stands in the address as `segment`. */
import { h, select } from './dom.js'
import { setInWords } from './words.js'

const WAYS = [
  ['+askEvent', 'who had an event…'], ['+askProperty', 'with a property…'], ['+askSession', 'who began a session…'], ['+askCohort', 'who began…'],
]

/** Of the address, in words; as it is where it is no JSON, since Whale says what is wrong with it. */
export function segmentInWords(text) {
  try { return setInWords(JSON.parse(text)) } catch { return text }
}

export function segmentOf(page) {
  const { segment } = page.state
  const take = (set) => page.go({ segment: JSON.stringify(set) })
  const chosen = segment ? [[segment, segmentInWords(segment)]] : []
  const choose = (to) => {
    const isWay = WAYS.some(([name]) => name === to)
    if (!isWay) return page.go({ segment: to })
    field.value = segment ?? '' // the form may be given up
    page.forms().then((forms) => forms[to.slice(1)](page, take)).catch(page.failed)
  }
  const field = select({ id: 'segment' }, [['', 'all visitors'], ...chosen, ...WAYS], segment ?? '', choose)
  return h('label', { class: segment ? 'about chosen' : 'about' }, h('span', { class: 'soft' }, 'about '), field)
}
