-- Keeps one detail record of a user, under its time, or under the next microsecond that is free.
--
-- KEYS     of one event: user -> how many records, and "" -> all of them; the records of this user, microsecond -> JSON
-- ARGV     user, microseconds since the epoch, JSON, the most records of an event, the most of a user at one time
-- Returns  1; 0: the event is full; -1: so many records have this time; then nothing is written
-- Cost     four calls, and one a record that has this time.
if tonumber(redis.call('HGET', KEYS[1], '') or 0) >= tonumber(ARGV[4]) then return 0 end
for later = 0, tonumber(ARGV[5]) - 1 do
  if redis.call('HSETNX', KEYS[2], string.format('%.0f', ARGV[2] + later), ARGV[3]) == 1 then
    redis.call('HINCRBY', KEYS[1], '', 1)
    redis.call('HINCRBY', KEYS[1], ARGV[1], 1)
    return 1
  end
end
return -1
