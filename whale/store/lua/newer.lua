-- Stands before each script that writes to dictionaries or blocks: what it answers where only a later version may write.
--
-- A later version that keeps the cells of a pk in another form writes a field "w" into its dictionary. Such a script asks for it with
-- the token, in one HMGET, before it writes anything.
local function newer(dictionary)
  return {'newer', redis.call('HGET', dictionary, 'pk') or dictionary}
end
