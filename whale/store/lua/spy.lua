-- Keeps the newest traces: of the account, and of each visitor; and no more visitors than the bound.
--
-- KEYS[1] list: what was counted   KEYS[2] list: what was accepted and was not   KEYS[3] zset: visitors by when they were last
-- heard of; a visitor's list is KEYS[3]:<id>   KEYS[4] list: what was refused
-- ARGV[1] msgpack: [kept, ttl s, most visitors, now, counted, others, refused, id, traces, id, traces, ...]
-- Cost: O(traces), plus O(visitors that leave).

local ask = cmsgpack.unpack(ARGV[1])
local kept, ttl, most, now = ask[1], ask[2], ask[3], ask[4]

local function keep(key, traces)
  if #traces > 0 then
    redis.call('RPUSH', key, unpack(traces))
    redis.call('LTRIM', key, -kept, -1)
    redis.call('EXPIRE', key, ttl)
  end
end

keep(KEYS[1], ask[5])
keep(KEYS[2], ask[6])
keep(KEYS[4], ask[7])
for i = 8, #ask, 2 do
  keep(KEYS[3] .. ':' .. ask[i], ask[i + 1])
  redis.call('ZADD', KEYS[3], now, ask[i])
end
if #ask > 7 then
  redis.call('EXPIRE', KEYS[3], ttl)
  local surplus = redis.call('ZCARD', KEYS[3]) - most
  if surplus > 0 then
    local gone = redis.call('ZPOPMIN', KEYS[3], surplus)
    for i = 1, #gone, 2 do
      redis.call('DEL', KEYS[3] .. ':' .. gone[i])
    end
  end
end
