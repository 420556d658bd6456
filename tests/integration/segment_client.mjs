// Segment's published library for Node, unchanged: what it sends is in tests/integration/test_clients.py.
// node tests/integration/segment_client.mjs HOST WRITE_KEY    prints each error
import { Analytics } from "@segment/analytics-node"

const [host, writeKey] = process.argv.slice(2)
const analytics = new Analytics({ host, writeKey, maxRetries: 1 })
analytics.on("error", error => console.log(error.code, String(error.reason)))
const userAgent =
  "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Safari/537.36"
const context = { userAgent, page: { url: "https://shop.example/kettle?x=1", referrer: "https://www.google.com/" } }

analytics.page({ anonymousId: "a1", name: "Kettle", properties: { url: "https://shop.example/kettle" }, context })
analytics.track({ anonymousId: "a1", event: "Product Added", properties: { product_id: "sku-1", price: 25 }, context })
analytics.identify({ anonymousId: "a1", userId: "u1", traits: { plan: "pro", address: { city: "Wien" } } })
const order = { order_id: "1001", revenue: 25.5, currency: "EUR", products: [{ product_id: "sku-1", quantity: 1 }] }
analytics.track({ userId: "u1", event: "Order Completed", properties: order })
analytics.track({ userId: "u1", event: "Order Completed", properties: order }) // an order counts once
analytics.group({ userId: "u1", groupId: "g1", traits: { size: 7 } })
analytics.screen({ userId: "u2", name: "Home" })
analytics.alias({ userId: "u3", previousId: "u2" })
analytics.track({ userId: "u3", event: "Rated", messageId: "m-1", properties: { stars: 5 } })
analytics.track({ userId: "u3", event: "Rated", messageId: "m-1", properties: { stars: 5 } }) // the same again
analytics.track({ userId: "u3", event: "Upgraded", timestamp: new Date(Date.now() - 1000), properties: { value: 3 } })
await analytics.closeAndFlush()
