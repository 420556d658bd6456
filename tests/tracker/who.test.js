import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Page } from './page.js'

const SHOP = { account: 'shop' }
const MINUTE = 60_000
const begun = (...given) => {
  const page = new Page(...given), trackr = page.start()
  page.pass(0)
  return [page, trackr]
}
const last = (page) => {
  page.answer(202)
  page.pass(400)
  return page.hits.at(-1)
}

test('cookies last for 20 minutes and a year, on this site alone, and over TLS alone where the page came so', () => {
  const [page] = begun(SHOP)
  assert.deepEqual(page.flags.trackit_session, ['path=/', 'samesite=lax', 'max-age=1200', 'secure'])
  assert.deepEqual(page.flags.trackit_v_visitor, ['path=/', 'samesite=lax', 'max-age=31536000', 'secure'])
  const [plain] = begun(SHOP, { address: 'http://shop.example/' })
  assert.ok(!plain.flags.trackit_session.includes('secure'))
})

test('cookies have the names that the page wants', () => {
  const [page, trackr] = begun({ account: 7, sessionCookieName: 's', v_visitorCookieName: 'v', visitorCookieName: 'u' })
  trackr.loginUser(42)
  assert.deepEqual(Object.keys(page.cookies), ['s', 'v', 'u'])
})

test('each hit puts the end of the session off, and 20 minutes without one end it', async () => {
  const [page, trackr] = begun(SHOP)
  const { session } = page.hits[0]
  for (let turn = 0; turn < 3; turn++) {
    page.pass(19 * MINUTE)
    trackr.track('here')
    page.pass(400)
    await page.answer(202)
    page.pass(0)
  }
  await page.answer(202)
  assert.ok(page.hits.every((hit) => hit.session === session), 'one session')
  page.pass(20 * MINUTE)
  trackr.track('back')
  page.pass(400)
  assert.notEqual(page.hits.at(-1).session, session)
  assert.equal(page.hits.at(-1).v_visitor, page.hits[0].v_visitor)
})

test('where cookies are blocked a page is one visitor', () => {
  const page = new Page(SHOP)
  page.blocked = true
  const trackr = page.start()
  page.pass(5000)
  trackr.track('later')
  page.hide()
  const [hit] = JSON.parse(page.beacons[0]).hits.slice(-1)
  assert.deepEqual([hit.v_visitor, hit.session], [page.hits[0].v_visitor, page.hits[0].session])
})

test('who does not want to be followed leaves nothing on the device, and is counted', () => {
  for (const wish of [{ globalPrivacyControl: true }, { doNotTrack: '1' }]) {
    const page = new Page(SHOP)
    Object.assign(page.window.navigator, wish)
    const trackr = page.start()
    trackr.loginUser(42)
    page.pass(0)
    const [hit] = page.hits
    assert.equal(hit.anonymous, 1)
    assert.ok(!('session' in hit || 'v_visitor' in hit || 'visitor' in hit || 'tab' in hit))
    assert.deepEqual([page.cookies, page.local], [{}, {}])
  }
})

test('consent(false) forgets who it was, also in what is under way', () => {
  const page = new Page(SHOP, { local: { 'trackr_exp_colour': 'red', other: 'stays' } }), trackr = page.start()
  trackr.loginUser(42)
  trackr.consent(false)
  page.pass(0)
  assert.deepEqual(page.names, ['pageview', 'login'])
  assert.ok(page.hits.every((hit) => hit.anonymous === 1 && [hit.v_visitor, hit.visitor, hit.session, hit.tab].every((id) => id === undefined)))
  assert.deepEqual([page.cookies, page.local], [{}, { other: 'stays' }])
  trackr.consent(true)
  trackr.track('again')
  assert.match(last(page).v_visitor ?? '', /^$|^[0-9a-f-]{36}$/)
})

test('data-consent="false" waits for consent', async () => {
  const page = new Page({ dataset: { account: 'shop', consent: 'false' } }), trackr = page.start()
  page.pass(0)
  assert.equal(page.hits[0].anonymous, 1)
  assert.deepEqual(page.cookies, {})
  trackr.consent(true)
  trackr.goal('asked')
  await page.answer(202)
  page.pass(400)
  assert.ok(page.hits[1].v_visitor && !page.hits[1].anonymous)
})

test('without cookies there is nothing on the device either, and a user is one', async () => {
  const page = new Page({ account: 'shop', cookies: false }), trackr = page.start()
  trackr.loginUser(42)
  page.pass(0)
  assert.deepEqual([page.cookies, page.local], [{}, {}])
  assert.deepEqual(page.hits.map((hit) => [hit.v_visitor, hit.anonymous]), [[undefined, undefined], [undefined, undefined]])
  assert.equal(page.hits[1].visitor, '42')
})

test('off() counts nothing more, here and on the next pages; off(false) ends it', async () => {
  const local = {}, page = new Page(SHOP, { local }), trackr = page.start()
  page.pass(0)
  await page.answer(202)
  trackr.off()
  trackr.track('never')
  page.pass(400)
  assert.deepEqual(page.names, ['pageview'])
  const next = new Page(SHOP, { local }), other = next.start()
  next.pass(5000)
  next.hide()
  assert.deepEqual([next.posts, next.beacons, next.cookies], [[], [], {}])
  other.off(false)
  other.track('now')
  next.pass(400)
  assert.deepEqual(next.names, ['now'])
})

test('?trackr=off and ?trackr=on are the same by an address', () => {
  const local = {}
  const [off] = begun(SHOP, { local, address: 'https://shop.example/?a=1&trackr=off' })
  const [after] = begun(SHOP, { local })
  const [on] = begun(SHOP, { local, address: 'https://shop.example/?trackr=on' })
  assert.deepEqual([off, after, on].map((page) => page.names), [[], [], ['pageview']])
})

test('all hits of a visit know the page at which it began', async () => {
  const local = {}, cookies = {}
  const first = new Page(SHOP, { local, cookies, address: 'https://shop.example/?utm_source=news' })
  first.window.document.referrer = 'https://mail.example/inbox?secret=1'
  first.start()
  first.pass(0)
  const next = new Page(SHOP, { local, cookies, address: 'https://shop.example/basket' })
  next.window.document.referrer = 'https://shop.example/'
  next.start().purchase({ id: 1, revenue: 5 })
  next.pass(0)
  const told = [...first.hits, ...next.hits].map((hit) => [hit.entry_url, hit.entry_referrer])
  assert.deepEqual(told, Array(3).fill(['https://shop.example/?utm_source=news', 'https://mail.example/inbox']))
})
