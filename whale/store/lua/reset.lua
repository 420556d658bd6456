-- Forgets a pk's dictionary, or one node of it and what is below, so that readers and workers see at once that it is gone.
--
-- KEYS[1]  the dictionary, see intern.lua; "gen" names the generation of its blocks
-- ARGV     "all", the generation it has, the next one; or "node", the generation, a new token, its number, its parent's, its name
-- Returns  1; 0 where it is no longer so: look again; {"newer", pk}: see newer.lua, nothing is written
-- Cost     a few calls. What it leaves is freed later, in small steps: see sweep.py.
--
-- No token of before is known after it: so a worker asks again by name before it writes, and never writes under an abandoned number.
local key = KEYS[1]
local generation, later = unpack(redis.call('HMGET', key, 'gen', 'w'))
if is_later(later) then return newer(key) end
if (generation or '') ~= ARGV[2] then return 0 end
if ARGV[1] == 'all' then
  redis.call('UNLINK', key)
  redis.call('HSET', key, 'gen', ARGV[3])
  return 1
end
local token, number, parent, name = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local field = parent .. ':' .. name
if redis.call('HGET', key, field) ~= number then return 0 end
redis.call('HDEL', key, field)
if name ~= '__other__' then
  local nxt, stop, children, size = redis.call('HGET', key, 'r' .. parent):match('(%d+) (%d+) (%d+) (%d+)')
  redis.call('HSET', key, 'r' .. parent, nxt .. ' ' .. stop .. ' ' .. (children - 1) .. ' ' .. size)
  redis.call('HINCRBY', key, 'c', -1)
end
redis.call('HSET', key, 'g', token)
return 1
