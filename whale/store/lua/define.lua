-- Keeps the definition of a decision, or what an import was, where the revision that is there is the one that was seen.
--
-- KEYS[1] hash: definitions or imports of the account
-- ARGV[1] name   ARGV[2] revision that was seen, 0 for none   ARGV[3] revision, a space, JSON   ARGV[4] most names
-- Returns  {1, ARGV[3]} where it is kept, or was already; {0, what is there} where that is another revision, or false;
--          {-1} where there are too many.
-- Cost     O(bytes of the two).
local name, seen, new, most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local found = redis.call('HGET', KEYS[1], name)
if found == new then return {1, new} end
if (found and found:match('^(%d+) ') or '0') ~= seen then return {0, found} end
if not found and redis.call('HLEN', KEYS[1]) >= most then return {-1} end
redis.call('HSET', KEYS[1], name, new)
return {1, new}
