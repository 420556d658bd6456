/** Pages that an application tells of by itself: from `trackPageStart` until `trackPageEnd` nothing else is a page. */
import { away, view } from './pages.js'

export const turns = (tracker) => {
  let started
  tracker.trackPageStart = () => {
    away()
    started = performance.now()
  }
  tracker.trackPageEnd = () => view(performance.now() - started | 0)
}
