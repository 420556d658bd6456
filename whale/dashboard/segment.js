/** About whom a view of visitors asks: about all, or about a set of them, which stands in the address as `segment`. */
import { h, select } from './dom.js'
import { shown } from './format.js'
import { savedOf } from './saved.js'
import { setInWords } from './words.js'

const WAYS = [
  ['+askEvent', 'who had an event…'], ['+askProperty', 'with a property…'], ['+askSession', 'who began a session…'], ['+askCohort', 'who began…'],
]

/** Of the address, in words; as it is where it is the name of a saved one, or no JSON. */
export function segmentInWords(text) {
  try { return setInWords(JSON.parse(text)) } catch { return shown(text) }
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
  savedOf(page, 'segments', page.state.pk[0]).then((saved) => field.append(...saved.filter(({ name }) => name !== segment).map(({ name }) =>
    h('option', { value: name }, shown(name)))), page.failed)
  return h('label', { class: segment ? 'about chosen' : 'about' }, h('span', { class: 'soft' }, 'about '), field)
}
