-- Notes that a reward was counted.
--
-- KEYS[1]  hash: the decision   ARGV[1] field of the reward   ARGV[2] its digest
-- Returns  nothing.
-- Cost     O(1).
local known = redis.call('HGET', KEYS[1], ARGV[1])
if not known or known:sub(1, #ARGV[2]) ~= ARGV[2] then return false end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if ARGV[1] == 'r' then redis.call('HSET', KEYS[1], 'd', 1) end
return false
