-- Adds what some messages say to partitions of the visitor log on one shard: all or nothing, and each message once.
--
-- KEYS     M seen bitmaps, one a message; T tallies, one a publisher; then the partitions W
-- ARGV[1]  msgpack [messages, T, tally ttl, caps, word, latest, [[period, [kind, name, value, ...], day, its start, its end], ...]]
--          a message: [bit, ttl (0: for ever), ms when it was accepted, which of T, [reason, hits, ...]]: the caller's own reasons
--          caps: visitors, events, properties, values of a property; word: random, of tails that begin; latest: s after which a message is
--          too old; a partition: s of a period (0: for ever), the names that its records speak of, and the account's day: all 0 where it has
--          no visitors who are known for a day
-- ARGV[2i], ARGV[2i+1]  of partition i:
--          records, 10 bytes each: u16 row, u16 name, u16 day, u32 tick (places from 0)
--          rows, one a visitor of a message: 8 bytes of hash, u16 message, u16 hits, u32 records, u8 daily, u8 length, id
-- Returns  {"seen", i, ...}: these messages (the first 1,000) were logged before, nothing is written
--          {"day", s}: the day that was given is not the one of this server's clock, nothing is written
--          {"ok", bytes of each tail}
-- Cost     a HGET a row, 5 calls a new visitor, a HMGET of SOME names, one APPEND a partition; a step a record where they are few, or
--          where some are not logged.
--
-- W and what is appended to it: see whale/store/redis/keys.py.
--
-- Each time there are LOAD visitors more than buckets hold on average, the next one in turn is split, see period.lua. So no bucket is large
-- and no growth takes long.
local LOAD, CHUNK, MOST_NUMBERS, DAILY_KEPT = 64, 960, 134217728, 93600 -- the last: s that a day is kept after its end
local LONGEST_DAY = 90000 -- s
local OTHER, OF_PROPERTY, OF_EVENT, VALUES = '__other__', 2147483648, 1073741824, 1048576
local SOME, MANY, BLOCK = 1000, 32, '\255\255\255\255' -- MANY: records from which on a call appends a block, see whale/visitors/tail.py
local sub, pack, u = string.sub, struct.pack, struct.unpack

local head = cmsgpack.unpack(ARGV[1])
local messages, T, tally_ttl, caps = head[1], head[2], head[3], head[4]
local word, latest, parts = head[5], head[6], head[7]
local M = #messages

local refused = {}
for i = 1, M do
  if call('GETBIT', KEYS[i], messages[i][1]) == 1 then refused[#refused + 1] = i - 1 end
end
if #refused > 0 then return {'seen', unpack(refused, 1, math.min(#refused, 1000))} end
for _, part in ipairs(parts) do
  if part[5] > 0 and (now < part[4] or now >= part[5]) then return {'day', now} end
end

for i = 1, M do
  call('SETBIT', KEYS[i], messages[i][1], 1)
  if messages[i][2] > 0 then call('EXPIRE', KEYS[i], messages[i][2]) else call('PERSIST', KEYS[i]) end
end

local told = {} -- of each tally: what -> how many
for i = 1, T do told[i] = {} end
local function tell(tally, what, count)
  local mine = told[tally]
  mine[what] = (mine[what] or 0) + count
end
local tally_of, is_late = {}, {} -- of messages, from 0
for i = 1, M do
  local reasons = messages[i][5]
  tally_of[i - 1], is_late[i - 1] = messages[i][4], messages[i][3] < (now - latest) * 1000
  for j = 1, #reasons, 2 do tell(messages[i][4], reasons[j], reasons[j + 1]) end
end

-- The codes of names: each has one number for ever; past a cap all new ones have that of OTHER.
local function number(names, field, counter, most, other)
  local known = call('HGET', names, field)
  if known then return tonumber(known), field end
  local count = tonumber(call('HGET', names, counter) or 0)
  if field ~= other and count - call('HEXISTS', names, other) >= most then
    field = other
    known = call('HGET', names, field)
    if known then return tonumber(known), field end
  end
  call('HSET', names, field, count, counter, count + 1)
  return count, field
end

-- The same of one that was looked for, and is not there. counts: by counter, how many it has and the number of OTHER, as this call has
-- left them. added: fields and their numbers, which are still to be written.
local function further(names, counts, added, field, counter, most, other)
  local c = counts[counter]
  if not c then
    local state = call('HMGET', names, counter, other)
    c = {tonumber(state[1] or 0), state[2] and tonumber(state[2]) or nil}
    counts[counter] = c
  end
  if c[1] - (c[2] and 1 or 0) >= most then field = other end
  if field == other and c[2] then return c[2] end
  local found = c[1]
  c[1] = found + 1
  if field == other then c[2] = found end
  added[#added + 1] = field; added[#added + 1] = found
  return found
end

-- Of which property a name of a value is, and the field of its code. known: properties that this call has met.
local function value_of(names, known, kind, name, value)
  local met = known[kind .. name]
  if not met then
    local property, field = number(names, kind .. name, 'n' .. kind, caps[3], kind .. OTHER)
    met = {OF_PROPERTY + (kind == 'q' and OF_EVENT or 0) + property * VALUES, kind .. property .. ',', field == kind .. OTHER}
    known[kind .. name] = met
  end
  return met[1], met[2], met[3] and OTHER or value
end

-- The codes of those names that are wanted, by their places from 0; in the order of the names. spoken: kind, name, value of each.
local function codes_of(names, spoken, is_wanted)
  local codes, known, places, fields, counts, added = {}, {}, {}, {}, {}, {}
  for place = 0, #spoken / 3 - 1 do
    if not is_wanted or is_wanted[place] then
      local kind, name = spoken[3 * place + 1], spoken[3 * place + 2]
      if kind ~= 'e' then
        local _, of, value = value_of(names, known, kind, name, spoken[3 * place + 3])
        fields[#fields + 1] = 'v' .. of .. value
      else fields[#fields + 1] = 'e' .. name end
      places[#places + 1] = place
    end
  end
  for first = 1, #fields, SOME do
    local last = math.min(first + SOME - 1, #fields)
    local found = call('HMGET', names, unpack(fields, first, last))
    for i = first, last do
      local place, code = places[i], found[i - first + 1]
      local kind, name = spoken[3 * place + 1], spoken[3 * place + 2]
      if kind == 'e' then code = code or further(names, counts, added, fields[i], 'ne', caps[2], 'e' .. OTHER)
      else
        local above, of = value_of(names, known, kind, name)
        code = above + (code or further(names, counts, added, fields[i], 'nv' .. of, caps[4], 'v' .. of .. OTHER))
      end
      codes[place] = pack('<I4', code)
    end
  end
  if #added > 0 then
    for counter, c in pairs(counts) do added[#added + 1] = counter; added[#added + 1] = c[1] end
    for first = 1, #added, 2 * SOME do call('HSET', names, unpack(added, first, math.min(first + 2 * SOME - 1, #added))) end
  end
  return codes
end

-- A period with its buckets and visitors, and the one before it. prefix: '' or 'd' for those who are known for a day.
local function period(W, prefix, length, day, day_until)
  local g, ends = present(W, prefix, length, day, day_until)
  local now_, last = prefix .. g, prefix .. g - 1
  local counts = call('HMGET', W, 'b:' .. now_, 'm:' .. now_, 'b:' .. last, 'm:' .. last, 'l:' .. now_)
  local found = {
    name = now_, number = g, buckets = tonumber(counts[1] or 1), count = tonumber(counts[2] or 0),
    old_buckets = tonumber(counts[3] or 0), old_count = tonumber(counts[4] or 0), has_lone = counts[5],
    hashes = W .. ':f:' .. now_ .. ':', old_hashes = W .. ':f:' .. last .. ':', ids = W .. ':i:' .. now_ .. ':', fresh = {}, chunk_end = 0,
  }
  found.low, found.old_low = level(found.buckets), level(math.max(1, found.old_buckets))
  if ends > 0 then found.expires = ends + (day and DAILY_KEPT or length) end
  return found
end

local function split(W, p)
  local from, to, moved, gone = p.hashes .. p.buckets - p.low, p.hashes .. p.buckets, {}, {}
  local all = call('HGETALL', from)
  for j = 1, #all, 2 do
    if u('<I4', all[j]) % (2 * p.low) == p.buckets then
      moved[#moved + 1] = all[j]; moved[#moved + 1] = all[j + 1]; gone[#gone + 1] = all[j]
    end
  end
  if #moved > 0 then
    call('HSET', to, unpack(moved))
    call('HDEL', from, unpack(gone))
    expire(to, p.expires)
  end
  if not p.has_lone and (#moved == 0 or #moved == #all) then -- an empty bucket, which is made anew when a visitor comes
    p.has_lone = '1'
    call('HSET', W, 'l:' .. p.name, 1)
  end
  p.buckets = p.buckets + 1
  if p.buckets == 2 * p.low then p.low = p.buckets end
end

-- Makes a visitor known in a period under a number that they have, and keeps their id. id: its length, then it; or nothing.
local function add(W, p, hash, h, known, id)
  local key = p.hashes .. bucket(h, p.buckets, p.low)
  if id == '' then call('HSET', key, hash, known)
  else
    if p.count >= p.chunk_end then
      local chunk = floor(p.count / CHUNK)
      p.chunk_end, p.chunk_name, p.chunk_ids = (chunk + 1) * CHUNK, pack('<I2', chunk), {}
      p.fresh[chunk] = p.chunk_ids
    end
    p.chunk_ids[#p.chunk_ids + 1] = known .. id
    call('HSET', key, hash, known .. p.chunk_name)
  end
  if p.expires and (p.has_lone or p.count == 0) and call('HLEN', key) == 1 then expire(key, p.expires) end
  p.count = p.count + 1
  if p.count > p.buckets * LOAD then split(W, p) end
end

local function keep_ids(p)
  for chunk, ids in pairs(p.fresh) do
    local key = p.ids .. chunk
    call('APPEND', key, table.concat(ids))
    if p.count >= (chunk + 1) * CHUNK then call('SET', key, call('GET', key)) end -- it grows no more: gives back its reserve
    expire(key, p.expires)
  end
end

local function write(W, part, records, rows)
  local length, spoken, day, day_until = part[1], part[2], part[3], part[5]
  local state = call('HMGET', W, 'n', 'e', 'dg', 'full')
  local n, is_any_erased = tonumber(state[1] or 0), call('EXISTS', W .. ':g') == 1
  local lasting, daily, beside = period(W, '', length), nil, 0
  if day_until > 0 then
    daily = period(W, 'd', 0, day, day_until)
    if not state[3] then call('HSET', W, 'dfrom', day_until - LONGEST_DAY) end
  elseif state[3] then
    local counts = call('HMGET', W, 'm:d' .. state[3], 'm:d' .. state[3] - 1)
    beside = (counts[1] or 0) + (counts[2] or 0)
  end
  local function has_room()
    local held = beside + lasting.count + lasting.old_count
    if daily then held = held + daily.count + daily.old_count end
    return n < MOST_NUMBERS and held < caps[1]
  end
  local function number_of_new(p, hash, h, id) -- in this period
    local known
    if p.old_buckets > 0 then known = call('HGET', p.old_hashes .. bucket(h, p.old_buckets, p.old_low), hash) end
    if known then
      known = sub(known, 1, 4)
      if p == lasting then keep_aliases(W, hash, p.number, p.expires) end
    elseif has_room() then
      known = pack('<I4', n)
      n = n + 1
    end
    if known then add(W, p, hash, h, known, id) end
    return known
  end

  local numbers, is_whole, row, at = {}, true, 0, 1 -- of each row: the visitor's, or false where nothing is logged
  while at <= #rows do
    local hash = sub(rows, at, at + 7)
    local h, _, message, hits, count, is_daily, size = u('<I4I4I2I2I4BB', rows, at)
    local tally, known, reason = tally_of[message], false, 'logged'
    if is_late[message] then reason = 'too_old'
    elseif is_any_erased and messages[message + 1][3] < tonumber(call('HGET', W .. ':g', hash) or 0) then reason = 'erased'
    elseif state[4] then reason = 'events_full'
    else
      local p = is_daily == 1 and daily or lasting
      known = call('HGET', p.hashes .. bucket(h, p.buckets, p.low), hash)
      if known then known = sub(known, 1, 4)
      else
        known = number_of_new(p, hash, h, size > 0 and sub(rows, at + 17, at + 17 + size) or '') or false
        if not known then reason = 'visitors_full' end
      end
    end
    row = row + 1
    numbers[row] = known
    tell(tally, reason, hits)
    if known then tell(tally, 'records', count) else is_whole = false end
    at = at + 18 + size
  end

  local added, k = '', #records / 10
  if is_whole and k >= MANY then
    local codes = codes_of(W .. ':c', spoken)
    local head = BLOCK .. sub(records, 5, 6) .. pack('<I2I2I4', row, #spoken / 3, k)
    added = head .. table.concat(numbers) .. table.concat(codes, '', 0, #spoken / 3 - 1) .. records
  elseif k > 0 then
    local out, is_wanted = {}, {}
    for j = 1, #records, 10 do
      local place, name = u('<I2I2', records, j)
      if numbers[place + 1] then is_wanted[name] = true end
    end
    local codes = codes_of(W .. ':c', spoken, is_wanted)
    for j = 1, #records, 10 do
      local place, name = u('<I2I2', records, j)
      local who = numbers[place + 1]
      if who then out[#out + 1] = who .. sub(records, j + 4, j + 9) .. codes[name] end
    end
    added = table.concat(out)
  end
  local size = added ~= '' and call('APPEND', W .. ':t', added) or call('STRLEN', W .. ':t')

  local state_now = {'n', n, 't', now}
  if not state[2] then state_now[5], state_now[6] = 'e', word end
  for _, p in ipairs({lasting, daily}) do
    keep_ids(p)
    for field, value in pairs({['b:' .. p.name] = p.buckets, ['m:' .. p.name] = p.count}) do
      state_now[#state_now + 1] = field
      state_now[#state_now + 1] = value
    end
  end
  call('HSET', W, unpack(state_now))
  return size
end

local sizes = {'ok'}
for i = 1, #parts do
  sizes[i + 1] = write(KEYS[M + T + i], parts[i], ARGV[2 * i], ARGV[2 * i + 1])
end
for i = 1, T do
  for what, count in pairs(told[i]) do call('HINCRBY', KEYS[M + i], what, count) end
  call('EXPIRE', KEYS[M + i], tally_ttl)
end
return sizes
