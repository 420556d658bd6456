-- Forgets values of properties that no record has any more. Their numbers are not given again.
--
-- KEYS[1]  W
-- ARGV[1], ARGV[2], ARGV[3]  the words of the tail, the frozen tail and the index (false: "") by which the caller looked for records
-- ARGV[4]  how long the tail was then   ARGV[5], ARGV[6], ...  a code of W:v (4 bytes), and its field in W:c where no record has it, else ""
-- Returns  1; 0, with nothing written: something was packed meanwhile, or much was logged
-- Cost     what was logged meanwhile, at most MOST records, and 2 calls a code.
local RECORD, MOST = 14, 10000
local W, call = KEYS[1], redis.call
local words = call('HMGET', W, 'e', 'z', 'x')
for i = 1, 3 do
  if (words[i] or '') ~= ARGV[i] then return 0 end
end
local since = tonumber(ARGV[4])
if call('STRLEN', W .. ':t') > since + MOST * RECORD then return 0 end
local later, used = call('GETRANGE', W .. ':t', since, -1), {}
for i = 1, #later, RECORD do used[later:sub(i + 10, i + 13)] = true end
for i = 5, #ARGV, 2 do
  if ARGV[i + 1] ~= '' and not used[ARGV[i]] then call('HDEL', W .. ':c', ARGV[i + 1]) end
  call('SREM', W .. ':v', string.format('%d', (struct.unpack('<I4', ARGV[i]))))
end
return 1
