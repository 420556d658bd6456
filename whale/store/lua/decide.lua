-- Keeps a decision, and gives it to its visitor, unless the visitor has one already; forgets the oldest past the bound.
--
-- KEYS[1] zset: decisions of this shard by when   KEYS[2] hashes: KEYS[2]:<nonce>   KEYS[3] visitors' strings: KEYS[3]:<hash>
-- ARGV[1] msgpack: [nonce, text, now, kept s, sticky s, most, hash of the visitor or "", nonce that may be replaced or ""]
-- Returns  {} where it is kept, else {nonce, text} of the one that the visitor has.
-- Cost     O(log decisions), and two keys for each one that leaves.
local ask = cmsgpack.unpack(ARGV[1])
local nonce, text, now, kept, sticky, most, visitor, instead = unpack(ask)

if visitor ~= '' then
  local key = KEYS[3] .. ':' .. visitor
  local other = redis.call('GET', key)
  if other and other ~= instead then
    local found = redis.call('HGET', KEYS[2] .. ':' .. other, 't')
    if found then return {other, found} end
  end
  redis.call('SET', key, nonce, 'EX', sticky)
end
redis.call('HSET', KEYS[2] .. ':' .. nonce, 't', text)
redis.call('EXPIRE', KEYS[2] .. ':' .. nonce, kept)
redis.call('ZADD', KEYS[1], now, nonce .. ' ' .. visitor)
redis.call('EXPIRE', KEYS[1], kept)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - kept)
local surplus = redis.call('ZCARD', KEYS[1]) - most
if surplus > 0 then
  local gone = redis.call('ZPOPMIN', KEYS[1], surplus)
  for i = 1, #gone, 2 do
    local old, whose = gone[i]:match('^(%S+) (.*)$')
    redis.call('DEL', KEYS[2] .. ':' .. old)
    local key = KEYS[3] .. ':' .. whose
    if whose ~= '' and redis.call('GET', key) == old then redis.call('DEL', key) end
  end
end
return {}
