trackr.checkout({ value: 85 })
document.querySelector('#buy').addEventListener('click', () => {
  trackr.purchase({
    id: 'order-7', revenue: 85, shipping: 5, currency: 'EUR',
    items: [{ id: 'kettle-1', name: 'Kettle', price: 40, quantity: 2 }],
  })
  location.href = '/thanks.html'
})
