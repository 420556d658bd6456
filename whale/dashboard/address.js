/**
 * The state of the page, all of it, is in its address. Defaults are left out of it, so the plain address means them.
 *
 *     read(location.search, views)  -> { state: { view, pk, metric, … }, unknown: ['colour', …] }
 *     address(state, changes)       -> '/?pk=shop&view=breakdown'
 *
 * Lists (pk, tiles, at) are arrays in the state. A view may have parameters of its own (see VIEWS in main.js): they are texts,
 * and go when another view is opened.
 */
export const DEFAULTS = {
  view: 'overview', pk: [], metric: '', tiles: [], period: '30d', range: '', compare: 'previous', tz: '', dim: '', at: [],
  by: '', order: '', offset: '', threshold: '', theme: '', split: '', top: '10', also: [], second: '', chart: [],
}
const COMMON = ['pk', 'metric', 'tiles', 'period', 'range', 'compare', 'tz', 'dim', 'at', 'theme', 'split', 'top', 'also', 'second', 'chart']
const OF_ANY_PK = ['view', 'period', 'range', 'compare', 'tz', 'theme']
/** With commas, or as JSON where a name has one. */
const joined = (names) => (names.some((name) => /^\[|,/.test(name)) ? JSON.stringify(names) : names.join(','))
const LISTS = { pk: JSON.stringify, at: JSON.stringify, tiles: joined, also: joined, chart: joined }
export const CHART = ['area', 'stacked', 'shares', 'running', 'ma7', 'nights']

/** What every question of this state asks for: { pk, period, tz, compare }. A range by days, a short one by hours, a long one by weeks. */
export function asked({ pk, period, range, compare, tz }) {
  const [from, to] = range.split('..').map(Date.parse)
  const days = (to - from) / 86400e3
  const interval = days <= 3 ? '1h' : days <= 120 ? '1d' : '1w'
  return { pk, period: range ? `${interval}:${range}` : period, tz: tz || undefined, compare: compare === 'none' ? undefined : compare }
}

export function read(search, views) {
  const state = { ...DEFAULTS }
  const given = new URLSearchParams(search)
  const own = views.find((view) => view.name === (given.get('view') ?? DEFAULTS.view))?.parameters ?? []
  const unknown = []
  for (const [name, text] of given) {
    if (Object.hasOwn(LISTS, name)) state[name] = listOf(name, text)
    else if (Object.hasOwn(DEFAULTS, name) || own.includes(name)) state[name] = text
    else if (name !== 'key') unknown.push(name)
  }
  const [isKnown, isTop] = [(word) => CHART.includes(word), /^([1-9]|10)$/.test(state.top)]
  unknown.push(...state.chart.filter((word) => !isKnown(word)).map((word) => `chart=${word}`), ...(isTop ? [] : [`top=${state.top}`]))
  Object.assign(state, { chart: state.chart.filter(isKnown), top: isTop ? state.top : DEFAULTS.top })
  if (!views.some((view) => view.name === state.view)) unknown.push(`view=${state.view}`)
  return { state, unknown }
}

/** Where `changes` lead from here. Another view keeps what all views share, another pk what is not of a pk. */
export function address(state, changes) {
  const kept = 'pk' in changes ? OF_ANY_PK : 'view' in changes && changes.view !== state.view ? COMMON : Object.keys(state)
  const next = { ...Object.fromEntries(kept.map((name) => [name, state[name]])), ...changes }
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(next)) {
    const text = Array.isArray(value) ? (value.length ? textOf(name, value) : '') : value
    if (text && text !== DEFAULTS[name]) query.set(name, text)
  }
  return `/${query.size ? '?' : ''}${query}`
}

/** A pk or path of one plain name is written without brackets. */
const textOf = (name, list) => (list.length === 1 && !/^[[{_]|,/.test(list[0]) ? list[0] : LISTS[name](list))

function listOf(name, text) {
  if (LISTS[name] === joined && !text.startsWith('[')) return text.split(',').filter(Boolean)
  if (!text.startsWith('[')) return text ? [text] : []
  try { return JSON.parse(text).map(String) } catch { return [text] }
}
