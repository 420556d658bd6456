-- Makes marks on one shard: names of distinct counts, and the value that stays of a min, max or last. Made twice they are as made once.
--
-- KEYS     D dictionaries, one a pk; the shard's resets; D sets of the nodes that have distinct counts, "node:metric"; the shard's
--          faults; then a hash a (pk, interval, block, page), one for each metric and bucket; then what the HyperLogLogs of each row begin with
-- ARGV[1]  msgpack [[token, ...], most nodes of a set, hashes, rows, names]: a token that each dictionary, and the resets, must know
--          hashes: one each: [ttl or 0, offset, [metric, kind, ["#node", text, ...]]]
--          text: decimal millionths; of a last 43 characters that sort as times do (time, publisher, seq, position) stand before it
--          rows: one a (pk, metric): [dictionary from 1, metric, [ttl or 0 of each bucket], [node, [which name from 1, ...], node, ...]]
-- Returns  {"stale", i, ...}: these dictionaries, or the resets (D), do not know their token, nothing is written; {"newer", pk}: see
--          newer.lua, nothing is written; else {"ok"}
-- Cost     one HMGET and at most one HSET a hash; one SISMEMBER a node, one PFADD a HyperLogLog; at most 1,000 values or names each,
--          since Lua's stack is short.
local ask = cmsgpack.unpack(ARGV[1])
local tokens, most, hashes, rows, names = ask[1], ask[2], ask[3], ask[4], ask[5]
local D = #tokens - 1

local refused = {}
for i = 1, D + 1 do
  local known = redis.pcall('HMGET', KEYS[i], 'g', 'w')
  if is_later(known[2]) then return newer(KEYS[i]) end
  if not known[1] or not known[1]:find(tokens[i], 1, true) then refused[#refused + 1] = i - 1 end
end
if #refused > 0 then return {'stale', unpack(refused, 1, math.min(#refused, 1000))} end

local faults = KEYS[2 * D + 2]
local failed  -- where Redis takes no writes: the same marks are made again, and none is lost
local function fault(times, reply)
  if not reply.err:find('WRONGTYPE', 1, true) and not reply.err:find('INVALIDOBJ', 1, true) then failed = reply end
  if not failed then redis.pcall('HINCRBY', faults, 'wrong_type', times) end
end

local function stays(kind, one, other)
  if kind == 'min' then return tonumber(one) <= tonumber(other) end
  if kind == 'max' then return tonumber(one) >= tonumber(other) end
  local a, b = one:sub(1, 43), other:sub(1, 43)
  return a > b or (a == b and tonumber(one:sub(44)) >= tonumber(other:sub(44)))
end

local function keep(key, ttl, base, kind, mine)
  local fields, new = {}, {}
  for j = 1, #mine, 2 do fields[#fields + 1] = base + tonumber(mine[j]:sub(2)) end
  local known = redis.pcall('HMGET', key, unpack(fields))
  if known.err then return fault(#fields, known) end
  for i = 1, #fields do
    if not known[i] or not stays(kind, known[i], mine[2 * i]) then
      new[#new + 1] = fields[i]
      new[#new + 1] = mine[2 * i]
    end
  end
  if #new == 0 then return end
  redis.call('HSET', key, unpack(new))
  if ttl > 0 then redis.call('EXPIRE', key, ttl) end
end

for i = 1, #hashes do
  local key, ttl, offset, values = KEYS[2 * D + 2 + i], hashes[i][1], hashes[i][2], hashes[i][3]
  keep(key, ttl, offset * 65536 + values[1] * 1024, values[2], values[3])
end

local at = 2 * D + 2 + #hashes
for i = 1, #rows do
  local set, metric, ttls, nodes = KEYS[D + 1 + rows[i][1]], rows[i][2], rows[i][3], rows[i][4]
  for n = 1, #nodes, 2 do
    local member, which = nodes[n] .. ':' .. metric, nodes[n + 1]
    local known = redis.pcall('SISMEMBER', set, member)
    if known == 0 and redis.call('SCARD', set) < most then known = redis.call('SADD', set, member) end
    if type(known) == 'table' then
      fault(#ttls, known)
    elseif known == 1 then
      for j = 1, #which do which[j] = names[which[j]] end
      for j = 1, #ttls do
        local key = KEYS[at + j] .. ':' .. member
        local reply = redis.pcall('PFADD', key, unpack(which))
        if type(reply) == 'table' then
          fault(1, reply)
        elseif reply == 1 and ttls[j] > 0 then -- else it was there before
          redis.call('EXPIRE', key, ttls[j])
        end
      end
    end
  end
  at = at + #ttls
end
return failed or {'ok'}
