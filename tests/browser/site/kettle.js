const kettle = { id: 'kettle-1', name: 'Kettle', price: 40, quantity: 1 }
trackr.viewProduct(kettle)
document.querySelector('#add').addEventListener('click', () => trackr.addToCart(kettle))
