/**
 * The shop of the demo: a basket in this tab, and what it tells the tracker. The list takes calls before the tracker came, after it, and
 * where it is blocked. Names and prices are data of the page.
 */
const tell = (...call) => (window.trackr = window.trackr || { q: [] }).q.push(call)
const at = (id) => document.querySelector('#' + id)
const kept = () => JSON.parse(sessionStorage.basket || '[]')
const keep = (things) => { sessionStorage.basket = JSON.stringify(things) }

const thing = at('thing') && { id: at('thing').dataset.id, name: at('thing').dataset.name }
if (thing) {
  tell('viewProduct', thing)
  at('add').addEventListener('click', () => {
    keep([...kept(), { ...thing, price: +at('thing').dataset.price }])
    tell('addToCart', { ...thing, carts: 1 })
    location.href = '/basket'
  })
}

if (at('basket')) {
  const things = kept(), revenue = things.reduce((sum, { price }) => sum + price, 0)
  at('basket').append(...things.map(({ name, price }) => {
    const line = document.createElement('li')
    line.textContent = `${name}, $${price}`
    return line
  }))
  at('order').disabled = !revenue
  at('order').textContent = `Order for $${revenue}`
  at('order').addEventListener('click', () => {
    tell('purchase', { id: crypto.getRandomValues(new Uint32Array(2)).join('-'), revenue, currency: 'USD' })
    keep([])
    location.href = '/thanks'
  })
}

const draw = () => {
  const no = localStorage.consent == 'no'
  at('counted').firstChild.textContent = no ? 'This shop counts you without any id. ' : 'This shop counts you with a random id of this browser. '
  at('consent').textContent = no ? 'Count me with an id' : 'Count me without it'
}
// before the tracker runs, so that it never has an id that nobody wants
if (localStorage.consent == 'no') document.querySelector('[data-account]').dataset.consent = 'false'
at('consent').addEventListener('click', () => {
  localStorage.consent = localStorage.consent == 'no' ? 'yes' : 'no'
  tell('consent', localStorage.consent == 'yes')
  draw()
})
draw()
