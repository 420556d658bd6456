-- Adds the cells of some messages on one shard: all or nothing, and each message once.
--
-- KEYS     M seen bitmaps, one a message; D dictionaries, one a pk; then of each account: tallies, one a publisher homed here; the
--          shard's pubs, faults and aside; one block a (pk, interval, block, page)
-- ARGV[1]  msgpack [[bit, ttl, ...], [token, ...], now, tally ttl, account, ...], an account: [[[publisher, seq, total, [field, n, ...]],
--          ...], [reason, n, ...], blocks]
--          bit and ttl of each message (ttl 0: for ever); a token that each dictionary must know; each tally; how many
--          cells the caller lost; how many blocks follow
-- ARGV[2]  msgpack, one a block: [ttl or 0, offset, [metric, ["#node", "delta", ...], metric, ...], offset, ...]: deltas are decimal
--          text, since Lua's numbers are doubles and 2^53 + 1 would become 2^53
-- Returns  {"seen", i, ...}: these messages (the first 1,000 of them) were applied before, nothing is written
--          {"newer", pk}: see newer.lua, nothing is written
--          {"stale", i, ...}: these dictionaries (the first 1,000) do not know their token, nothing is written
--          {"ok", faults}; after whole.lua see there
-- Cost     one GETBIT and SETBIT a message, one HMGET a dictionary (and one HDEL of a stamp that is there), 2 calls and 1 HINCRBY a sparse cell or 1/1000 BITFIELD a dense one.
--
-- Nothing may fail after the first write, since Redis does not roll back: keys of another type are left alone and their cells set aside.
--
-- A block begins as one hash for all its buckets. Past SPLIT fields it is split: a hash a bucket, and the block's own key becomes a
-- bitmap that says which buckets are dense. A bucket past DENSE fields becomes a string of 64-bit slots a metric, where that is smaller.
-- A field takes 8 bytes while a hash is packed, and FIELD_BYTES past SPLIT, the server's limit for that; but to add to a packed one it
-- must be searched, so a string may be somewhat larger: PACKED_BYTES a field.
local SPLIT, DENSE, FIELD_BYTES, PACKED_BYTES = 512, 256, 48, 36
local head = cmsgpack.unpack(ARGV[1])
local bits, tokens, now, tally_ttl = head[1], head[2], head[3], head[4]
local M, D = #bits / 2, #tokens

local refused = {}
for i = 1, M do
  if redis.call('GETBIT', KEYS[i], bits[2 * i - 1]) == 1 then refused[#refused + 1] = i - 1 end
end
if #refused > 0 then return {'seen', unpack(refused, 1, math.min(#refused, 1000))} end
local stamps = {}
for i = 1, D do
  local known = redis.pcall('HMGET', KEYS[M + i], 'g', 'w')
  if is_later(known[2]) then return newer(KEYS[M + i]) end
  stamps[i] = known[2] or false
  if not known[1] or not known[1]:find(tokens[i], 1, true) then refused[#refused + 1] = i - 1 end
end
if #refused > 0 then return {'stale', unpack(refused, 1, math.min(#refused, 1000))} end

if whole then
  local moved = whole.moved(stamps)
  if moved then return moved end
end

for i = 1, M do
  redis.call('SETBIT', KEYS[i], bits[2 * i - 1], 1)
  if bits[2 * i] > 0 then redis.call('EXPIRE', KEYS[i], bits[2 * i]) else redis.call('PERSIST', KEYS[i]) end
end
for i = 1, D do
  if whole then whole.stamp(i, KEYS[M + i], stamps[i]) else unstamp(KEYS[M + i], stamps[i]) end
end

local faults_key, aside -- of the account that is worked at
local faults = 0

-- Notes, in the dictionary, that a cell lacks an amount: "interval:block:offset:metric:node;" for those who read it. Past NOTES bytes
-- it is "*;": any cell may.
local NOTES, at_block, at_offset, at_number = 20000, nil, nil, nil
local function note(metric, node)
  local head, pk, interval, block, page = at_block:match('^(.-:)r:([^:]+):(%w+):(%-?%d+):(%d+)$')
  local dictionary = head .. 'n:' .. pk:match('^[^.]+')
  for i = M + 1, M + D do
    if KEYS[i] == dictionary then
      local known = redis.pcall('HGET', dictionary, 'o') or ''
      local cell = string.format('%s:%s:%d:%d:%d;', interval, block, at_offset, metric, page * 1024 + node:sub(2))
      if type(known) == 'table' or known == '*;' or (';' .. known):find(';' .. cell, 1, true) then return end
      known = known .. cell
      redis.pcall('HSET', dictionary, 'o', #known > NOTES and '*;' or known)
    end
  end
end

local function fault(reason, key, slot, delta, metric, node)
  faults = faults + 1
  if reason == 'overflow' then note(metric, node) end
  redis.pcall('HINCRBY', faults_key, reason, 1)
  redis.pcall('LPUSH', aside, cmsgpack.pack({reason, key, slot, delta}))
  redis.pcall('LTRIM', aside, 0, 999)
end

local function wrong_type(reply)
  return reply.err:find('WRONGTYPE', 1, true) and 'wrong_type' or 'overflow'
end

-- One bucket's cells as they come: [metric, [node, delta, ...], ...], node as "#5", delta as decimal text.
local function size_of(cells)
  local fields = 0
  for m = 2, #cells, 2 do fields = fields + #cells[m] / 2 end
  return fields
end

local function add_hash(key, cells, shift)
  for m = 1, #cells, 2 do
    local base, mine = shift + cells[m] * 1024, cells[m + 1]
    for j = 1, #mine, 2 do
      local field = base + tonumber(mine[j]:sub(2))
      local reply = redis.pcall('HINCRBY', key, field, mine[j + 1])
      if type(reply) == 'table' then fault(wrong_type(reply), key, field, mine[j + 1], cells[m], mine[j]) end
    end
  end
end

-- One metric's cells in calls of 1,000, failing ones by themselves. The words between them are written once.
local args, written = {'OVERFLOW', 'FAIL'}, 2
local function add_slots(key, mine, metric)
  for first = 1, #mine, 2000 do
    local n = 2
    local last = math.min(first + 1999, #mine)
    for j = first, last, 2 do
      if n == written then
        args[n + 1] = 'INCRBY'; args[n + 2] = 'i64'
        written = n + 4
      end
      args[n + 3] = mine[j]; args[n + 4] = mine[j + 1]
      n = n + 4
    end
    local reply = redis.pcall('BITFIELD', key, unpack(args, 1, n))
    if not reply.err then
      for j = 1, #reply do
        local slot = first + 2 * j - 2
        if not reply[j] then fault('overflow', key, mine[slot], mine[slot + 1], metric, mine[slot]) end
      end
    else -- a delta of more than 64 bits, or another type: nothing of this call was written
      for j = first, last, 2 do
        local one = redis.pcall('BITFIELD', key, 'OVERFLOW', 'FAIL', 'INCRBY', 'i64', mine[j], mine[j + 1])
        if one.err then fault(wrong_type(one), key, mine[j], mine[j + 1], metric, mine[j])
        elseif not one[1] then fault('overflow', key, mine[j], mine[j + 1], metric, mine[j]) end
      end
    end
  end
end

local function add_dense(block, offset, cells, ttl)
  for m = 1, #cells, 2 do
    local key = block .. ':' .. offset .. ':' .. cells[m]
    local fresh = ttl > 0 and redis.call('EXISTS', key) == 0
    add_slots(key, cells[m + 1], cells[m])
    if fresh then redis.call('EXPIRE', key, ttl) end
  end
end

-- A hash's fields, grouped as cells come: {offset -> cells}.
local function grouped(all)
  local found = {}
  for j = 1, #all, 2 do
    local field = tonumber(all[j])
    local offset, metric = math.floor(field / 65536), math.floor(field % 65536 / 1024)
    local cells = found[offset]
    if not cells then cells = {}; found[offset] = cells end
    local mine
    for m = 1, #cells, 2 do
      if cells[m] == metric then mine = cells[m + 1] end
    end
    if not mine then mine = {}; cells[#cells + 1] = metric; cells[#cells + 1] = mine end
    mine[#mine + 1] = '#' .. field % 1024
    mine[#mine + 1] = all[j + 1]
  end
  return found
end

-- Whether strings take less than fields: a string is as long as its metric's highest node.
local function dense_is_smaller(cells)
  local bytes, fields = 0, 0
  for m = 2, #cells, 2 do
    local highest = 0
    for j = 1, #cells[m], 2 do highest = math.max(highest, tonumber(cells[m][j]:sub(2))) end
    bytes = bytes + 100 + 8 * (highest + 1)
    fields = fields + #cells[m] / 2
  end
  return bytes < fields * (fields > SPLIT and FIELD_BYTES or PACKED_BYTES)
end

local function add_bucket(block, offset, cells, ttl)
  if redis.call('GETBIT', block, offset) == 1 then
    if whole then whole.found(at_number, offset) end
    return add_dense(block, offset, cells, ttl)
  end
  local key = block .. ':' .. offset
  local before = redis.pcall('HLEN', key)
  if before == 0 and size_of(cells) > DENSE and dense_is_smaller(cells) then
    redis.call('SETBIT', block, offset, 1)
    if whole then whole.found(at_number, offset) end
    return add_dense(block, offset, cells, ttl)
  end
  add_hash(key, cells, 0)
  if type(before) == 'table' then return end
  if before == 0 and ttl > 0 then redis.call('EXPIRE', key, ttl) end
  local after = redis.call('HLEN', key)
  -- looked at when it passes a limit, and each time it has grown by a half
  local function passes(limit) return before <= limit and after > limit end
  local grown = math.floor(math.log(after) / 0.4) > math.floor(math.log(before) / 0.4)
  if passes(DENSE) or passes(SPLIT) or (after > DENSE and grown) then
    local all = grouped(redis.call('HGETALL', key))[0]
    if dense_is_smaller(all) then
      redis.call('DEL', key)
      redis.call('SETBIT', block, offset, 1)
      if whole then whole.found(at_number, offset) end
      add_dense(block, offset, all, ttl)
    end
  end
end

local function split(block, ttl)
  local all = grouped(redis.call('HGETALL', block))
  redis.call('DEL', block)
  redis.call('SETBIT', block, 0, 0)
  if ttl > 0 then redis.call('EXPIRE', block, ttl) end
  for offset, cells in pairs(all) do add_bucket(block, offset, cells, ttl) end
end

local function add_block(block, buckets, number)
  local ttl = buckets[1]
  at_block, at_number = block, number
  local kind = redis.call('TYPE', block).ok
  if kind == 'none' then
    local fields = 0
    for j = 3, #buckets, 2 do fields = fields + size_of(buckets[j]) end
    if fields > SPLIT then
      redis.call('SETBIT', block, 0, 0)
      if ttl > 0 then redis.call('EXPIRE', block, ttl) end
      kind = 'string'
    end
  end
  if kind == 'string' then
    for j = 2, #buckets, 2 do
      at_offset = buckets[j]
      add_bucket(block, buckets[j], buckets[j + 1], ttl)
    end
  else -- a key of another type loses its own cells only: HINCRBY says so
    for j = 2, #buckets, 2 do
      at_offset = buckets[j]
      add_hash(block, buckets[j + 1], buckets[j] * 65536)
    end
    if kind == 'none' and ttl > 0 then redis.call('EXPIRE', block, ttl) end
    if (kind == 'none' or kind == 'hash') and redis.call('HLEN', block) > SPLIT then split(block, ttl) end
  end
end

local function tell(tallies, keys, pubs)
  for i = 1, #tallies do
    local key, tally = KEYS[keys + i], tallies[i]
    for j = 1, #tally[4], 2 do redis.pcall('HINCRBY', key, tally[4][j], tally[4][j + 1]) end
    local last = tonumber(redis.pcall('HGET', key, 'seq') or -1)
    if last and tally[2] > last then redis.pcall('HSET', key, 'seq', tally[2], 'total', tally[3]) end
    redis.pcall('EXPIRE', key, tally_ttl)
    redis.pcall('ZADD', pubs, now, tally[1])
  end
  if #tallies > 0 then redis.pcall('ZREMRANGEBYSCORE', pubs, '-inf', now - tally_ttl) end
end

local at, all, block = M + D, cmsgpack.unpack(ARGV[2]), 0
for a = 5, #head do
  local tallies, lost, blocks = head[a][1], head[a][2], head[a][3]
  local own = at + #tallies
  faults_key, aside = KEYS[own + 2], KEYS[own + 3]
  tell(tallies, at, KEYS[own + 1])
  for i = 1, #lost, 2 do redis.pcall('HINCRBY', faults_key, lost[i], lost[i + 1]) end
  if whole then whole.write(a - 4, split, fault) end
  for i = 1, blocks do add_block(KEYS[own + 3 + i], all[block + i], block + i) end
  at, block = own + 3 + blocks, block + blocks
end
if whole then return {'ok', faults, whole.others, whole.dense} end
return {'ok', faults}
