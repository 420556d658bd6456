/** How late counting is, for the header of every view: looked at once in 30 s, and never by a tab that nobody sees. */
import { ask } from './api.js'

const [LATE_S, VERY_LATE_S, FIRST_MS, EVERY_MS] = [30, 300, 2000, 30_000]
export const levelOf = (seconds) => (seconds > VERY_LATE_S ? 'bad' : seconds > LATE_S ? 'late' : '')

/** tell: gets the seconds; 0 where they are not known, since the view of health says why. */
export function watchLag(tell) {
  const look = async () => {
    if (!document.hidden) tell(await ask('health.json').then(({ answer }) => answer.lag_s ?? 0, () => 0))
    setTimeout(look, EVERY_MS)
  }
  setTimeout(look, FIRST_MS)
}
