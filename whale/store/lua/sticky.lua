-- The decision that a visitor has.
--
-- KEYS[1] hashes: KEYS[1]:<nonce>   KEYS[2] visitors' strings: KEYS[2]:<hash>   ARGV[1] hash of the visitor
-- Returns  {nonce, text}; {} where there is none.
-- Cost     O(1).
local nonce = redis.call('GET', KEYS[2] .. ':' .. ARGV[1])
if not nonce then return {} end
return {nonce, redis.call('HGET', KEYS[1] .. ':' .. nonce, 't')}
