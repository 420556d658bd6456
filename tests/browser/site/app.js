/** A router as those of frameworks: it pushes, takes its own query parameters back with replaceState, and draws. */
const draw = () => { document.title = document.querySelector('#view').textContent = location.pathname + location.search + location.hash }
window.go = (path) => {
  history.pushState({}, '', path)
  history.replaceState({ scroll: 0 }, '', path)
  draw()
}
window.replace = (path) => {
  history.replaceState({}, '', path)
  draw()
}
addEventListener('popstate', draw)
draw()
