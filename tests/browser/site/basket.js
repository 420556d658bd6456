const tell = (...call) => (window.trackr = window.trackr || { q: [] }).q.push(call)
tell('checkout', { value: 85 })
document.querySelector('#buy').addEventListener('click', () => {
  const items = [{ id: 'kettle-1', name: 'Kettle', price: 40, quantity: 2 }]
  tell('purchase', { id: 'A7', revenue: 85, shipping: 5, currency: 'EUR', items })
  location.href = '/thanks.html'
})
