-- Claims hit ids for their messages: the first to claim an id owns it for the window.
--
-- KEYS     the current slice of the dedupe window, then the older ones; each is a counter, its hashes are KEYS[i]:<bucket>
-- ARGV[1]  msgpack [ttl, most, bucket, fingerprint, owner, bucket, fingerprint, owner, ...]
-- Returns  positions (from 0) of ids that another message owns.
-- Cost     one HGET an id and live slice, two writes for a new one. Past `most` ids in a slice nothing new is remembered.
local ask = cmsgpack.unpack(ARGV[1])
local ttl, most = ask[1], ask[2]
local current, live = KEYS[1], {}
for i = 1, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 1 then live[#live + 1] = KEYS[i] end
end
local count = tonumber(redis.call('GET', current) or 0)
local fresh, taken = 0, {}
if live[1] ~= current then table.insert(live, 1, current) end
for i = 3, #ask, 3 do
  local bucket, id, owner = ask[i], ask[i + 1], ask[i + 2]
  local found
  for k = 1, #live do
    found = redis.call('HGET', live[k] .. ':' .. bucket, id)
    if found then break end
  end
  if found then
    if found ~= owner then taken[#taken + 1] = i / 3 - 1 end
  elseif count + fresh < most then
    local key = current .. ':' .. bucket
    redis.call('HSET', key, id, owner)
    if redis.call('HLEN', key) == 1 then redis.call('EXPIRE', key, ttl) end
    fresh = fresh + 1
  end
end
if fresh > 0 then
  redis.call('INCRBY', current, fresh)
  if count == 0 then redis.call('EXPIRE', current, ttl) end
end
return taken
