-- Stands before each script that writes to dictionaries or blocks: what it answers where only a later version may write, and what
-- becomes of the stamp.
--
-- The field "w" of a dictionary is the stamp of the pk's cells, 16 characters: who remembers cells knows by it that nobody else wrote
-- any since. So whoever writes cells otherwise removes it, in the same call. A missing one is nobody's, and an older version leaves
-- alone what has one: docs/decisions/147.
-- A "w" of another length is of a later version, which keeps the cells of that pk in another form. Each script asks for it with the
-- token, in one HMGET, before it writes anything.
local function newer(dictionary)
  return {'newer', redis.call('HGET', dictionary, 'pk') or dictionary}
end
local function is_later(stamp) return stamp and #stamp ~= 16 end
local function unstamp(dictionary, stamp)
  if stamp then redis.call('HDEL', dictionary, 'w') end
end
local whole -- what whole.lua has for apply.lua, where it stands between
