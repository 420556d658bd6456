-- In which form the buckets of blocks are kept, so that what is large can be read by plain commands: through Lua it costs ten times as much.
--
-- KEYS     the pk's dictionary, then one block a (block, page)
-- ARGV[1]  the token that the dictionary must have as its newest
-- ARGV[2]  msgpack [[offset, ...], ...]: of each block its buckets
-- Returns  false: the dictionary has changed. Else, a block: "" nothing, "H" one hash for all buckets, or a letter a bucket: "-" nothing,
--          "h" a hash, "d" dense, a string a metric
-- Cost     one TYPE a block, one GETBIT and TYPE a bucket.
local tokens = redis.call('HGET', KEYS[1], 'g')
if not tokens or tokens:sub(1, 8) ~= ARGV[1] then return false end
local ask = cmsgpack.unpack(ARGV[2])
local found = {}
for i = 2, #KEYS do
  local block, offsets = KEYS[i], ask[i - 1]
  local kind = redis.call('TYPE', block).ok
  if kind == 'hash' then
    found[i - 1] = 'H'
  elseif kind == 'string' then
    local letters = {}
    for a = 1, #offsets do
      if redis.call('GETBIT', block, offsets[a]) == 1 then
        letters[a] = 'd'
      else
        letters[a] = redis.call('TYPE', block .. ':' .. offsets[a]).ok == 'hash' and 'h' or '-'
      end
    end
    found[i - 1] = table.concat(letters)
  else
    found[i - 1] = ''
  end
end
return found
