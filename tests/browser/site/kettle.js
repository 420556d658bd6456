// The list takes calls before the script came, after it, and where it is blocked.
const tell = (...call) => (window.trackr = window.trackr || { q: [] }).q.push(call)
const kettle = { id: 'kettle-1', name: 'Kettle', price: 40, quantity: 1 }
tell('viewProduct', kettle)
document.querySelector('#add').addEventListener('click', () => tell('addToCart', kettle))
