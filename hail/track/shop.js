/**
 * Goals, interests and what a shop tells. Of what the page hands over, numbers are metrics, and all else is a property.
 *
 * Hail takes the id of an order as that of its hit, so however often a page tells of it, it counts once. Hail remembers what begins with
 * `order-` for as long, so each item counts once, too.
 */
import { hit } from './pages.js'

/** more: fields of a hit that is sent at once. */
const tell = (event, given, more) => {
  const properties = {}, metrics = {}
  for (const name in given) (given[name] === +given[name] && name != 'id' ? metrics : properties)[name] = given[name]
  return hit(event, properties, metrics, more)
}

export const shop = (tracker) => {
  Object.assign(tracker, {
    viewProduct: (product) => tell('view_product', product),
    addToCart: (product) => tell('add_to_cart', product),
    removeFromCart: (product) => tell('remove_from_cart', product),
    checkout: (cart) => tell('checkout', cart),
    purchase: ({ items = [], ...order }) => {
      // an order without an id is another one each time that it is told, and so are its items
      items.forEach((item, at) => tell('purchase_item', { ...item, item_revenue: item.price * (item.quantity || 1) }, order.id && { id: 'order-' + order.id + '-item-' + at }))
      return tell('purchase', order, {})
    },
    refund: (order) => tell('refund', order, {}),
    goal: (goal, value) => hit('goal', { goal }, { value }),
    interest: (topic, weight) => hit('interest', { topic }, { weight }),
  })
}
