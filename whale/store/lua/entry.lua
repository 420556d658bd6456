-- Adds, changes or removes one entry of the directory of accounts; counts the version up, and notes it in the journal.
--
-- KEYS[1] hash: state   KEYS[2] hash: name -> id   KEYS[3] begins the hash of an account's entries: ":ID" is appended
-- KEYS[4] hash: hash of a secret -> id, a space, id of the key   KEYS[5] zset: changes   KEYS[6] zset: gone   KEYS[7] list: journal
-- KEYS[8] set: ids that were removed   KEYS[9] zset: ids whose data is to be freed   KEYS[10] begins the hash of keys
-- and sites that an account had: ":ID" is appended   KEYS[11] begins the string of such a key: ":" and the hash of its secret are appended
-- ARGV[1] add, change, remove   ARGV[2] id   ARGV[3] field: a, u:NAME, s:PK, k:KEY   ARGV[4] new entry   ARGV[5] entry that was seen
-- ARGV[6] act   ARGV[7] most of its kind   ARGV[8] name of the account, or hash of the key, or ""   ARGV[9] the id that is always there
-- ARGV[10] most that are gone   ARGV[11] most acts   ARGV[12] ms of now   ARGV[13] seconds that removed keys and sites are
-- known   ARGV[14] most of these of an account
-- Returns  done; or, with nothing written: account (is not there), taken, retired, full, none, meanwhile (it was changed)
-- Cost     O(1); to add also O(entries of the account), to remove a key or a site O(those that were removed before), at
-- most 1,000, and to remove an account O(all of these), at most 4,000.
local op, id, field, new, seen, act, most, word, default = unpack(ARGV)
local key, member, kind = KEYS[3] .. ':' .. id, id .. ' ' .. field, field:sub(1, 1)
local removed = KEYS[10] .. ':' .. id
local found = redis.call('HGET', key, field)

local function name_taken()
  return word == default or redis.call('HEXISTS', KEYS[2], word) == 1
end

local function forget(name, text)
  redis.call('HDEL', removed, name)
  if name:sub(1, 1) == 'k' then redis.call('DEL', KEYS[11] .. ':' .. cjson.decode(text:match('{.*')).hash) end
end

-- A key, or a site, is known for a while after it is gone: hits that were accepted before may come, or come again.
local function remember(text)
  local now, kept, all = tonumber(ARGV[12]), tonumber(ARGV[13]), redis.call('HGETALL', removed)
  local first, first_at, count = nil, nil, 0
  for i = 1, #all, 2 do
    local at = tonumber(all[i + 1]:match('^%-?%d+'))
    if at + 1000 * kept < now then
      forget(all[i], all[i + 1])
    else
      count = count + 1
      if not first_at or at < first_at then first, first_at = i, at end
    end
  end
  if count >= tonumber(ARGV[14]) then forget(all[first], all[first + 1]) end
  redis.call('HSET', removed, field, ARGV[12] .. text)
  redis.call('EXPIRE', removed, kept)
  if kind == 'k' then redis.call('SET', KEYS[11] .. ':' .. cjson.decode(text).hash, id .. ' ' .. field:sub(3), 'EX', kept) end
end

if op == 'add' then
  local count = 0
  if kind == 'a' then
    if name_taken() then return 'taken' end
    if id == default or found or redis.call('SISMEMBER', KEYS[8], id) == 1 then return 'retired' end
    count = redis.call('HLEN', KEYS[2]) + 1  -- with the one that is always there
  else
    if id ~= default and redis.call('HEXISTS', key, 'a') == 0 then return 'account' end
    if found or (kind == 'k' and redis.call('HEXISTS', KEYS[4], word) == 1) then return 'taken' end
    for _, name in ipairs(redis.call('HKEYS', key)) do
      if name:sub(1, 1) == kind then count = count + 1 end
    end
  end
  if count >= tonumber(most) then return 'full' end
  redis.call('HSET', key, field, new)
  local before = redis.call('HGET', removed, field)
  if before then forget(field, before) end
  if kind == 'a' then redis.call('HSET', KEYS[2], word, id) end
  if kind == 'k' then redis.call('HSET', KEYS[4], word, id .. ' ' .. field:sub(3)) end
elseif not found then
  return 'none'
elseif op == 'change' then
  if found ~= seen then return 'meanwhile' end
  if kind == 'a' then
    local before = cjson.decode(found).name
    if before ~= word then
      if name_taken() then return 'taken' end
      redis.call('HDEL', KEYS[2], before)
      redis.call('HSET', KEYS[2], word, id)
    end
  end
  redis.call('HSET', key, field, new)
elseif kind == 'a' then
  local entries = redis.call('HGETALL', key)
  for i = 1, #entries, 2 do
    if entries[i]:sub(1, 2) == 'k:' then redis.call('HDEL', KEYS[4], cjson.decode(entries[i + 1]).hash) end
    redis.call('ZREM', KEYS[5], id .. ' ' .. entries[i])
  end
  local gone = redis.call('HGETALL', removed)
  for i = 1, #gone, 2 do forget(gone[i], gone[i + 1]) end
  redis.call('HDEL', KEYS[2], cjson.decode(found).name)
  redis.call('UNLINK', key, removed)
  redis.call('SADD', KEYS[8], id)
  redis.call('ZADD', KEYS[9], 0, id)
else
  if kind == 'k' then redis.call('HDEL', KEYS[4], cjson.decode(found).hash) end
  redis.call('HDEL', key, field, 'l:' .. field:sub(3))
  if kind ~= 'u' then remember(kind == 'k' and ' ' .. found or '') end
end

redis.call('LPUSH', KEYS[7], act)
redis.call('LTRIM', KEYS[7], 0, tonumber(ARGV[11]) - 1)
if kind == 'u' then return 'done' end
local version = redis.call('HINCRBY', KEYS[1], 'version', 1)
redis.call('ZREM', op == 'remove' and KEYS[5] or KEYS[6], member)
redis.call('ZADD', op == 'remove' and KEYS[6] or KEYS[5], version, member)
local surplus = redis.call('ZCARD', KEYS[6]) - tonumber(ARGV[10])
if surplus > 0 then
  local popped = redis.call('ZPOPMIN', KEYS[6], surplus)
  redis.call('HSET', KEYS[1], 'since', popped[#popped])
end
return 'done'
