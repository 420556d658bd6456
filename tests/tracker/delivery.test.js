import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Page, forbidden } from './page.js'

const SHOP = { account: 'shop' }
const DAY = 86_400_000
const queued = (page) => JSON.parse(page.local.trackr_queue_shop ?? '[]').map((hit) => hit.event)

test('hits of 400 ms go together, and a page view at once', () => {
  const page = new Page(SHOP), trackr = page.start()
  page.pass(0)
  assert.deepEqual(page.names, ['pageview'])
  page.answer(202)
  trackr.track('a')
  trackr.track('b')
  page.pass(399)
  assert.equal(page.posts.length, 1)
})

test('one request at a time, of at most 60 hits', async () => {
  const page = new Page(SHOP), trackr = page.start()
  page.pass(0)
  for (let at = 0; at < 100; at++) trackr.track('many')
  page.pass(5000)
  assert.equal(page.posts.length, 1)
  await page.answer(202)
  page.pass(0)
  await page.answer(202)
  page.pass(0)
  assert.deepEqual(page.posts.map(({ body }) => body.hits.length), [1, 60, 40])
})

test('a request has at most 48 KB', async () => {
  const page = new Page(SHOP), trackr = page.start()
  page.pass(0)
  for (let at = 0; at < 60; at++) trackr.track('large', { text: 'ü'.repeat(3000) })
  await page.answer(202)
  page.pass(0)
  const { length } = page.posts[1].body.hits
  assert.ok(length > 1 && Buffer.byteLength(JSON.stringify(page.posts[1].body)) <= 48_000, String(length))
})

test('while Hail is away hits wait 1 s, 2 s, … 60 s, and go again with the same ids', async () => {
  const page = new Page(SHOP)
  page.start()
  page.pass(0)
  const { id } = page.hits[0]
  for (const pause of [1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000]) {
    const before = page.posts.length
    await page.answer(pause % 3 ? 503 : 0)
    page.pass(pause - 1)
    assert.equal(page.posts.length, before, `${pause} ms`)
    page.pass(1)
    assert.equal(page.posts.length, before + 1, `${pause} ms`)
  }
  assert.ok(page.hits.every((hit) => hit.id === id && hit.event === 'pageview'))
})

test('a pause is kept, whatever happens meanwhile', async () => {
  const page = new Page(SHOP), trackr = page.start()
  page.pass(0)
  await page.answer(503)
  for (let at = 0; at < 9; at++) trackr.goal('more')
  page.pass(999)
  assert.equal(page.posts.length, 1)
  page.pass(1)
  assert.equal(page.posts[1].body.hits.length, 10)
})

test('what is refused is forgotten, but for 429', async () => {
  for (const [status, again] of [[400, 0], [403, 0], [413, 0], [429, 1], [500, 1]]) {
    const page = new Page(SHOP)
    page.start()
    page.pass(0)
    await page.answer(status)
    page.pass(2000)
    assert.equal(page.posts.length, 1 + again, String(status))
    assert.equal(queued(page).length, again, String(status))
  }
})

test('the next page sends what the page before could not, once', async () => {
  const local = {}, first = new Page(SHOP, { local })
  first.start()
  first.pass(0)
  await first.answer()
  first.hide()
  assert.deepEqual(queued(first), ['pageview'])
  const next = new Page(SHOP, { local, now: first.now + 5000 })
  next.start()
  next.pass(0)
  await next.answer(202)
  next.pass(1000)
  assert.equal(next.posts[1].body.hits[0].id, first.hits[0].id)
  await next.answer(202)
  assert.deepEqual(queued(next), [])
  next.pass(60_000)
  assert.equal(next.posts.length, 2)
})

test('a hit is given up after a day, which the next one tells', async () => {
  const local = {}, first = new Page(SHOP, { local })
  first.start()
  first.pass(0)
  await first.answer()
  first.hide()
  const next = new Page(SHOP, { local, now: first.now + DAY + 1000 })
  const trackr = next.start()
  next.pass(1000)
  await next.answer(202)
  next.pass(0)
  assert.deepEqual(next.names, ['pageview'])
  trackr.track('later')
  next.pass(400)
  assert.deepEqual(next.hits.map((hit) => hit.lost), [0, 1])
})

test('two tabs share a queue, and neither takes what is the other\'s', async () => {
  const local = {}, one = new Page(SHOP, { local }), other = new Page(SHOP, { local })
  one.start()
  other.start()
  one.pass(0)
  other.pass(0)
  assert.deepEqual(queued(one), ['pageview', 'pageview'])
  await one.answer(202)
  assert.deepEqual(queued(one), ['pageview'])
  await other.answer(202)
  assert.deepEqual(queued(one), [])
})

test('50 hits are kept for the next page, and the last tells of those that are not', async () => {
  const page = new Page(SHOP), trackr = page.start()
  page.pass(0)
  await page.answer()
  for (let at = 0; at < 70; at++) trackr.track('many')
  page.takes = () => false
  page.hide()
  const kept = JSON.parse(page.local.trackr_queue_shop)
  assert.deepEqual([kept.length, kept.at(-1).lost, kept[0].lost], [50, 21, 0])
})

test('however many pages end while Hail is away, each hit is kept or told as lost, once', async () => {
  const local = {}
  let made = 0
  for (const more of [70, 9, 0, 30]) {
    const page = new Page(SHOP, { local }), trackr = page.start()
    page.takes = () => false
    page.pass(0)
    await page.answer()
    for (let at = 0; at < more; at++) {
      trackr.track('many')
      page.pass(10)
    }
    page.hide()
    made += 1 + more + (more > 0) // with a page view, and attention where time went by
    const kept = JSON.parse(local.trackr_queue_shop)
    assert.equal(kept.length + kept.reduce((sum, hit) => sum + hit.lost, 0), made)
  }
})

test('a queue of other things is none, and is written over', () => {
  for (const text of ['[null]', '3', '[[]', '"x"']) {
    const local = { trackr_queue_shop: text }, page = new Page(SHOP, { local })
    page.start()
    page.pass(0)
    assert.deepEqual(queued(page), ['pageview'], text)
  }
})

test('2000 hits wait, and those that do not are told', async () => {
  const page = new Page(SHOP), trackr = page.start()
  page.pass(0)
  for (let at = 0; at < 2100; at++) trackr.track('many')
  await page.answer(202)
  page.pass(0)
  trackr.track('one more')
  for (let turn = 0; turn < 40; turn++) {
    await page.answer(202)
    page.pass(0)
  }
  assert.equal(page.names.filter((name) => name === 'many').length, 2000)
  assert.equal(page.hits.at(-1).lost, 100)
})

test('a page that hides hands all that is under way to the browser', async () => {
  const page = new Page(SHOP), trackr = page.start()
  page.pass(0)
  for (let at = 0; at < 45; at++) trackr.track('many')
  page.hide()
  assert.deepEqual(page.beacons.map((text) => JSON.parse(text).hits.length).slice(0, 3), [20, 20, 6])
})

test('hits that a beacon took are forgotten if all before were confirmed, and stay if one was not', async () => {
  for (const [confirmed, left] of [[true, []], [false, ['pageview', 'last']]]) {
    const page = new Page(SHOP), trackr = page.start()
    page.pass(0)
    if (confirmed) await page.answer(202)
    trackr.track('last')
    page.hide()
    assert.deepEqual(queued(page), left)
  }
})

test('what the browser does not take stays', () => {
  const page = new Page(SHOP), trackr = page.start()
  for (let at = 0; at < 45; at++) trackr.track('many')
  page.takes = () => page.beacons.length < 1
  page.hide()
  assert.equal(page.beacons.length, 1)
  assert.equal(queued(page).length, 26)
})

test('a hit that is larger than any may be is lost, and told', () => {
  const page = new Page(SHOP), trackr = page.start()
  trackr.track('large', { text: 'x'.repeat(20_000) })
  trackr.track('small')
  page.pass(400)
  assert.deepEqual(page.hits.map((hit) => [hit.event, hit.lost]), [['pageview', 0], ['small', 1]])
})

test('a queue that somebody else wrote is none', () => {
  const page = new Page(SHOP, { local: { trackr_queue_shop: '{"not": a list' } })
  page.start()
  page.pass(2000)
  assert.deepEqual(page.names, ['pageview'])
})

test('without any storage hits are sent all the same', () => {
  const page = new Page(SHOP, { local: forbidden, tabs: forbidden })
  page.start()
  page.pass(2000)
  assert.deepEqual(page.names, ['pageview'])
  assert.match(page.hits[0].tab, /^[0-9a-f-]{36}$/)
})

test('the core sends pages, too', () => {
  const page = new Page({ dataset: SHOP })
  page.start('core')
  page.pass(0)
  assert.deepEqual(page.names, ['pageview'])
  assert.equal(page.window.trackr.goal, undefined)
})
