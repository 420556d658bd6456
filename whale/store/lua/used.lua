-- Notes when keys were last used.
--
-- KEYS[1] begins the hash of an account's entries: ":ID" is appended
-- ARGV     for each key: id of the account, id of the key, seconds
-- Cost     three commands a key. The latest stays; a key that is not there is left out.
for i = 1, #ARGV, 3 do
  local entries, key, at = KEYS[1] .. ':' .. ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local there, last = unpack(redis.call('HMGET', entries, 'k:' .. key, 'l:' .. key))
  if there and tonumber(last or '-1') < tonumber(at) then redis.call('HSET', entries, 'l:' .. key, at) end
end
