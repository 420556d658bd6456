// Plausible's two published trackers, unchanged, as a site has them. The test builds this by esbuild and names Hail.
import { init, track } from "@plausible-analytics/tracker"
import Plausible from "plausible-tracker"

const hail = window.name // as the test has opened it
const domain = "web"
const sent = call => new Promise(done => call({ callback: done }))

init({ domain, endpoint: `${hail}/shop/api/event`, captureOnLocalhost: true, outboundLinks: true })
const older = Plausible({ domain, apiHost: `${hail}/shop`, trackLocalhost: true })

window.signUp = () => sent(options => track("Signup", { props: { plan: "pro" }, revenue: { amount: "9.50", currency: "EUR" }, ...options }))
window.olderView = url => sent(options => older.trackPageview({ url }, options))
window.olderEvent = () => sent(options => older.trackEvent("Signup", { props: { plan: "free" }, ...options }))
