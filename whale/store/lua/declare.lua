-- Declares metrics of a pk, or takes their declarations back: all of them or none.
--
-- KEYS[1] hash: what is declared in the account
-- ARGV[1] most fields   then pairs: field, text; an empty text takes the field away
-- Returns  1; 0 where there would be too many
-- Cost     O(pairs).
local key, more = KEYS[1], 0
for i = 2, #ARGV, 2 do
  local known, wanted = redis.call('HEXISTS', key, ARGV[i]), ARGV[i + 1] ~= '' and 1 or 0
  more = more + wanted - known
end
if more > 0 and redis.call('HLEN', key) + more > tonumber(ARGV[1]) then return 0 end
for i = 2, #ARGV, 2 do
  if ARGV[i + 1] == '' then redis.call('HDEL', key, ARGV[i]) else redis.call('HSET', key, ARGV[i], ARGV[i + 1]) end
end
return 1
