-- Notes a reward of a decision, once an id, and adds it to the sums of the decision's rewards.
--
-- KEYS[1]  hash: the decision
-- ARGV[1]  msgpack: [field, digest, [[metric, amount], ...], name of the message that is to count it, most rewards, most metrics, most]
-- Returns  {"begun", msgpack: [name, [[metric, sum before], ...]; false for the first reward]}: it is to be counted so, by whoever comes
--          {"counted"}: it was; {"none"}: no such decision; {"other"}: another reward has the field
--          {"many"}, {"wide"}, {"large", metric}: rewards, metrics, or a sum past their bounds
-- Cost     O(metrics).
--
-- Fields: t what was decided; s sums of rewards, msgpack; n how many rewards; one a reward: its digest, and until it is counted
-- what "begun" says after it. Numbers are within 9.0e15, which Lua's doubles hold.
-- An earlier version wrote a digest alone as field r, and d when that was counted.
local field, digest, amounts, name, most, metrics, largest = unpack(cmsgpack.unpack(ARGV[1]))
if redis.call('HEXISTS', KEYS[1], 't') == 0 then return {'none'} end
local known = redis.call('HGET', KEYS[1], field)
if known then
  if known:sub(1, #digest) ~= digest then return {'other'} end
  if #known > #digest then return {'begun', known:sub(#digest + 1)} end
  if field ~= 'r' or redis.call('HEXISTS', KEYS[1], 'd') == 1 then return {'counted'} end
end

local count = tonumber(redis.call('HGET', KEYS[1], 'n') or redis.call('HEXISTS', KEYS[1], 'd'))
if count >= most then return {'many'} end
local packed = redis.call('HGET', KEYS[1], 's')
local before = packed and cmsgpack.unpack(packed) or {}
local after, place = {}, {}
for i = 1, #before do
  after[i] = {before[i][1], before[i][2]}
  place[before[i][1]] = i
end
for i = 1, #amounts do
  local metric, amount = amounts[i][1], amounts[i][2]
  local at = place[metric] or #after + 1
  local sum = (after[at] and after[at][2] or 0) + amount
  if math.abs(sum) > largest then return {'large', metric} end
  after[at] = {metric, sum}
end
if #after > metrics then return {'wide'} end

local begun = cmsgpack.pack({name, count > 0 and before or false})
redis.call('HSET', KEYS[1], field, digest .. begun, 's', cmsgpack.pack(after), 'n', count + 1)
return {'begun', begun}
