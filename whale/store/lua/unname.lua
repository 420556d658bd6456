-- Forgets values of properties that no record has any more. Their numbers are not given again.
--
-- KEYS[1]  W
-- ARGV[1], ARGV[2], ARGV[3]  the words of the tail, the frozen tail and the index (false: "") by which the caller looked for records
-- ARGV[4]  how long the tail was then   ARGV[5]  a random word, of the index: who remembers names by it has to read them anew
-- ARGV[6], ARGV[7], ...  a code of W:v (4 bytes), and its field in W:c where no record has it, else ""
-- Returns  1; 0, with nothing written: something was packed meanwhile, or much was logged
-- Cost     what was logged meanwhile, at most MOST records, and 2 calls a code.
local RECORD, PLACED, BLOCK, MOST = 14, 10, 4294967295, 10000
local W, call = KEYS[1], redis.call
local words = call('HMGET', W, 'e', 'z', 'x')
for i = 1, 3 do
  if (words[i] or '') ~= ARGV[i] then return 0 end
end
local since = tonumber(ARGV[4])
if call('STRLEN', W .. ':t') > since + MOST * RECORD then return 0 end
local later, used, at = call('GETRANGE', W .. ':t', since, -1), {}, 1
while at <= #later do -- see whale/visitors/tail.py
  local visitor, _, rows, names, count = struct.unpack('<I4I2I2I2I4', later, at)
  if visitor == BLOCK then
    local first = at + RECORD + 4 * rows
    at = first + 4 * names
    for i = first, at - 1, 4 do used[later:sub(i, i + 3)] = true end
    at = at + PLACED * count
  else
    used[later:sub(at + 10, at + 13)] = true
    at = at + RECORD
  end
end
for i = 6, #ARGV, 2 do
  if ARGV[i + 1] ~= '' and not used[ARGV[i]] then call('HDEL', W .. ':c', ARGV[i + 1]) end
  call('SREM', W .. ':v', string.format('%d', (struct.unpack('<I4', ARGV[i]))))
end
call('HSET', W, 'x', ARGV[5])
return 1
