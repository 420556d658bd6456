-- The record of a site's log: looks at it, or puts another one in its place, where it is what was seen and the time is not over.
--
-- KEYS[1] hash: site -> JSON   ARGV[1] site   ARGV[2] what was seen, "" for none   ARGV[3] what is to be there, "" for nothing   ARGV[4] ms by which
-- Returns  with one argument {ms now, the record or ""}; else 1, or 0 with nothing written
-- Cost     O(1).
local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)
local known = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if #ARGV == 1 then return {ms, known} end
if known ~= ARGV[2] or ms > tonumber(ARGV[4]) then return 0 end
if ARGV[3] == '' then redis.call('HDEL', KEYS[1], ARGV[1]) else redis.call('HSET', KEYS[1], ARGV[1], ARGV[3]) end
return 1
