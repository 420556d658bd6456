/** Numbers, changes and times as people write them: one place, so that a tile, an axis and a cell never differ. */

const THIN = '\u202f' // a narrow space that does not break: between digits, and before a unit
const NOTHING = '–'
const minus = (text) => text.replace('-', '−')
const fixed = (v, digits) => minus(v.toFixed(digits)).replace(/^−(0(\.0*)?)$/, '$1')
const grouped = (v, digits = 0) => fixed(v, digits).replace(/\B(?<!\.\d*)(?=(\d{3})+(?!\d))/g, THIN)

const LARGE = [[999.5e6, 1e9, 'G'], [999.5e3, 1e6, 'M'], [9999.5, 1e3, 'k']]
/** Three digits: 3 742, 87.2 k, 1.24 M. */
export function number(v, digits = 3) {
  if (v == null || !Number.isFinite(v)) return NOTHING
  const size = Math.abs(v)
  for (const [least, divisor, unit] of LARGE) { if (size >= least) return significant(v / divisor, digits) + THIN + unit }
  if (size >= 999.5) return grouped(v)
  return Number.isInteger(v) ? minus(String(v)) : significant(v, digits)
}

function significant(v, digits) {
  const whole = Math.max(1, Math.floor(Math.log10(Math.abs(v) || 1)) + 1)
  return fixed(v, Math.max(0, Math.min(2, digits - whole)))
}

const SIGNS = { USD: '$', EUR: '€', GBP: '£', JPY: '¥' }
const signOf = (currency) => SIGNS[currency ?? ''] ?? (currency ? currency + THIN : '')
function money(v, currency) { return (v < 0 ? '−' : '') + signOf(currency) + (Math.abs(v) < 100 ? Math.abs(v).toFixed(2) : number(Math.abs(v))) }

/** 1 min 20 s. */
export function duration(seconds) {
  const size = Math.abs(seconds)
  if (size < 60) return number(seconds) + THIN + 's'
  const [, large, name, small, rest] = LENGTHS.find(([most]) => size < most)
  const [count, per] = [Math.round(size / small), large / small]
  return `${seconds < 0 ? '−' : ''}${Math.floor(count / per)}${THIN}${name}` + (count % per ? ` ${count % per}${THIN}${rest}` : '')
}
const LENGTHS = [[3599.5, 60, 'min', 1, 's'], [86370, 3600, 'h', 60, 'min'], [Infinity, 86400, 'd', 3600, 'h']]

const share = (v) => fixed(v * 100, Math.abs(v) < 0.0995 ? 2 : 1) + THIN + '%'
const BYTES = ['B', 'kB', 'MB', 'GB', 'TB', 'PB']
function bytesOf(v) {
  const step = Math.min(BYTES.length - 1, Math.max(0, Math.floor(Math.log10(Math.abs(v) || 1) / 3)))
  return [1000 ** step, BYTES[step]]
}
function bytes(v) {
  const [divisor, name] = bytesOf(v)
  return (v ? significant(v / divisor, 3) : '0') + THIN + name
}

/** A value of a metric, as metrics.js describes it. Zero and nothing differ. */
export function value(v, { unit, currency } = {}) {
  if (v == null || !Number.isFinite(v)) return NOTHING
  switch (unit) {
    case 'money': return money(v, currency)
    case 'share': return Math.abs(v) > 1.5 ? number(v) : share(v)
    case 'times': return significant(v, 3) + THIN + '×'
    case 'seconds': return duration(v)
    case 'bytes': return bytes(v)
    default: return number(v)
  }
}

/** Few of few are written out: 3 of 5. parts: above and below the stroke. */
export const ofFew = ([above, ...below], n, { unit }) => (unit === 'share' && n > 0 && n < 10 && below.length === 1 ? `${number(above)} of ${number(n)}` : null)

/** Every digit, for tables and titles. */
export const full = (v) => (v == null ? NOTHING : Number.isInteger(v) ? grouped(v) : minus(String(+v.toPrecision(12))))

/** Ticks of one axis: in one unit, that of the largest, with as many decimals as their step needs. From a second on durations, which have none. */
export function ticks(values, { unit, currency } = {}) {
  const most = Math.max(0, ...values.map(Math.abs))
  const step = values.length > 1 ? Math.abs(values[1] - values[0]) : most
  if (unit === 'seconds' && step >= 1) return values.map(duration)
  const [divisor, name] = scaleOf(most, unit)
  const isWhole = (v) => Math.abs(v - Math.round(v)) < 1e-6
  const digits = [0, ...(unit === 'money' && divisor === 1 ? [] : [1]), 2, 3, 4, 5].find((each) => isWhole((step / divisor) * 10 ** each)) ?? 6
  const sign = unit === 'money' ? signOf(currency) : ''
  return values.map((v) => (v < 0 ? '−' : '') + sign + grouped(Math.abs(v / divisor), digits) + (v || !/[kMG]$/.test(name) ? name : ''))
}

function scaleOf(most, unit) {
  if (unit === 'share' && most <= 1.5) return [0.01, `${THIN}%`]
  if (unit === 'times' || unit === 'seconds') return [1, THIN + (unit === 'times' ? '×' : 's')]
  const [divisor, name] = unit === 'bytes' ? bytesOf(most) : (LARGE.find(([least]) => most >= least)?.slice(1) ?? [1, ''])
  return [divisor, name && THIN + name]
}

/** How much it changed: { text, sign }. Shares change in points, all else in %; what is small is written out. */
export function change(now, before, { unit } = {}) {
  if (now == null || before == null) return { text: before == null && now != null ? 'new' : NOTHING, sign: 0 }
  const moved = (size, text) => ({ text: size === 0 ? '±' + text : (size > 0 ? '+' : '−') + text, sign: Math.sign(size) })
  if (unit === 'share' && Math.abs(now) <= 1.5) {
    const points = Math.round((now - before) * 1e4) / 100
    return moved(points, `${Math.abs(points).toFixed(Math.abs(points) < 10 ? 2 : 1)} points`)
  }
  if (unit === 'count' && Math.max(Math.abs(now), Math.abs(before)) < 10) return moved(now - before, number(Math.abs(now - before)))
  if (!before) return { text: now ? 'new' : '±0', sign: Math.sign(now) }
  const percent = (now / before - 1) * 100
  const rounded = Math.abs(percent) < 10 ? Math.round(percent * 10) / 10 : Math.round(percent)
  if (percent > 999) return moved(1, `${number(now / before)}${THIN}×`)
  return moved(rounded, `${Math.abs(rounded)}${THIN}%`)
}
/** +0.20, −0.65, ±0.00. */
export const signed = (v, digits) => (Number(v.toFixed(digits)) ? (v > 0 ? '+' : '') : '±') + fixed(v, digits)
export const arrow = (sign) => (sign > 0 ? '↑' : sign < 0 ? '↓' : '')

const formats = new Map()
function dated(at, options, timeZone) {
  const name = JSON.stringify([options, timeZone])
  if (!formats.has(name)) formats.set(name, new Intl.DateTimeFormat('en-GB', { ...options, timeZone }))
  return formats.get(name).format(at).replace(',', '')
}
const YEAR = { year: 'numeric' }
const year = (at, zone) => (dated(at, YEAR, zone) === dated(Date.now(), YEAR, zone) ? {} : YEAR)
/** at: milliseconds, everywhere. 19 Nov; the year only where it is not this one. */
export const day = (at, zone) => dated(at, { day: 'numeric', month: 'short', ...year(at, zone) }, zone)
/** Thu 19 Nov. */
export const weekday = (at, zone) => dated(at, { weekday: 'short', day: 'numeric', month: 'short', ...year(at, zone) }, zone)
/** 14:35. */
export const clock = (at, zone) => dated(at, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }, zone)
/** As a period of a question has it, in the zone: 2026-11-19, or 2026-11-19T09:00. */
export function local(at, zone) {
  const [date, time] = [dated(at, { dateStyle: 'short' }, zone).split('/').reverse().join('-'), clock(at, zone)]
  return time === '00:00' ? date : `${date}T${time}`
}
/** A bucket that is `width` milliseconds long, by its start. */
export function bucket(at, width, zone) {
  if (width >= 27 * 86400e3) return dated(at, { month: 'long', year: 'numeric' }, zone)
  return width >= 86400e3 ? weekday(at, zone) : `${weekday(at, zone)} ${clock(at, zone)}`
}

/** A name of a metric or dimension as a title: ad_cost -> Ad cost. */
export const title = (name) => name.replace(/_/g, ' ').replace(/^./u, (letter) => letter.toUpperCase())

/** A path in an answer -> names: '_' is the root, '["a", "b"]' two levels. */
export function pathOf(text) {
  if (Array.isArray(text)) return text
  if (text === '_') return []
  if (text === '{"_": {}}') return ['_']
  return text.startsWith('[') ? JSON.parse(text) : [text]
}
/** What cannot be seen, or turns the text around it, written out; what joins an emoji may stay, and so do the ends of lines. */
export const visible = (text, kept = '\n') => text.replace(UNSEEN, (letter) => (letter === kept ? letter : `\\u{${letter.codePointAt(0).toString(16)}}`))
const UNSEEN = /[\p{Cc}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]/gu
/** For people: shop › shoes. What cannot be seen is written out, and blanks at an end stand in quotes. */
export const named = (names) => names.map(shown).join(' › ')
export function shown(name) {
  const text = visible(name, '')
  return text === text.trim() && text ? text : `“${text}”`
}
