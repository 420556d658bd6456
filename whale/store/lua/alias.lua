-- Who is whom, in one partition of a visitor log. A row of W:a is a visitor's, by 8 bytes of hash:
--          an alias: one time after the other "since until length " and so many bytes: the hash of who it stands for then, 16 bytes, and
--          their id where ids are kept. Times are ms; until is 0 where it has no end, and is the last one then
--          one whom aliases stand for: "=" and the hashes of these
--
-- KEYS[1]  W   ARGV[1]  what   ARGV[2]  s of a period (0: for ever)   ARGV[3], ...:
--          find  hashes (8 bytes each): the rows of these, "" where there is none; spans  many hashes as one string: those who are aliases
--          name  hash, hash of an alias (16), the most: notes it as one of theirs; undo  the same: takes that back
--          join  hash of an alias (8), who it stands for, ms from now until that holds: makes it one
-- Returns  find: rows; spans: place of the hash, row, ... Else 1, also where it was so; 0, with nothing written: it is an alias itself, has too many, or is somebody already
-- Cost     a HGET a hash; two where it was not met in this period. Of spans a HMGET of SOME hashes, two where some are not met in this period.
local SOME = 1000
local W, what, length = KEYS[1], ARGV[1], tonumber(ARGV[2])
local g, ends = present(W, '', length)
local expires = ends > 0 and ends + length or nil
local names = W .. ':a:' .. g

if what == 'spans' then
  local older, found = call('EXISTS', W .. ':a:' .. g - 1) == 1, {}
  if not older and call('EXISTS', names) == 0 then return found end
  for first = 1, #ARGV[3], 8 * SOME do
    local hashes = {}
    for at = first, math.min(first + 8 * SOME, #ARGV[3]) - 1, 8 do hashes[#hashes + 1] = ARGV[3]:sub(at, at + 7) end
    local rows = call('HMGET', names, unpack(hashes))
    for i = 1, #hashes do
      local row = rows[i] or older and keep_aliases(W, hashes[i], g, expires)
      if row and row:sub(1, 1) ~= '=' then
        found[#found + 1] = (first - 1) / 8 + i - 1
        found[#found + 1] = row
      end
    end
  end
  return found
end
if what == 'find' then
  local rows = {}
  for i = 3, #ARGV do rows[i - 2] = keep_aliases(W, ARGV[i], g, expires) or '' end
  return rows
end

local hash, other = ARGV[3], ARGV[4]
local row = keep_aliases(W, hash, g, expires)
if what == 'join' then
  if row and row:sub(1, 1) == '=' then return 0 end
  if row and is_open(row) then return row:sub(-#other - 1) == ' ' .. other and 1 or 0 end
  local time = call('TIME')
  local since = string.format('%d', time[1] * 1000 + floor(time[2] / 1000) + ARGV[5])
  call('HSET', names, hash, (row or '') .. since .. ' 0 ' .. #other .. ' ' .. other)
else
  if row and row:sub(1, 1) ~= '=' then
    if is_open(row) then return 0 end
    row = nil
  end
  local known, at = row and row:sub(2) or '', nil
  for i = 1, #known, 16 do
    if known:sub(i, i + 15) == other then at = i end
  end
  if what == 'undo' then
    if not at then return 1 end
    known = known:sub(1, at - 1) .. known:sub(at + 16)
    if known == '' then
      call('HDEL', names, hash)
      call('HDEL', W .. ':a:' .. g - 1, hash)
      return 1
    end
  elseif at then return 1
  elseif #known / 16 >= tonumber(ARGV[5]) then return 0
  else known = known .. other end
  call('HSET', names, hash, '=' .. known)
end
expire(names, expires)
return 1
