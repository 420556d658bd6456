document.querySelector('#form').addEventListener('submit', (event) => {
  event.preventDefault()
  trackr.signupUser(42, { plan: 'pro' }, 1795776000)
})
