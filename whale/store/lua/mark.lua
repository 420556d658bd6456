-- Makes marks on one shard: names of distinct counts, and the value that stays of a min, max or last. Made twice they are as made once.
--
-- KEYS     D dictionaries, one a pk; the shard's resets; D sets of the nodes that have distinct counts, "node:metric"; the shard's
--          faults; then one hash a (pk, interval, block, page) of values; then one HyperLogLog a (pk, interval, bucket, node, metric)
-- ARGV[1]  msgpack [[token, ...], most nodes of a set, hashes, names]: a token that each dictionary, and the resets, must know
--          hashes: one each: [ttl or 0, field, kind, text, field, kind, text, ...]; names: one each: [dictionary from 1, member, ttl or 0, name, ...]
--          text: decimal millionths; of a last 43 characters that sort as times do (time, publisher, seq, position) stand before it
-- Returns  {"stale", i, ...}: these dictionaries, or the resets (D), do not know their token, nothing is written; else {"ok"}
-- Cost     one HGET and at most one HSET a value; one SISMEMBER and PFADD a HyperLogLog.
local ask = cmsgpack.unpack(ARGV[1])
local tokens, most, hashes, names = ask[1], ask[2], ask[3], ask[4]
local D = #tokens - 1

local refused = {}
for i = 1, D + 1 do
  local known = redis.pcall('HGET', KEYS[i], 'g')
  if type(known) ~= 'string' or not known:find(tokens[i], 1, true) then refused[#refused + 1] = i - 1 end
end
if #refused > 0 then return {'stale', unpack(refused, 1, math.min(#refused, 1000))} end

local faults = KEYS[2 * D + 2]
local function fault() redis.pcall('HINCRBY', faults, 'wrong_type', 1) end

local function stays(kind, one, other)
  if kind == 'min' then return tonumber(one) <= tonumber(other) end
  if kind == 'max' then return tonumber(one) >= tonumber(other) end
  local a, b = one:sub(1, 43), other:sub(1, 43)
  return a > b or (a == b and tonumber(one:sub(44)) >= tonumber(other:sub(44)))
end

for i = 1, #hashes do
  local key, row = KEYS[2 * D + 2 + i], hashes[i]
  for j = 2, #row, 3 do
    local known = redis.pcall('HGET', key, row[j])
    if type(known) == 'table' then
      fault()
    elseif not known or not stays(row[j + 1], known, row[j + 2]) then
      redis.call('HSET', key, row[j], row[j + 2])
    end
  end
  if row[1] > 0 then redis.call('EXPIRE', key, row[1]) end
end

for i = 1, #names do
  local key, row = KEYS[2 * D + 2 + #hashes + i], names[i]
  local set = KEYS[D + 1 + row[1]]
  local known = redis.pcall('SISMEMBER', set, row[2])
  if known == 0 and redis.call('SCARD', set) < most then known = redis.call('SADD', set, row[2]) end
  if type(known) == 'table' then
    fault()
  elseif known == 1 then
    local reply = redis.pcall('PFADD', key, unpack(row, 4))
    if type(reply) == 'table' then fault() elseif row[3] > 0 then redis.call('EXPIRE', key, row[3]) end
  end
end
return {'ok'}
