-- Cells of one pk, whatever form they are kept in.
--
-- KEYS     the pk's dictionary, then one block a (block, page)
-- ARGV[1]  the token that the dictionary must have as its newest
-- ARGV[2]  msgpack [[metric, ...], [[offset, ...], [node, ...]], ...]: metrics; for each block its buckets, and the nodes wanted of its
--          page (numbers below 1,024), none for all
-- Returns  false: the dictionary has changed. Else, a block: {} nothing, {0, fields, values} where it is one hash (fields
--          offset * 65,536 + slot), or {1, part, ...}, one a bucket: {} nothing, {0, fields, values} (fields slot), or
--          {1, bytes, ...} one a metric: 64-bit big-endian slots, of the wanted nodes or of all
-- Cost     one HMGET, HGETALL, GET or GETRANGE a block and bucket.
local dictionary = KEYS[1]
local tokens = redis.call('HGET', dictionary, 'g')
if not tokens or tokens:sub(1, 8) ~= ARGV[1] then return false end
local ask = cmsgpack.unpack(ARGV[2])
local metrics = ask[1]

local function hash(key, offsets, nodes)
  if #nodes == 0 or #nodes * #offsets * #metrics > 400 then
    local all = redis.call('HGETALL', key)
    local fields, values = {}, {}
    for j = 1, #all, 2 do
      fields[#fields + 1] = all[j]
      values[#values + 1] = all[j + 1]
    end
    return {0, fields, values}
  end
  local fields = {}
  for a = 1, #offsets do
    for b = 1, #metrics do
      for c = 1, #nodes do fields[#fields + 1] = offsets[a] * 65536 + metrics[b] * 1024 + nodes[c] end
    end
  end
  return {0, fields, redis.call('HMGET', key, unpack(fields))}
end

local function dense(key, nodes)
  local parts = {}
  for b = 1, #metrics do
    local name = key .. ':' .. metrics[b]
    if #nodes == 0 then
      parts[b] = redis.call('GET', name) or ''
    else
      local bytes = {}
      for c = 1, #nodes do
        local raw = redis.call('GETRANGE', name, nodes[c] * 8, nodes[c] * 8 + 7)
        bytes[c] = #raw == 8 and raw or '\0\0\0\0\0\0\0\0'
      end
      parts[b] = table.concat(bytes)
    end
  end
  return {1, unpack(parts)}
end

local found = {}
for i = 2, #KEYS do
  local block, offsets, nodes = KEYS[i], ask[i][1], ask[i][2]
  local kind = redis.call('TYPE', block).ok
  if kind == 'hash' then
    found[i - 1] = hash(block, offsets, nodes)
  elseif kind == 'string' then
    local parts = {1}
    for a = 1, #offsets do
      local key = block .. ':' .. offsets[a]
      if redis.call('GETBIT', block, offsets[a]) == 1 then
        parts[a + 1] = dense(key, nodes)
      elseif redis.call('TYPE', key).ok == 'hash' then
        parts[a + 1] = hash(key, {0}, nodes)
      else
        parts[a + 1] = {}
      end
    end
    found[i - 1] = parts
  else
    found[i - 1] = {}
  end
end
return found
