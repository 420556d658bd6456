const tell = (...call) => (window.trackr = window.trackr || { q: [] }).q.push(call)
document.querySelector('#form').addEventListener('submit', (event) => {
  event.preventDefault()
  tell('signupUser', 42, { plan: 'pro' }, 1795776000)
})
