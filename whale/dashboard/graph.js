/** A graph where this script's tag stands: <script src="https://WHALE/graph.js?pk=shop&metric=revenue" async></script> */
{
  const script = document.currentScript
  const asked = new URL(script.src)
  const options = Object.fromEntries(asked.searchParams)
  import(new URL('hail-whale-graph.js', asked)).then(({ graphOf }) => {
    const place = options.parent_div && document.getElementById(options.parent_div)
    if (place) place.append(graphOf(options))
    else script.after(graphOf(options))
  })
}
