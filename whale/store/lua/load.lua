-- What lies in some buckets, for a caller that remembers it, under the stamps of their pks.
--
-- KEYS     D dictionaries; then one block a (pk, interval, block, page)
-- ARGV[1]  msgpack [[token, ...], stamp, [[dictionary from 1, offset, ...], ...]]: a token that each dictionary must know; what becomes
--          the stamp of those that have none; of each block its pk and the buckets
-- Returns  {"stale", i, ...}: these dictionaries do not know their token; {"newer", pk}: see newer.lua; nothing is written
--          {{stamp, ...}, bucket, ...}: of each dictionary its stamp, "" where nothing is worth one; of each bucket
--          {}                    nothing
--          {0}                   a hash, fields of a hash, or a key of another type
--          {2, metric, bytes, ...}  a dense bucket: every metric that it has
-- Cost     one HMGET a dictionary, one TYPE a block, one MGET and EXISTS of 64 names a bucket; bytes through Lua, 10 us for 8 KB.
local ask = cmsgpack.unpack(ARGV[1])
local tokens, stamp, blocks = ask[1], ask[2], ask[3]
local D = #tokens
local METRICS, PAGE_BYTES = 64, 8192

local stamps, refused, worth = {}, {}, {}
for i = 1, D do
  local known = redis.pcall('HMGET', KEYS[i], 'g', 'w')
  if is_later(known[2]) then return newer(KEYS[i]) end
  if not known[1] or not known[1]:find(tokens[i], 1, true) then refused[#refused + 1] = i - 1 end
  stamps[i] = known[2] or ''
end
if #refused > 0 then return {'stale', unpack(refused, 1, math.min(#refused, 1000))} end

-- The strings of a bucket; nothing where one of its keys is no string of slots.
local function strings(key)
  local names = {}
  for m = 1, METRICS do names[m] = key .. ':' .. (m - 1) end
  local bytes, there, found = redis.call('MGET', unpack(names)), 0, {2}
  for m = 1, METRICS do
    if bytes[m] then
      if #bytes[m] % 8 > 0 or #bytes[m] > PAGE_BYTES then return nil end
      there = there + 1
      found[#found + 1] = m - 1
      found[#found + 1] = bytes[m]
    end
  end
  return redis.call('EXISTS', unpack(names)) == there and found or nil
end

local answer = {stamps}
for i = 1, #blocks do
  local block = KEYS[D + i]
  local kind = redis.call('TYPE', block).ok
  for j = 2, #blocks[i] do
    local offset, found = blocks[i][j], {0}
    local key = block .. ':' .. offset
    if kind == 'string' and redis.call('GETBIT', block, offset) == 1 then
      found = strings(key) or found
    elseif (kind == 'string' or kind == 'none') and redis.call('EXISTS', key) == 0 then
      local none = strings(key)
      if none and #none == 1 then found = {} end
    end
    if found[1] ~= 0 then worth[blocks[i][1]] = true end
    answer[#answer + 1] = found
  end
end
for i = 1, D do
  if stamps[i] == '' and worth[i] then
    redis.call('HSET', KEYS[i], 'w', stamp)
    stamps[i] = stamp
  end
end
return answer
