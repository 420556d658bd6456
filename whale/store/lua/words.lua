-- Which tail, frozen tail and index of parts a partition of the visitor log has, in which run of the server. Where all of this is the same,
-- so is what was read by it; names are then more at most, and a tail longer. And how many tails were frozen, and how many ids erased.
--
-- KEYS[1]  W
-- Returns  the run, the random words of the three, and the two numbers; false for what there is none of
-- Cost     one HMGET and one INFO, 20 us.
local words = redis.call('HMGET', KEYS[1], 'e', 'z', 'x', 'k', 'y')
return {redis.call('INFO', 'server'):match('run_id:(%x+)'), words[1], words[2], words[3], words[4], words[5]}
