-- Notes something of a decision, once.
--
-- KEYS[1] hash: the decision   ARGV[1] field   ARGV[2] value
-- Returns  {text, digest of the reward, whether it was counted} as it is then; false where there is no such decision.
-- Cost     O(1).
if redis.call('HEXISTS', KEYS[1], 't') == 0 then return false end
redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2])
return redis.call('HMGET', KEYS[1], 't', 'r', 'd')
