-- Cells of one pk, whatever form they are kept in.
--
-- KEYS     the pk's dictionary, then one block a (block, page)
-- ARGV[1]  the token that the dictionary must have as its newest
-- ARGV[2]  msgpack [[metric, ...], [[[offset, ...], [node, ...]], ...], [shape, ...]]: metrics; shapes: buckets of a block, and the nodes
--          wanted of its page (numbers below 1,024), none for all; for each block the number of its shape, from 1
-- Returns  false: the dictionary has changed. Else {notes, part, ...}: its fields "s" and "o", a bar between, and a part a block, {} where
--          there is nothing:
--          {0, {field, value, ...}}  a whole hash; a field is offset * 65,536 + metric * 1,024 + node
--          {1, "value value ..."}    the wanted fields of a hash, by bucket, metric and node; 0 where there is none
--          {2, {part, ...}}          a split block, a part a bucket, whose offset is then 0
--          {3, {bytes, ...}}         a dense bucket, one a metric: 64-bit big-endian slots, of the wanted nodes or of all
-- Cost     one HMGET, HGETALL, GET or GETRANGE a block and bucket.
local dictionary = KEYS[1]
local tokens, marks, overflowed = unpack(redis.call('HMGET', dictionary, 'g', 's', 'o'))
if not tokens or tokens:sub(1, 8) ~= ARGV[1] then return false end
local ask = cmsgpack.unpack(ARGV[2])
local metrics, shapes = ask[1], ask[2]

local asked = {}  -- by shape, the fields as text: making these takes longer than to read them, and most blocks have one shape
local function fields_of(shape, offsets, nodes)
  if not asked[shape] then
    local fields = {}
    for a = 1, #offsets do
      for b = 1, #metrics do
        for c = 1, #nodes do
          fields[#fields + 1] = string.format('%d', offsets[a] * 65536 + metrics[b] * 1024 + nodes[c])
        end
      end
    end
    asked[shape] = fields
  end
  return asked[shape]
end

local function hash(key, shape, offsets, nodes)
  if #nodes == 0 or #nodes * #offsets * #metrics > 400 then return {0, redis.call('HGETALL', key)} end
  local values = redis.call('HMGET', key, unpack(fields_of(shape, offsets, nodes)))
  for i = 1, #values do values[i] = values[i] or '0' end
  return {1, table.concat(values, ' ')}
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
  return {3, parts}
end

local found = {(marks or '') .. '|' .. (overflowed or '')}
for i = 2, #KEYS do
  local block, shape = KEYS[i], ask[3][i - 1]
  local offsets, nodes = unpack(shapes[shape])
  local kind = redis.call('TYPE', block).ok
  if kind == 'hash' then
    found[i] = hash(block, shape, offsets, nodes)
  elseif kind == 'string' then
    local parts = {}
    for a = 1, #offsets do
      local key = block .. ':' .. offsets[a]
      if redis.call('GETBIT', block, offsets[a]) == 1 then
        parts[a] = dense(key, nodes)
      elseif redis.call('TYPE', key).ok == 'hash' then
        parts[a] = hash(key, -shape, {0}, nodes)
      else
        parts[a] = {}
      end
    end
    found[i] = {2, parts}
  else
    found[i] = {}
  end
end
return found
