-- Removes the stamp of a pk's cells, if there is one, so that who remembers cells asks again, and older versions may write.
--
-- KEYS[1]  the dictionary
-- Returns  1, or 0 where there is none, or a field w that is of a later version
-- Cost     one HGET and one HDEL.
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then return 0 end
local stamp = redis.call('HGET', KEYS[1], 'w')
if not stamp or is_later(stamp) then return 0 end
unstamp(KEYS[1], stamp)
return 1
