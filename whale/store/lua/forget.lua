-- Forgets that visitors of a partition were erased, where no hit of them may come any more.
--
-- KEYS[1]  W   ARGV[1]  ms: those that hold until a time before it
-- Returns  how many
-- Cost     O(erased visitors).
local erased, gone = redis.call('HGETALL', KEYS[1] .. ':g'), 0
for i = 1, #erased, 2 do
  if tonumber(erased[i + 1]) < tonumber(ARGV[1]) then
    gone = gone + redis.call('HDEL', KEYS[1] .. ':g', erased[i])
  end
end
return gone
