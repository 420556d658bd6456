import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Page } from './page.js'

const SHOP = { account: 'shop' }
/** The hits after the page view, as event, properties, metrics. */
const told = (call) => {
  const page = new Page(SHOP), trackr = page.start()
  call(trackr, page)
  page.pass(400)
  return page.hits.slice(1).map(({ event, properties, metrics }) => [event, properties, metrics])
}

test('what a shop tells: numbers are metrics, all else is a property', () => {
  const kettle = { id: 7, name: 'Kettle', price: 40, quantity: 2 }
  assert.deepEqual(told((trackr) => {
    trackr.viewProduct(kettle)
    trackr.addToCart(kettle)
    trackr.removeFromCart({ id: 7 })
    trackr.checkout({ value: 80 })
    trackr.checkout()
    trackr.refund({ id: 'r1', order: '1001', revenue: 5 })
    trackr.interest('tea', 2)
    trackr.goal('demo', 20)
    trackr.track('rated', { stars: 5 }, { score: 5 })
  }), [
    ['view_product', { id: 7, name: 'Kettle' }, { price: 40, quantity: 2 }],
    ['add_to_cart', { id: 7, name: 'Kettle' }, { price: 40, quantity: 2 }],
    ['remove_from_cart', { id: 7 }, {}],
    ['checkout', {}, { value: 80 }],
    ['checkout', {}, {}],
    ['refund', { id: 'r1', order: '1001' }, { revenue: 5 }],
    ['interest', { topic: 'tea' }, { weight: 2 }],
    ['goal', { goal: 'demo' }, { value: 20 }],
    ['rated', { stars: 5 }, { score: 5 }],
  ])
})

test('an order is a hit, and each of its items one, whose id is made of the order\'s', () => {
  const page = new Page(SHOP), trackr = page.start()
  const order = { id: 'A7', revenue: 85, currency: 'EUR', items: [{ id: 'k', price: 40, quantity: 2 }, { id: 'c', price: 5 }] }
  trackr.purchase(order)
  page.pass(0)
  assert.deepEqual(page.hits.slice(1).map(({ event, properties, metrics }) => [event, properties, metrics]), [
    ['purchase_item', { id: 'k' }, { price: 40, quantity: 2, item_revenue: 80 }],
    ['purchase_item', { id: 'c' }, { price: 5, item_revenue: 5 }],
    ['purchase', { id: 'A7', currency: 'EUR' }, { revenue: 85 }],
  ])
  assert.deepEqual(page.hits.slice(1, 3).map((hit) => hit.id), ['order-A7-item-0', 'order-A7-item-1'])
})

test('two orders without an id are two, with all of their items', () => {
  const page = new Page(SHOP), trackr = page.start()
  for (let turn = 0; turn < 2; turn++) trackr.purchase({ revenue: 5, items: [{ id: 'k', price: 5 }] })
  page.pass(0)
  assert.deepEqual(page.names, ['pageview', 'purchase_item', 'purchase', 'purchase_item', 'purchase'])
  assert.equal(new Set(page.hits.map((hit) => hit.id)).size, 5)
  assert.ok(page.hits.every((hit) => /^[0-9a-f-]{36}$/.test(hit.id)))
})

test('calls before the script came wait for it', () => {
  const page = new Page({ dataset: SHOP })
  page.window.trackr = { q: [['goal', 'early', 3], ['nothing'], ['track', 'early too']] }
  const trackr = page.start()
  trackr.q.push(['goal', 'late'])
  page.pass(400)
  assert.deepEqual(page.names, ['pageview', 'goal', 'early too', 'goal'])
})

test('no call throws into the page, whatever it is given', () => {
  const page = new Page(SHOP), trackr = page.start()
  const circle = {}
  circle.of = circle
  const strange = [undefined, null, 0, '', circle, [], Symbol('s'), () => {}, 10n, NaN]
  for (const [name, call] of Object.entries(trackr)) {
    if (typeof call !== 'function' || ['off', 'experiment'].includes(name)) continue
    for (const one of strange) assert.doesNotThrow(() => call(one, one, one), `${name}(${String(one)})`)
  }
  page.pass(400)
  page.hide()
  assert.ok(page.hits.length > 1)
})

test('a wrong option says so once, and the others hold', () => {
  const page = new Page({ dataset: { account: 'shop', tracktabs: 'false', trackTabs: 'maybe', hash: '' } }), trackr = page.start()
  page.pass(5000)
  assert.deepEqual(page.said, ['trackr: wrong option tracktabs', 'trackr: wrong option trackTabs'])
  assert.equal(trackr.options.hash, true)
  assert.equal(page.names[0], 'pageview')
})

test('a selector that is none, and no account, are told', () => {
  const wrong = new Page({ account: 'shop', trackrClass: '>>' })
  wrong.start()
  wrong.pass(0)
  assert.match(wrong.said.join(), /no selector/)
  assert.deepEqual(wrong.names, ['pageview'])
  const none = new Page({})
  none.start()
  none.pass(5000)
  assert.deepEqual([none.said, none.posts], [['trackr: no account'], []])
})

test('trackTabs: false sends no tab', () => {
  const page = new Page({ account: 'shop', trackTabs: false })
  page.start()
  page.pass(0)
  assert.equal(page.hits[0].tab, null)
})

test('pages that are left out count nothing', () => {
  for (const [path, counts] of [['/admin', 1], ['/admin/', 0], ['/admin/a/b', 0], ['/draft-1', 0], ['/', 1]]) {
    const page = new Page({ account: 'shop', exclude: '/admin/**,/draft-*' }, { address: `https://shop.example${path}` })
    page.start().goal('done')
    page.pass(400)
    assert.equal(page.names.length, 2 * counts, path)
  }
})

test('an application tells of its pages itself', async () => {
  const page = new Page(SHOP), trackr = page.start()
  page.pass(5000)
  await page.answer(202)
  trackr.trackPageStart()
  page.window.history.pushState({}, '', '/next')
  page.pass(300)
  page.tell('visibilitychange')
  page.pass(0)
  trackr.trackPageEnd()
  page.pass(0)
  await page.answer(202)
  page.pass(1000)
  const views = page.hits.filter((hit) => hit.event === 'pageview')
  assert.deepEqual(views.map((hit) => hit.url), ['https://shop.example/', 'https://shop.example/next'])
  assert.deepEqual([views[1].load, views[1].referrer], [300, 'https://shop.example/'])
  const [end] = page.hits.filter((hit) => hit.event === 'engagement')
  assert.deepEqual([end.url, end.engaged], ['https://shop.example/', 5000])
})

test('debug() says what is sent, and how it stands', () => {
  const page = new Page(SHOP), trackr = page.start()
  trackr.debug()
  trackr.goal('shown')
  assert.match(page.said[0], /^trackr: off/)
  assert.match(page.said[1], /^trackr: goal/)
})

test('of an address only campaigns, ids of clicks and what is listed are told', () => {
  const query = 'utm_source=a&gclid=b&ref=c&token=d&q=e&page=f&utm_x=g'
  const page = new Page({ account: 'shop', query: ['q', 'page'] }, { address: `https://ann:secret@shop.example/?${query}#part` })
  page.start()
  page.pass(0)
  assert.equal(page.hits[0].url, 'https://shop.example/?utm_source=a&gclid=b&ref=c&q=e&page=f&utm_x=g')
  const long = new Page(SHOP, { address: `https://shop.example/${'a'.repeat(3000)}?${'x=1&'.repeat(10_000)}` })
  long.start()
  long.pass(0)
  assert.equal(long.hits[0].url.length, 2000)
})

test('a page that is prerendered tells nothing, until somebody sees it', () => {
  const page = new Page(SHOP)
  Object.assign(page.window.document, { prerendering: true, hidden: true })
  page.start().goal('early')
  page.pass(5000)
  page.tell('pagehide')
  assert.deepEqual([page.posts, page.beacons, page.cookies, page.local], [[], [], {}, { trackr_queue_shop: '[]' }])
  Object.assign(page.window.document, { prerendering: false, hidden: false })
  page.tell('prerenderingchange')
  page.tell('visibilitychange')
  page.pass(400)
  assert.deepEqual(page.names, ['pageview', 'goal'])
})

test('a browser that a program drives says so with each hit, so that none counts as a person', () => {
  const page = new Page(SHOP)
  page.window.navigator.webdriver = true
  const trackr = page.start()
  trackr.goal('demo', 20)
  page.pass(400)
  assert.deepEqual(page.hits.map(({ event, bot }) => [event, bot]), [['pageview', true], ['goal', true]])
})
