/** Who and what is let in: the users, keys and sites of the account, and the journal of what admins did. Nothing of it without `admin`. */
import { Away, Refused, curlOf, questionOf } from '../api.js'
import { card } from '../card.js'
import { copied, fill, h, headOf, scroller } from '../dom.js'
import { choice, choices, lines, number, openForm, text, tick } from '../form.js'
import * as f from '../format.js'
import { empty, keyField } from '../states.js'

const MOST_ACTS = 50
const MODULES = {
  counts: 'sums, series, rankings', visitors: 'visitors, their events', funnels: 'funnels, retention',
  decisions: 'decisions, their reports', admin: 'users, keys, sites',
}
const LEVELS = ['none', 'read', 'write'].map((level) => [level, level])
const SCOPES = [['write', 'write: send hits'], ['read', 'read: ask questions'], ['browser', 'browser: pages of one site'], ['admin', 'admin: everything']]
const PIXELS = [['referer', 'need a Referer of an allowed page'], ['any', 'need none']]
const ENDS = [['', 'never'], ['86400', 'in 1 day'], ['604800', 'in 7 days'], ['2592000', 'in 30 days'], ['7776000', 'in 90 days'], ['31536000', 'in 1 year']]
const OVERLAPS = [
  ['0', 'ends now'], ['3600', 'works for 1 more hour'], ['86400', 'works for 1 more day'], ['604800', 'works for 7 more days'],
  ['2592000', 'works for 30 more days'],
]

export async function show(place, page) {
  const view = (place.view ??= { place, secrets: h('div') })
  view.page = page
  await draw(view).catch((error) => {
    if (!view.cards || !(error instanceof Refused)) throw error
    fill(view.said, error.message) // what stands there may be a secret
  })
}

async function draw(view) {
  const { page, place } = view
  let answers
  try {
    answers = await Promise.all([page.ask('users'), page.ask('keys'), page.ask('sites'), page.ask('journal', { limit: MOST_ACTS })])
  } catch (error) {
    if (error.problem?.status !== 401 && error.problem?.code !== 'not_allowed') throw error
    view.cards = null
    return void fill(place, closed(error, page))
  }
  const [users, keys, sites, journal] = answers
  view.sites = sites.answer.map(({ pk }) => pk)
  const { cards } = view.cards ? view : build(view)
  fill(view.said)
  table(cards.users, users, 'Nobody yet. A user logs in with a name and a password.',
    [['User'], ['Rights'], ['Made', 'wide-only time'], ['']], (user) => userRow(view, user))
  table(cards.keys, keys, 'None yet. A program or a page shows a key instead of a password.',
    [['Key'], ['Scope'], ['Site', 'wide-only'], ...['Made', 'Last used', 'Ends'].map((name) => [name, 'wide-only time']), ['']], (key) => keyRow(view, key))
  table(cards.sites, sites, 'None yet. Pages of a site send hits by the tracker or a browser key, and visitors are logged for sites alone.',
    [['Site'], ['Pages that may send'], ['Visitor log', 'wide-only'], ['']], (site) => siteRow(view, site))
  const acts = journal.answer.toReversed()
  const actRow = ({ at, who, did, about }) =>
    h('tr', {}, h('td', { class: 'time' }, when(at, page)), h('td', {}, f.shown(who)), h('td', {}, did), h('td', {}, f.shown(about)))
  table(cards.journal, { ...journal, answer: acts }, 'Nothing was changed yet.', [['Time'], ['Who'], ['Did'], ['About']], actRow)
  const rows = () => acts.map(({ at, who, did, about }) => [new Date(at).toISOString(), who, did, about])
  cards.journal.offer({ address: journal.address, table: () => ({ columns: ['Time', 'Who', 'Did', 'About'], rows: rows() }) })
}

/** For whom it is not. */
const closed = ({ problem }, page) => h('section', { class: 'card' }, h('h1', {}, 'Access'),
  h('p', {}, 'You need the right to read in admin, or the admin key, to see users, keys and sites, and the right to write to change them.'),
  problem.status === 401 && keyField(() => page.go({}, { step: false }), 'admin'))

function build(view) {
  const adds = { users: ['Add a user', addUser], keys: ['Make a key', addKey], sites: ['Add a site', addSite] }
  view.cards = Object.fromEntries(['users', 'keys', 'sites', 'journal'].map((name, i) => {
    const one = card(f.title(name), { id: name, main: !i })
    if (adds[name]) one.at(h('button', { id: `add-${name}`, onclick: () => adds[name][1](view) }, adds[name][0]))
    return [name, one]
  }))
  view.said = h('p', { class: 'bad', role: 'alert' })
  const { users, keys, sites, journal } = view.cards
  fill(view.place, h('h1', { class: 'sr' }, 'Access'), view.said,
    !view.page.locked && h('p', { class: 'foot' }, 'No key is set for this service, so everybody on this machine may see and change all of this.'),
    view.secrets, users.element, keys.element, sites.element, journal.element)
  return view
}

function table({ body, offer, element }, { answer, address }, none, columns, row) {
  const lists = () => scroller(`Table: ${element.id}`, h('table', { class: 'access' }, headOf(...columns), h('tbody', {}, answer.map(row))))
  fill(body, answer.length ? lists() : empty(none))
  offer({ address })
}

const when = (at, page) => (at ? f.bucket(at, 60_000, page.zone) : '–')
const buttons = (about, ...each) => h('td', { class: 'acts' }, each.filter(Boolean).map(([label, does]) =>
  h('button', { class: 'plain', 'aria-label': `${label} ${about}`, onclick: does }, label)))

/** Changes something; then the lists are those of now. gives: what to do with the answer. */
async function change(view, route, method, body, gives = () => {}) {
  const { answer } = await view.page.ask(route, {}, { method, body })
  gives(answer)
  const focus = () => document.activeElement === document.body && document.getElementById(`add-${route.split('/')[0]}`)?.focus() // its row is gone
  draw(view).then(focus, (error) => {
    view.page.failed(error)
    if (error.name !== 'AbortError') fill(view.said, error instanceof Away ? 'Done. Whale does not answer, so the lists are from before.' : error.message)
  })
}

function remove(view, route, what, says) {
  openForm(view.place, { title: `Remove ${what}?`, says, action: 'Remove', send: () => change(view, route, 'DELETE') })
}

// users

const within = (name) => encodeURIComponent(name.split('/').at(-1))
function rightsOf({ name, rights }) {
  if (!name.includes('/')) return 'all: the owner'
  const has = Object.keys(MODULES).filter((each) => rights[each] !== 'none').map((each) => `${each} ${rights[each]}`)
  return Object.values(rights).every((level) => level === 'write') ? 'all' : has.join(', ') || 'none'
}

function userRow(view, user) {
  const name = f.shown(user.name)
  return h('tr', {}, h('th', { scope: 'row' }, name), h('td', {}, rightsOf(user)), h('td', { class: 'wide-only time' }, when(user.made_at, view.page)),
    buttons(name, ['Change', () => changeUser(view, user)],
      ['Remove', () => remove(view, `users/${within(user.name)}`, `the user ${name}`, 'They are logged out, and cannot log in again.')]))
}

const rightsField = (rights = {}) => choices('rights', 'Rights: write includes read', Object.entries(MODULES).map(([name, says]) =>
  choice(name, `${f.title(name)}: ${says}`, LEVELS, rights[name] ?? 'none')))
const passwordField = (more) => text('password', 'Password', '', { type: 'password', autocomplete: 'new-password', ...more })

function addUser(view) {
  const hint = 'Letters, digits, . _ and -. The name of the account itself makes its owner, who has all rights.'
  const name = text('name', 'Name', '', { required: true, hint })
  openForm(view.place, {
    title: 'Add a user', action: 'Add', fields: [name, passwordField({ required: true, hint: 'At least 8 letters.' }), rightsField()],
    send: (given) => change(view, 'users', 'POST', given),
  })
}

function changeUser(view, user) {
  const isOwner = !user.name.includes('/')
  const fields = [passwordField({ required: isOwner, hint: 'At least 8 letters. A new one ends all sessions of this user. Empty: it stays.' })]
  openForm(view.place, {
    title: `Change the user ${f.shown(user.name)}`, action: 'Change', fields: isOwner ? fields : [...fields, rightsField(user.rights)],
    send: ({ password, rights }) => change(view, `users/${within(user.name)}`, 'POST', { password: password || undefined, rights }),
  })
}

// keys

function keyRow(view, key) {
  const [name, { page }, isGood] = [`${key.prefix}…`, view, key.standing === 'good']
  const ends = key.revoked_at ? `revoked ${when(key.revoked_at, page)}` : key.expires_at ? when(key.expires_at, page) : 'never'
  const route = `keys/${encodeURIComponent(key.id)}`
  const of = key.site === null ? 'all' : f.shown(key.site)
  return h('tr', { class: isGood ? null : 'chance' },
    h('th', { scope: 'row' }, h('code', {}, name), !isGood && h('span', { class: 'badge' }, key.standing)),
    h('td', {}, key.scope, h('span', { class: 'narrow-only' }, `Site: ${of}`), h('span', { class: 'narrow-only' }, `Ends: ${ends}`)),
    h('td', { class: 'wide-only' }, of),
    [when(key.made_at, page), key.last_used_at ? when(key.last_used_at, page) : 'never', ends].map((each) => h('td', { class: 'wide-only time' }, each)),
    buttons(name, isGood && ['Rotate', () => rotate(view, name, route)], key.standing !== 'revoked' && ['Change', () => changeKey(view, name, route)],
      ['Remove', () => remove(view, route, `the key ${name}`, isGood ? 'Whatever shows it is refused from now on.' : 'It leaves the list.')]))
}

function addKey(view) {
  const sites = choice('site', 'Site', [['', 'all'], ...view.sites.map((pk) => [pk, f.shown(pk)])], '', 'A browser key needs one.')
  openForm(view.place, {
    title: 'Make a key', action: 'Make', fields: [choice('scope', 'Scope', SCOPES, 'write'), sites, choice('expires_s', 'It ends', ENDS, '')],
    send: ({ scope, site, expires_s }) => change(view, 'keys', 'POST', { scope, site: site || undefined, expires_s: Number(expires_s) || undefined },
      (made) => showSecret(view, made, 'The new key')),
  })
}

function rotate(view, name, route) {
  openForm(view.place, {
    title: `Rotate the key ${name}`, says: 'A new key of the same scope and site takes its place.', action: 'Rotate',
    fields: [choice('rotate_s', 'The old key', OVERLAPS, '86400'), choice('expires_s', 'The new key ends', ENDS, '')],
    send: ({ rotate_s, expires_s }) => change(view, route, 'POST', { rotate_s: Number(rotate_s), expires_s: Number(expires_s) || undefined },
      (made) => showSecret(view, made, `In place of ${name}`)),
  })
}

function changeKey(view, name, route) {
  const ends = choice('expires_s', 'It ends', [...ENDS, ['revoke', 'now: revoke it']], '', 'A key that was revoked never works again.')
  openForm(view.place, {
    title: `Change the key ${name}`, action: 'Change', fields: [ends],
    send: ({ expires_s: end }) => change(view, route, 'POST', end === 'revoke' ? { revoke: true } : { expires_s: Number(end) || null }),
  })
}

/** Once. It stays until its reader says so. */
function showSecret(view, { secret, ...key }, title) {
  const done = () => {
    shown.remove()
    document.getElementById('add-keys').focus()
  }
  const heading = h('h2', { tabindex: -1 }, title)
  const [kind, line] = useOf(view.page, key, secret)
  const shown = h('section', { class: 'card first', 'aria-label': title }, heading,
    h('p', {}, `Copy it now: nobody can show it again.${key.public ? ' It stands in pages, so everybody may read it.' : ''}`), copied('secret', secret),
    h('p', {}, 'To use it:'), copied(kind, line), h('button', { onclick: done }, 'I have it'))
  view.secrets.prepend(shown)
  setTimeout(() => heading.focus()) // once the form has given its focus back
}

/** A line that shows the key to the service that it is for. */
function useOf({ hail, whale }, { scope, site }, secret) {
  const pk = site === null ? 'shop' : /^[\w.-]+$/.test(site) && site !== '_' ? site : [site]
  if (scope === 'browser') return ['tag', `<script async src="${hail}${questionOf('count.js', { pk, key: secret })}"></script>`]
  const [service, route] = { write: [hail, 'count'], read: [whale, 'totals'], admin: [whale, 'users'] }[scope]
  return ['curl', curlOf(service + questionOf(route, scope === 'admin' ? {} : { pk }), secret)]
}

// sites

function siteRow(view, site) {
  const [name, route] = [f.shown(site.pk), `sites/${encodeURIComponent(site.pk)}`]
  return h('tr', {},
    h('th', { scope: 'row' }, h('a', { href: view.page.link({ view: 'overview', pk: [site.pk] }) }, name),
      site.name && h('span', { class: 'soft' }, ` ${f.shown(site.name)}`)),
    h('td', {}, site.open ? site.origins.map((origin) => h('div', {}, f.shown(origin))) : 'none: closed for browsers'),
    h('td', { class: 'wide-only' }, `${f.full(site.keep_days)} days, ${site.keep_ids ? 'with' : 'without'} ids`),
    buttons(name, ['Change', () => openSite(view, `Change the site ${name}`, 'Change', [], site, route)],
      ['Remove', () => remove(view, route, `the site ${name}`, 'Its settings and its log of visitors go. What was counted stays.')]))
}

const addSite = (view) => openSite(view, 'Add a site', 'Add',
  [text('pk', 'Pk', '', { required: true, hint: 'What hits name first, such as shop.' })], { keep_days: 400, keep_ids: true }, 'sites')

function openSite(view, title, action, first, site, route) {
  openForm(view.place, {
    title, action, send: (given) => change(view, route, 'POST', given),
    fields: [...first, text('name', 'Name for people', site.name), text('description', 'Description', site.description),
      tick('open', 'Pages may send hits to it, by the tracker or a browser key', site.open),
      lines('origins', 'Pages that may send', site.origins, 'One in a line, with https:// and without a path.'),
      choice('pixels', 'Images and scripts', PIXELS, site.pixels),
      tick('cross_site_cookie', 'Pages of other sites send the cookie of its visitors', site.cross_site_cookie),
      number('session_gap_s', 'Seconds without an event that end a session', site.session_gap_s || 0),
      tick('pages_in_lower_case', 'Pages of the tracker in lower case', site.pages_in_lower_case),
      tick('pages_without_slash', 'Pages without a slash at the end', site.pages_without_slash),
      lines('page_parameters', 'Parameters that are part of a page', site.page_parameters, 'One in a line, at most 20.'),
      number('keep_days', 'Days that the visitor log is kept', site.keep_days), tick('keep_ids', 'Ids of visitors are kept', site.keep_ids),
      lines('dimensions', 'Properties that count as paths', site.dimensions, 'One in a line, at most 8.'),
      lines('event_properties', 'Properties of events, not of visitors', site.event_properties, 'One in a line, at most 8.')],
  })
}
