-- Keeps the bytes of hits that cannot be read: each once, and together within the bound; the oldest leave.
--
-- KEYS[1] zset: names by when the hit was accepted, ms   KEYS[2] hash: name -> its bytes; "" -> bytes of all names and hits
-- ARGV    most bytes, ttl s, then of each hit: name, when, bytes
-- Returns how many bytes are kept.
-- Cost: O(log hits that are kept), for each hit that comes or leaves.

local most = tonumber(ARGV[1])
local bytes = tonumber(redis.call('HGET', KEYS[2], '') or 0)
for i = 3, #ARGV, 3 do
  local name, raw = ARGV[i], ARGV[i + 2]
  if redis.call('HSETNX', KEYS[2], name, raw) == 1 then
    redis.call('ZADD', KEYS[1], ARGV[i + 1], name)
    bytes = bytes + #name + #raw
  end
end
while bytes > most do
  local name = redis.call('ZPOPMIN', KEYS[1])[1]
  if not name then break end
  bytes = bytes - #name - redis.call('HSTRLEN', KEYS[2], name)
  redis.call('HDEL', KEYS[2], name)
end
redis.call('HSET', KEYS[2], '', bytes)
for i = 1, 2 do redis.call('EXPIRE', KEYS[i], ARGV[2]) end
return bytes
