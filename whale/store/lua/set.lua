-- Sets cells of one pk, or adds what setting them made elsewhere; runs before apply.lua, which does the adding, in one call with it.
--
-- KEYS     those of apply.lua for one dictionary and no message; then the operation's record, and a scratch key
-- ARGV     [1], [2]: of apply.lua; [3]: msgpack [fingerprint, ttl, mark, i, offset, node, metric, "value", metric, "value", ...]
--          mark: "interval:start:end:node:metric,metric;", kept in the dictionary's field "s" for those who read finer buckets.
--          Past 20,000 bytes all become one wide mark an interval, "interval:start:end;"
--          i: which block of ARGV[2] holds the cells to be set, their bucket and node on the page; 0: ARGV[2] has true differences
-- Returns  {"known"}: the record is there, nothing is written; {"stale", 0} or {"newer", pk} (see newer.lua), nothing is written; {"overflow", metric}: a difference
--          of more than 64 bits, nothing is written; else as apply.lua. The record is then "fingerprint difference difference ..."
-- Cost     that of apply.lua and some calls a metric.
--
-- Every delta of a metric in ARGV[2] is replaced by the difference between the value and the cell as it is in this very call.
local scratch, record = table.remove(KEYS), table.remove(KEYS)
do
  if redis.call('EXISTS', record) == 1 then return {'known'} end
  local ask, blocks = cmsgpack.unpack(ARGV[3]), cmsgpack.unpack(ARGV[2])
  local tokens, later = unpack(redis.call('HMGET', KEYS[1], 'g', 'w'))
  if is_later(later) then return newer(KEYS[1]) end
  if not tokens or not tokens:find(cmsgpack.unpack(ARGV[1])[2][1], 1, true) then return {'stale', 0} end

  -- The decimal text of a slot: Lua's numbers are doubles, and would round it.
  local function decimal(raw)
    if #raw < 8 then return '0' end
    local bytes, negative = {raw:byte(1, 8)}, raw:byte(1) > 127
    if negative then
      local carry = 1
      for i = 8, 1, -1 do
        local value = 255 - bytes[i] + carry
        bytes[i], carry = value % 256, math.floor(value / 256)
      end
    end
    local digits, left = {}, true
    while left do
      local rest = 0
      left = false
      for i = 1, 8 do
        local value = rest * 256 + bytes[i]
        bytes[i], rest = math.floor(value / 10), value % 10
        left = left or bytes[i] > 0
      end
      digits[#digits + 1] = rest
    end
    return (negative and '-' or '') .. table.concat(digits):reverse()
  end

  local function cell(block, offset, metric, node)
    local kind = redis.call('TYPE', block).ok
    if kind == 'hash' then return redis.call('HGET', block, offset * 65536 + metric * 1024 + node) or '0' end
    if kind ~= 'string' then return '0' end
    local key = block .. ':' .. offset
    if redis.call('GETBIT', block, offset) == 1 then
      return decimal(redis.call('GETRANGE', key .. ':' .. metric, node * 8, node * 8 + 7))
    end
    return redis.call('HGET', key, metric * 1024 + node) or '0'
  end

  local said, changed = {ask[1]}, ask[4] == 0
  if ask[4] > 0 then
    local differences = {}
    for i = 7, #ask, 2 do
      redis.call('SET', scratch, ask[i + 1])
      local reply = redis.pcall('DECRBY', scratch, cell(KEYS[4 + ask[4]], ask[5], ask[i], ask[6]))
      local difference = redis.call('GET', scratch)
      redis.call('DEL', scratch)
      if type(reply) == 'table' then return {'overflow', ask[i]} end
      differences[ask[i]] = difference
      said[#said + 1] = difference
      changed = changed or difference ~= '0'
    end
    for i = 1, #blocks do
      for j = 3, #blocks[i], 2 do
        for m = 1, #blocks[i][j], 2 do
          local mine = blocks[i][j][m + 1]
          for k = 2, #mine, 2 do mine[k] = differences[blocks[i][j][m]] end
        end
      end
    end
    ARGV[2] = cmsgpack.pack(blocks)
  end
  if changed then
    local marks = redis.call('HGET', KEYS[1], 's') or ''
    if not (';' .. marks):find(';' .. ask[3], 1, true) then
      marks = marks .. ask[3]
      if #marks > 20000 then -- several hundred: one wide mark an interval instead
        local order, first, last = {}, {}, {}
        for interval, from, to in marks:gmatch('(%w+):(%-?%d+):(%-?%d+)[^;]*;') do
          if not first[interval] then order[#order + 1] = interval end
          first[interval] = math.min(first[interval] or tonumber(from), tonumber(from))
          last[interval] = math.max(last[interval] or tonumber(to), tonumber(to))
        end
        marks = ''
        for _, interval in ipairs(order) do
          marks = marks .. interval .. ':' .. string.format('%d:%d;', first[interval], last[interval])
        end
      end
      redis.call('HSET', KEYS[1], 's', marks)
    end
  end
  redis.call('SET', record, table.concat(said, ' '), 'EX', ask[2])
end
