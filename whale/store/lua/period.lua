-- Stands before the scripts that must know which period it is: it begins by this server's clock, and no clock of a caller moves it.
local call, floor = redis.call, math.floor
local now = tonumber(call('TIME')[1])

local function expire(key, at)
  if at then call('EXPIREAT', key, at) end
end

-- The number of the period of a partition, and its end, 0 where it has none: it is begun where the one before has ended, as often as it
-- takes, and what stands in W of those before that one goes. prefix: '' with s of a period (0: for ever), 'd' with the day and its end.
local function present(W, prefix, length, day, day_until)
  local state = call('HMGET', W, prefix .. 'g', prefix .. 'until')
  local g, ends = tonumber(state[1]), tonumber(state[2])
  local before = g
  if day then
    if not g or day > g then g, ends = day, day_until end
  elseif not g then
    g, ends = 1, length > 0 and now + length or 0
  elseif ends > 0 and now >= ends then -- another length begins with the next period
    if length == 0 then g, ends = g + 1, 0
    else
      local more = floor((now - ends) / length) + 1
      g, ends = g + more, ends + more * length
    end
  end
  if g ~= before then
    call('HSET', W, prefix .. 'g', g, prefix .. 'until', ends)
    for old = (before or g) - 1, math.min(before or 0, g - 2) do
      call('HDEL', W, 'b:' .. prefix .. old, 'm:' .. prefix .. old, 'l:' .. prefix .. old)
    end
  end
  return g, ends
end

-- Visitors of a period lie in buckets, small hashes that stay packed, by linear hashing: where the level of 2^k buckets has grown by some,
-- that many are split already, so a visitor lies in h mod 2^(k+1) where that bucket is there, else in h mod 2^k.
local function level(buckets)
  local low = 1
  while low * 2 <= buckets do low = low * 2 end
  return low
end

local function bucket(h, buckets, low)
  local at = h % (2 * low)
  if at >= buckets then at = h % low end
  return at
end

-- The row of a visitor in W:a of a period, see alias.lua; taken over from the one before where it lies there.
local function keep_aliases(W, hash, g, expires)
  local names = W .. ':a:' .. g
  local row = call('HGET', names, hash)
  if row then return row end
  row = call('HGET', W .. ':a:' .. g - 1, hash)
  if row then
    call('HSET', names, hash, row)
    expire(names, expires)
  end
  return row
end
