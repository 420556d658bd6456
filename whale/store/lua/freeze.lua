-- Sets the tail of a partition of the visitor log aside for compaction. Who logs goes on in a new one.
--
-- KEYS[1]  W   ARGV[1]  least bytes   ARGV[2]  a random word, of the new tail
-- Returns  {word of the frozen tail, its bytes}; or, where there is none and the tail is shorter, {}
-- Cost     O(1): a RENAME.
local W, call = KEYS[1], redis.call
if call('EXISTS', W .. ':z') == 0 then
  if call('STRLEN', W .. ':t') < math.max(1, tonumber(ARGV[1])) then return {} end
  call('RENAME', W .. ':t', W .. ':z')
  call('HSET', W, 'z', call('HGET', W, 'e') or '', 'e', ARGV[2])
  call('HINCRBY', W, 'k', 1)
end
return {call('HGET', W, 'z'), call('STRLEN', W .. ':z')}
