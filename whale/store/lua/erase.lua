-- Forgets who a visitor is, in the partition of one of their ids: their number, the bytes of that id, and who they stand for.
-- Their number goes into W:r: from now on nobody reads its records, and compaction leaves them out.
--
-- KEYS[1]  W   ARGV[1]  s of a period (0: for ever)   ARGV[2]  8 bytes of the id's hash   ARGV[3]  ms from now until that holds
-- ARGV[4]  the hashes (16 bytes each) of aliases that were seen to before
-- Returns  {0, hash, ...}: aliases that were not seen to, nothing is written; else {1}
-- Cost     O(1), and one chunk of ids a period.
local W, length, hash, seen_to = KEYS[1], tonumber(ARGV[1]), ARGV[2], ARGV[4]
local g, ends = present(W, '', length)
local row = keep_aliases(W, hash, g, ends > 0 and ends + length or nil)
if row and row:sub(1, 1) == '=' then
  local others = {0}
  for i = 2, #row, 16 do
    local alias, is_known = row:sub(i, i + 15), false
    for j = 1, #seen_to, 16 do is_known = is_known or seen_to:sub(j, j + 15) == alias end
    if not is_known then others[#others + 1] = alias end
  end
  if #others > 1 then return others end
end

local time = call('TIME')
local ms = string.format('%d', time[1] * 1000 + floor(time[2] / 1000) + ARGV[3])
call('HSET', W .. ':g', hash, ms)
call('HINCRBY', W, 'y', 1)
call('HDEL', W .. ':a:' .. g - 1, hash)
if row and row:sub(1, 1) == '=' then call('HDEL', W .. ':a:' .. g, hash)
elseif row then call('HSET', W .. ':a:' .. g, hash, closed(row, ms)) end

local h = struct.unpack('<I4', hash)
local day = tonumber(call('HGET', W, 'dg') or 0) -- of those who are known for a day, see log.lua
for _, period in ipairs({g, g - 1, 'd' .. day, 'd' .. day - 1}) do
  local buckets = tonumber(call('HGET', W, 'b:' .. period) or 0)
  local key = buckets > 0 and W .. ':f:' .. period .. ':' .. bucket(h, buckets, level(buckets))
  local known = key and call('HGET', key, hash)
  if known then
    call('SADD', W .. ':r', (struct.unpack('<I4', known)))
    call('HDEL', key, hash)
    if call('EXISTS', key) == 0 then call('HSET', W, 'l:' .. period, 1) end -- see log.lua
    local chunk = #known > 4 and W .. ':i:' .. period .. ':' .. struct.unpack('<I2', known, 5)
    local ids, at = chunk and call('GET', chunk) or '', 1
    while at <= #ids do
      local size = ids:byte(at + 4)
      if ids:sub(at, at + 3) == known:sub(1, 4) then call('SETRANGE', chunk, at + 4, string.rep('\0', size)) end
      at = at + 5 + size
    end
  end
end
return {1}
