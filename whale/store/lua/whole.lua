-- Writes dense buckets that the caller remembers whole, as they are with its sums added. Stands before apply.lua, in one call with it.
--
-- KEYS     those of apply.lua; then one block a (pk, interval, block, page) that has such buckets
-- ARGV[3]  msgpack [[stamp, ...], next, how many such blocks, [[row, ...], ...]]: of each dictionary (and of the resets) the stamp that
--          the caller knows, or ""; the one after this call; of each account its buckets, a row each:
--          [block from 1, dictionary from 1, ttl or 0, offset, 1 where it is new, metric, length, at, metric, length, at, ...]
--          length: bytes that the string of a metric must have, 0 for none; at: the byte from which on it is written
-- ARGV[4]  and on: what is written there, one a metric of a row
-- Returns  as apply.lua, and before it writes anything {"moved", i, ...}: these dictionaries have another stamp than the caller knows,
--          or a string of them another length
--          {"ok", faults, {i, ...}, {block, offset, ...}}: dictionaries whose stamp was another, but of which no bucket was written
--          whole: they have none now; and the dense buckets that were added to, block from 1 in ARGV[2]
-- Cost     beside that of apply.lua: one TYPE and GETBIT a bucket, one STRLEN and SETRANGE a metric of it.
--
-- All is looked at before the first write, so a key of another type, or one that expired or was deleted, is never written in part.
whole = {others = {}, dense = {}}
do
  local ask = cmsgpack.unpack(ARGV[3])
  local stamps, after, blocks, rows = ask[1], ask[2], #KEYS - ask[3], ask[4]
  local nth = 3

  local function has_fields(block, offset)
    local fields = redis.call('HKEYS', block)
    for i = 1, #fields do
      if math.floor(tonumber(fields[i]) / 65536) == offset then return true end
    end
    return false
  end

  -- Whether a bucket may become dense: there is nothing of it yet.
  local function is_free(block, offset, kind)
    if redis.call('EXISTS', block .. ':' .. offset) == 1 then return false end
    if kind == 'string' then return redis.call('GETBIT', block, offset) == 0 end
    return kind == 'none' or kind == 'hash' and not has_fields(block, offset)
  end

  local function is_as_known(row)
    local block, offset = KEYS[blocks + row[1]], row[4]
    local kind = redis.call('TYPE', block).ok
    if row[5] == 1 then
      if not is_free(block, offset, kind) then return false end
    elseif kind ~= 'string' or redis.call('GETBIT', block, offset) == 0 then
      return false
    end
    for m = 6, #row, 3 do
      if redis.pcall('STRLEN', block .. ':' .. offset .. ':' .. row[m]) ~= row[m + 1] then return false end
    end
    return true
  end

  function whole.moved(found)
    local moved, answer = {}, {'moved'}
    for a = 1, #rows do
      for i = 1, #rows[a] do
        local d = rows[a][i][2]
        moved[d] = moved[d] or found[d] ~= stamps[d] or not is_as_known(rows[a][i])
      end
    end
    for d = 1, #stamps do
      if moved[d] then answer[#answer + 1] = d - 1 end
    end
    return #answer > 1 and answer
  end

  function whole.stamp(d, dictionary, found)
    if found and found == stamps[d] then
      redis.call('HSET', dictionary, 'w', after)
    else
      unstamp(dictionary, found)
      if stamps[d] ~= '' then whole.others[#whole.others + 1] = d - 1 end
    end
  end

  function whole.found(block, offset)
    whole.dense[#whole.dense + 1] = block
    whole.dense[#whole.dense + 1] = offset
  end

  local function begin(block, offset, ttl, split)
    local kind = redis.call('TYPE', block).ok
    if kind == 'hash' then
      local found = whole.found
      whole.found = function() end -- its other buckets are nobody's who is answered
      split(block, ttl)
      whole.found = found
    end
    redis.pcall('SETBIT', block, offset, 1)
    if kind == 'none' and ttl > 0 then redis.pcall('EXPIRE', block, ttl) end
  end

  function whole.write(a, split, fault)
    for i = 1, #rows[a] do
      local row = rows[a][i]
      local block, ttl, offset = KEYS[blocks + row[1]], row[3], row[4]
      if row[5] == 1 then begin(block, offset, ttl, split) end
      for m = 6, #row, 3 do
        local key = block .. ':' .. offset .. ':' .. row[m]
        nth = nth + 1
        local reply = redis.pcall('SETRANGE', key, row[m + 2], ARGV[nth])
        if type(reply) == 'table' then
          fault('wrong_type', key, row[m + 2], ARGV[nth])
        elseif row[m + 1] == 0 and ttl > 0 then
          redis.pcall('EXPIRE', key, ttl)
        end
      end
    end
  end
end
