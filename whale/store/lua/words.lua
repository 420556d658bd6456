-- Which tail, frozen tail and index of parts a partition of the visitor log has. Where these words are the same, so is what was read by them.
--
-- KEYS[1]  W
-- Returns  the random words of the three, or false
-- Cost     one HMGET.
return redis.call('HMGET', KEYS[1], 'e', 'z', 'x')
