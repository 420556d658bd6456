/** $.hailwhale('https://WHALE'): the calls of the first HailWhale's jQuery plugin, over <hail-whale-graph>. */
{
  const { jQuery: $, document: { currentScript } } = globalThis
  const home = currentScript.src
  $.hailwhale = (host = new URL('/', home).href) => {
    const src = /:\/\//.test(host) ? host : `${location.protocol}//${host}`
    const loaded = import(new URL('hail-whale-graph.js', home))
    const text = (value) => (value == null || typeof value === 'string' ? value : JSON.stringify(value))
    const make_params = ({ pk, category, dimensions, dimension, metrics, metric, period, tzoffset = -new Date().getTimezoneOffset() / 60 } = {}) => {
      const named = { pk: pk ?? category, dimensions: dimensions ?? dimension, metrics: metrics ?? metric, period, tzoffset }
      return Object.fromEntries(Object.entries(named).filter(([, value]) => value != null).map(([name, value]) => [name, text(value)]))
    }
    const any = (names) => names[Math.floor(Math.random() * names.length)]
    return {
      make_params,
      add_graph: (target, extra = {}) => loaded.then(({ graphOf }) =>
        $(target).each((_, place) => place.replaceChildren(graphOf({ src, live: false, ...extra })))),
      graph_tables: (tables, extra = {}) => loaded.then(({ graphTables }) => graphTables($(tables).get(), extra)),
      /** 25 hits, counted at once. It needs the write key, where keys are set. */
      trigger_fake_hits: (extra = {}) => Promise.all(Array.from({ length: 25 }, () => {
        const hit = { pk: 'test', dimensions: { color: any(['red', 'green', 'blue']) }, metrics: { hits: 1, value: Math.ceil(Math.random() * 10) }, ...extra }
        const query = new URLSearchParams(Object.entries(hit).map(([name, value]) => [name, text(value)]))
        return fetch(new URL(`/count_now?${query}`, src))
      })),
    }
  }
}
