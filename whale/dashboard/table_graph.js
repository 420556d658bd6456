/** Graphs above tables of numbers: <script src="https://WHALE/table_graph.js?table=%23sales" async></script> */
{
  const asked = new URL(document.currentScript.src)
  const { table = 'table[data-hw-target]', ...options } = Object.fromEntries(asked.searchParams)
  const ready = new Promise((done) => (document.readyState === 'loading' ? document.addEventListener('DOMContentLoaded', done) : done()))
  Promise.all([import(new URL('hail-whale-graph.js', asked)), ready]).then(([{ graphTables }]) => graphTables(document.querySelectorAll(table), options))
}
