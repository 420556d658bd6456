-- Changes dated cells of one id and metric: all of it, or nothing.
--
-- KEYS     hashes, all of one id; k below is the place of one of them
-- ARGV     [1]: msgpack, a list of steps; amounts and values are decimal text
--          {"add", k, field, amount}
--          {"set", k, field, value, k, field, ...}: the difference to what was there is added to the fields that follow
--          {"sum", k, field, k, {field, ...}, ...}: set to the sum of the fields that follow; where none is there, removed
--          {"get", k, field}
-- Returns  what each add and get step found, a number or its text; {"overflow"}: a sum of more than 64 bits, nothing is changed
-- Cost     a call or two a step, and one a field that is summed.
local undo, found = {}, {}

local function negative(text)
  if text == '0' then return text end
  return text:sub(1, 1) == '-' and text:sub(2) or '-' .. text
end

-- The new value, or nil and the error. A double holds it up to 2^53, so what is larger is read as text.
local function add(key, field, amount)
  local reply = redis.pcall('HINCRBY', key, field, amount)
  if type(reply) == 'table' then return nil, reply end
  undo[#undo + 1] = {'HINCRBY', key, field, negative(amount)}
  if reply > 9e15 or reply < -9e15 then return redis.call('HGET', key, field) end
  return reply
end

-- What was there, or nil and the error.
local function put(key, field, value)
  local old = redis.pcall('HGET', key, field)
  if type(old) == 'table' then return nil, old end
  undo[#undo + 1] = old and {'HSET', key, field, old} or {'HDEL', key, field}
  redis.call('HSET', key, field, value)
  return old or '0'
end

local function sum(step)
  local key, field, seen = KEYS[step[2]], step[3], false
  local _, wrong = put(key, field, '0')
  if wrong then return wrong end
  for i = 4, #step, 2 do
    for _, amount in ipairs(redis.call('HMGET', KEYS[step[i]], unpack(step[i + 1]))) do
      if amount then
        seen = true
        _, wrong = add(key, field, amount)
        if wrong then return wrong end
      end
    end
  end
  if not seen then redis.call('HDEL', key, field) end
end

local function run(step)
  local key, field, value, wrong = KEYS[step[2]], step[3], nil, nil
  if step[1] == 'sum' then return sum(step) end
  if step[1] == 'set' then
    local old, _
    old, wrong = put(key, field, step[4])
    for i = 5, #step, 2 do
      if not wrong then _, wrong = add(KEYS[step[i]], step[i + 1], step[4]) end
      if not wrong then _, wrong = add(KEYS[step[i]], step[i + 1], negative(old)) end
    end
    return wrong
  end
  if step[1] == 'add' then
    value, wrong = add(key, field, step[4])
  else
    value = redis.call('HGET', key, field) or '0'
  end
  found[#found + 1] = value
  return wrong
end

for _, step in ipairs(cmsgpack.unpack(ARGV[1])) do
  local wrong = run(step)
  if wrong then
    for i = #undo, 1, -1 do redis.call(unpack(undo[i])) end
    if wrong.err:find('overflow', 1, true) then return {'overflow'} end
    return wrong
  end
end
return found
