-- Whether a user may run every command that HailWhale uses: else scripts that go on after a failing command would lose cells.
--
-- KEYS[1]  a key that nobody uses between calls; it is gone at the end
-- Returns  "" or Redis's own words of the first command that is refused
-- Cost     some 50 commands. Errors of another kind are not looked at: a Redis that is full says so when it is written to.
local key = KEYS[1]
local lacks = ''
local function try(...)
  local reply = redis.pcall(...)
  if lacks == '' and type(reply) == 'table' and reply.err then
    local text = reply.err
    if text:find('NOPERM', 1, true) or text:find("can't run", 1, true) or text:find("can't access", 1, true) or text:find('no permissions', 1, true) then
      lacks = select(1, ...)
    end
  end
end

for _, kind in ipairs({
  {{'SET', key, '0', 'EX', 60}, {'GET', key}, {'INCR', key}, {'INCRBY', key, 1}, {'DECRBY', key, 1}, {'STRLEN', key},
   {'SETBIT', key, 0, 0}, {'GETBIT', key, 0}, {'BITPOS', key, 1}, {'BITFIELD', key, 'GET', 'i64', '#0'}, {'SETRANGE', key, 0, ''},
   {'GETRANGE', key, 0, 0}, {'MGET', key}, {'EXPIRE', key, 60}, {'EXPIREAT', key, 9e9}, {'APPEND', key, ''}, {'RENAME', key, key}, {'PERSIST', key}, {'TYPE', key}, {'EXISTS', key}},
  {{'HSET', key, 'a', 1}, {'HSETNX', key, 'b', 1}, {'HINCRBY', key, 'a', 1}, {'HGET', key, 'a'}, {'HMGET', key, 'a'}, {'HGETALL', key},
   {'HKEYS', key}, {'HVALS', key}, {'HLEN', key}, {'HEXISTS', key, 'a'}, {'HDEL', key, 'a'}, {'HSCAN', key, 0}},
  {{'LPUSH', key, 'a'}, {'RPUSH', key, 'a'}, {'LRANGE', key, 0, 0}, {'LTRIM', key, 0, 9}},
  {{'SADD', key, 'a'}, {'SISMEMBER', key, 'a'}, {'SMISMEMBER', key, 'a'}, {'SCARD', key}, {'SSCAN', key, 0}, {'SREM', key, 'a'}},
  {{'ZADD', key, 1, 'a'}, {'ZCARD', key}, {'ZRANGE', key, 0, 0}, {'ZREM', key, 'a'}, {'ZREMRANGEBYSCORE', key, 0, 0}, {'ZPOPMIN', key, 1}},
  {{'PFADD', key, 'a'}, {'PFCOUNT', key}},
}) do
  for i = 1, #kind do try(unpack(kind[i])) end
  try('UNLINK', key)
  try('DEL', key)
end
try('SCAN', 0, 'COUNT', 1)
try('TIME')
return lacks
