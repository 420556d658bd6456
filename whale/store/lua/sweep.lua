-- Frees a little of what resets left: fields of a dictionary that nobody reaches, or cells under abandoned numbers.
--
-- KEYS     a dictionary; "hash": and a block, bucket or values of its pk, as a hash; "dense": and the slots of one metric
-- ARGV     "fields", the generation, a new token or empty, field, ...; or "hash" or "dense", msgpack [node, ...] (numbers below 1,024)
-- Returns  how many fields or slots are gone; -1 where the dictionary has another generation; {"newer", pk}: see newer.lua
-- Cost     one HMGET; one HDEL a call of "fields"; the fields of one hash; one BITFIELD a 1,000 slots.
--
-- Abandoned numbers are never given to another path of the same generation, so it is safe at any time, and twice.
local verb = ARGV[1]
local generation, later = unpack(redis.call('HMGET', KEYS[1], 'gen', 'w'))
if is_later(later) then return newer(KEYS[1]) end
if verb == 'fields' then
  local key = KEYS[1]
  if (generation or '') ~= ARGV[2] then return -1 end
  local gone, nodes, bins = 0, 0, 0
  for i = 4, #ARGV do
    if redis.call('HDEL', key, ARGV[i]) == 1 then
      gone = gone + 1
      local first, colon = ARGV[i]:sub(1, 1), ARGV[i]:find(':', 1, true)
      if first == 'q' then -- "q<parent>:<metric>:<bin>"
        if ARGV[i]:match('([^:]*)$') ~= '__other__' then bins = bins + 1 end
      elseif first ~= 'r' and colon and ARGV[i]:sub(colon + 1) ~= '__other__' then
        nodes = nodes + 1
      end
    end
  end
  if nodes > 0 then redis.call('HINCRBY', key, 'c', -nodes) end
  if bins > 0 then redis.call('HINCRBY', key, 'b', -bins) end
  if ARGV[3] ~= '' then redis.call('HSET', key, 'g', ARGV[3]) end
  return gone
end
local key, wanted = KEYS[2], cmsgpack.unpack(ARGV[2])
if verb == 'hash' then
  if redis.call('TYPE', key).ok ~= 'hash' then return 0 end
  local abandoned = {}
  for i = 1, #wanted do abandoned[wanted[i]] = true end
  local fields, gone = redis.call('HKEYS', key), 0
  for i = 1, #fields do
    if abandoned[tonumber(fields[i]) % 1024] then gone = gone + redis.call('HDEL', key, fields[i]) end
  end
  if gone > 0 then unstamp(KEYS[1], later) end
  return gone
end
local size = redis.call('STRLEN', key)
local args = {}
for i = 1, #wanted do
  if wanted[i] * 8 + 8 <= size then
    args[#args + 1] = 'SET'; args[#args + 1] = 'i64'; args[#args + 1] = '#' .. wanted[i]; args[#args + 1] = 0
  end
end
for first = 1, #args, 4000 do redis.call('BITFIELD', key, unpack(args, first, math.min(first + 3999, #args))) end
local is_empty = size > 0 and redis.call('BITPOS', key, 1) == -1
if is_empty then redis.call('UNLINK', key) end
if is_empty or #args > 0 then unstamp(KEYS[1], later) end
return #args / 4
