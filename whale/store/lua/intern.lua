-- Gives each (parent, name) its number in one pk's dictionary, allocating what is new; under the caps, else `__other__`.
--
-- KEYS[1]  the dictionary, a hash of
--            "<parent>:<name>"  number of a node; the root is 0 and has no field; "p:<name>" the node of a child pk; "m:<name>" a metric
--            "q<parent>:<metric>:<bin>"  number of a bin's node, below its path's node
--            "k:<name>"         kind of a metric that is no sum
--            "r<parent>"        "next end children size": the run of numbers that the parent's next children take
--            "t", "c", "b", "mc"  next free number; nodes; bins; metrics
--            "g"                the last 16 tokens of 8 characters, one an allocation, newest first: who knows one of them knows
--                               true numbers; after a reset, a failover or an older AOF nobody's token is found
--            "pk"               the pk, JSON
--            "gen"              the generation of its blocks, after a reset; "s": the buckets in which something was set, see set.lua; "o": the
--                               cells that lack an amount, see apply.lua; "w": see newer.lua
-- ARGV[1]  msgpack [token, pk, max_children, max_nodes, max_metrics, max_bins, items]; items: flat parent, name, ...; a parent is
--          a number, or -k for the node of the k-th item of this call, or "p", or "q<number>:<metric>", or "m", or "m:<kind>"
-- ARGV[2]  a token that the caller knows numbers by, or empty
-- Returns  {newest token, {number of each item}, 1, generation}, or {"", {}, 0, ""} where ARGV[2] is not known: nothing is written then; {"newer", pk}: see
--          newer.lua, nothing is written. A folded item comes as -1 - number, and so does all below it.
--          A metric that has another kind comes as -100000, one that has no place and no sum to fold into as -100001.
--          Error WRONGTYPE where the key holds something else; nothing is written then.
-- Cost     one HGET an item, three or four writes a new one.
--
-- Children of one parent lie in runs that double (4, 8, ... 1,024), so that those of a busy parent share pages.
local key = KEYS[1]
local ask = cmsgpack.unpack(ARGV[1])
local token, items = ask[1], ask[7]
local max_children, max_nodes, max_metrics, max_bins = ask[3], ask[4], ask[5], ask[6]
local MIXED, FULL = -100000, -100001
local OTHER = '__other__'

local tokens, later = unpack(redis.call('HMGET', key, 'g', 'w'))
if is_later(later) then return newer(key) end
if ARGV[2] ~= '' and not (tokens and tokens:find(ARGV[2], 1, true)) then return {'', {}, 0, ''} end
local changed = false
if not tokens then
  redis.call('HSET', key, 't', 1, 'c', 0, 'mc', 1, 'm:hits', 0, 'pk', ask[2])
  tokens, changed = '', true
end
local top, nodes, bins, metrics

local function counters()
  if not top then
    local now = redis.call('HMGET', key, 't', 'c', 'mc', 'b')
    top, nodes, metrics, bins = tonumber(now[1]), tonumber(now[2]), tonumber(now[3]), tonumber(now[4] or 0)
  end
end

local function allocate(parent, name)
  counters()
  local run = redis.call('HGET', key, 'r' .. parent)
  local nxt, stop, children, size = 0, 0, 0, 2
  if run then
    local a, b, c, d = run:match('(%d+) (%d+) (%d+) (%d+)')
    nxt, stop, children, size = tonumber(a), tonumber(b), tonumber(c), tonumber(d)
  end
  local is_bin = type(parent) == 'string' and parent:sub(1, 1) == 'q'
  local folded = name ~= OTHER and (children >= max_children or (is_bin and bins >= max_bins or not is_bin and nodes >= max_nodes))
  if folded then
    name = OTHER
    local known = redis.call('HGET', key, parent .. ':' .. OTHER)
    if known then return tonumber(known), true end
  end
  if nxt == stop then
    if size < 1024 then size = size * 2 end
    nxt, stop, top = top, top + size, top + size
  end
  redis.call('HSET', key, parent .. ':' .. name, nxt)
  if name ~= OTHER then
    children = children + 1
    if is_bin then bins = bins + 1 else nodes = nodes + 1 end
  end
  redis.call('HSET', key, 'r' .. parent, (nxt + 1) .. ' ' .. stop .. ' ' .. children .. ' ' .. size, 't', top, 'c', nodes)
  if is_bin then redis.call('HSET', key, 'b', bins) end
  changed = true
  return nxt, folded
end

local function metric(name, kind)
  local known = redis.call('HGET', key, 'm:' .. name)
  if known then
    if (redis.call('HGET', key, 'k:' .. name) or '') ~= kind then return MIXED end
    return tonumber(known), false
  end
  counters()
  if kind ~= '' then
    if name == OTHER then return MIXED end
    if metrics >= max_metrics then return FULL end
    redis.call('HSET', key, 'k:' .. name, kind)
  elseif name == OTHER or metrics >= max_metrics then
    if redis.call('HSETNX', key, 'm:' .. OTHER, 63) == 1 then changed = true end
    return 63, name ~= OTHER
  end
  redis.call('HSET', key, 'm:' .. name, metrics, 'mc', metrics + 1)
  metrics, changed = metrics + 1, true
  return metrics - 1, false
end

local found = {}
for i = 1, #items, 2 do
  local parent, name, at = items[i], items[i + 1], (i + 1) / 2
  if type(parent) == 'string' and parent:sub(1, 1) == 'm' then
    local number, folded = metric(name, parent:sub(3))
    found[at] = folded and -1 - number or number
  else
    if type(parent) == 'number' and parent < 0 then parent = found[-parent] end
    if type(parent) == 'number' and parent < 0 then
      found[at] = parent
    else
      local number, folded = redis.call('HGET', key, parent .. ':' .. name), false
      if number then number = tonumber(number) else number, folded = allocate(parent, name) end
      found[at] = folded and -1 - number or number
    end
  end
end
local generation = redis.call('HGET', key, 'gen') or ''
if changed then
  redis.call('HSET', key, 'g', (token .. tokens):sub(1, 128))
  return {token, found, 1, generation}
end
return {tokens:sub(1, 8), found, 1, generation}
