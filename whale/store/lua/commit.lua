-- Ends a compaction: parts that are made of a frozen tail, or of none, and of older parts take the place of these. Or nothing happens.
--
-- KEYS[1]  W
-- ARGV[1]  the word of the frozen tail, or ""   ARGV[2]  a random word, of the new index   ARGV[3]  s that the frozen tail stays readable
-- ARGV[4]  msgpack [[ids of the parts that go], [codes of values of which records go with them]]
--          then id and row of the index, of each new part; its bytes are there, and expire
-- Returns  1; 0, with nothing written: the frozen tail or one of the old parts is gone, since another one was first, or a new one has expired
-- Cost     3 calls a part, and one a code.
local W, call, word = KEYS[1], redis.call, ARGV[1]
local dead, codes = unpack(cmsgpack.unpack(ARGV[4]))
if word ~= '' and (call('EXISTS', W .. ':z') == 0 or call('HGET', W, 'z') ~= word) then return 0 end
for _, id in ipairs(dead) do
  if call('HEXISTS', W .. ':x', id) == 0 then return 0 end
end
for i = 5, #ARGV, 2 do
  if call('EXISTS', W .. ':b:' .. ARGV[i]) == 0 then return 0 end
end
for _, id in ipairs(dead) do
  call('HDEL', W .. ':x', id)
  call('UNLINK', W .. ':b:' .. id)
end
for _, code in ipairs(codes) do call('SADD', W .. ':v', code) end
for i = 5, #ARGV, 2 do
  call('HSET', W .. ':x', ARGV[i], ARGV[i + 1])
  call('PERSIST', W .. ':b:' .. ARGV[i])
end
if word ~= '' then
  call('RENAME', W .. ':z', W .. ':o:' .. word)
  call('EXPIRE', W .. ':o:' .. word, ARGV[3])
  call('HDEL', W, 'z')
end
call('HSET', W, 'x', ARGV[2])
return 1
