-- The number of a visitor in a partition of the visitor log, or nothing. Nothing is written.
--
-- KEYS[1]  W   ARGV[1]  8 bytes of the hash of their id
-- Returns  {the number, the key of the chunk that has their id, if it is kept}; false of one who is not known
-- Cost     one or two HGETs.
local W, hash, call = KEYS[1], ARGV[1], redis.call
local g = call('HGET', W, 'g')
if not g then return false end
local h = struct.unpack('<I4', hash)
for _, period in ipairs({g, g - 1}) do
  local buckets = tonumber(call('HGET', W, 'b:' .. period) or 0)
  if buckets > 0 then
    local low = 1
    while low * 2 <= buckets do low = low * 2 end
    local at = h % (2 * low)
    if at >= buckets then at = h % low end
    local known = call('HGET', W .. ':f:' .. period .. ':' .. at, hash)
    if known then
      local number = struct.unpack('<I4', known)
      return {number, #known > 4 and W .. ':i:' .. period .. ':' .. struct.unpack('<I2', known, 5) or nil}
    end
  end
end
return false
