-- Adds to a talk, forgets what is past its bounds, and the talks that were silent for longest.
--
-- KEYS[1] list: a talk, each "ID SIDE WORD JSON"   KEYS[2] zset: talks of the account, NAME and what it is of, by ms of the last word
-- KEYS[3] zset: those of them in which the site said nothing yet: they go first, so that strangers push nothing out that was said to others
-- ARGV[1] NAME, 16 letters, of the talk   ARGV[2] what it is of   ARGV[3] side, v or s   ARGV[4] word, or empty   ARGV[5] JSON
-- ARGV[6] most bytes of a talk   ARGV[7] seconds for which it is kept   ARGV[8] most talks   ARGV[9] what names of talks begin with
-- Returns  the id: of what was said by the same word before, else a new one; greater than all before, about the time in ms
-- Cost     one read of the talk; two commands for each talk that goes
local name, of, side, word, data = unpack(ARGV, 1, 5)
local most, kept, talks = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local said, last, bytes = redis.call('LRANGE', KEYS[1], 0, -1), 0, 0
for _, each in ipairs(said) do
  local id, its_side, its_word = each:match('^(%d+) (%l) (%S*) ')
  if word ~= '' and its_word == word and its_side == side then return id end
  last, bytes = tonumber(id), bytes + #each
end
local id = string.format('%.0f', math.max(now, last + 1))
local text = id .. ' ' .. side .. ' ' .. word .. ' ' .. data
local gone = 0
while gone < #said and bytes + #text > most do
  gone = gone + 1
  bytes = bytes - #said[gone]
end
if gone > 0 then redis.call('LTRIM', KEYS[1], gone, -1) end
redis.call('RPUSH', KEYS[1], text)
redis.call('EXPIRE', KEYS[1], kept)
local is_unanswered = last == 0 or redis.call('ZREM', KEYS[3], name .. of) == 1
redis.call('ZADD', KEYS[2], now, name .. of)
if side == 'v' and is_unanswered then redis.call('ZADD', KEYS[3], now, name .. of) end
for i = 2, 3 do
  redis.call('EXPIRE', KEYS[i], kept)
  redis.call('ZREMRANGEBYSCORE', KEYS[i], 0, now - kept * 1000)
end
while redis.call('ZCARD', KEYS[2]) > talks do
  local oldest = redis.call('ZRANGE', KEYS[3], 0, 0)[1]
  if not oldest or oldest == name .. of then oldest = redis.call('ZRANGE', KEYS[2], 0, 0)[1] end
  redis.call('ZREM', KEYS[2], oldest)
  redis.call('ZREM', KEYS[3], oldest)
  redis.call('DEL', ARGV[9] .. oldest:sub(1, 16))
end
return id
