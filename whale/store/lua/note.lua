-- Keeps a note on the time axis, unless its id is taken; makes room by forgetting those with the earliest time.
--
-- KEYS[1] hash: id -> ms, a space, JSON   KEYS[2] zset: ids by ms
-- ARGV[1] id   ARGV[2] ms   ARGV[3] JSON   ARGV[4] 1 where the time was given   ARGV[5] most notes
-- Returns  1 where it is kept, or was already; 0 where the id has another note.
-- Cost     O(log notes), and two fields for each one that goes.
local id, at, content, timed, most = unpack(ARGV)
local found = redis.call('HGET', KEYS[1], id)
if found then
  local written, text = found:match('^(%S+) (.*)$')
  return (text == content and (timed == '0' or written == at)) and 1 or 0
end
local surplus = redis.call('ZCARD', KEYS[2]) - tonumber(most) + 1
if surplus > 0 then
  local gone = redis.call('ZPOPMIN', KEYS[2], surplus)
  for i = 1, #gone, 2 do redis.call('HDEL', KEYS[1], gone[i]) end
end
redis.call('HSET', KEYS[1], id, at .. ' ' .. content)
redis.call('ZADD', KEYS[2], at, id)
return 1
