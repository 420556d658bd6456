-- The state of the directory of accounts, and what has changed since another one.
--
-- KEYS[1] hash: state   KEYS[2] begins the hash of an account's entries: ":ID" is appended   KEYS[3] zset: changes   KEYS[4] zset: gone
-- ARGV[1] word for a new state   ARGV[2] word that was seen   ARGV[3] version that was seen   ARGV[4] most entries
-- Returns  {word, version}; and, where all is known that changed since: {id, a space, field, entry, …}, {id, a space, field, …}
-- Cost     two INFO, 30 us, and O(entries). Writes only where it draws a new word.
--
-- The word stands beside the run of Redis in which it was drawn. Another run may know less: an older copy was put back, or a replica
-- took over.
local info = redis.call('INFO', 'server') .. redis.call('INFO', 'replication')
local run = (info:match('run_id:(%x+)') or '') .. ' ' .. (info:match('master_replid:(%x+)') or '')
local word, version, since, drawn = unpack(redis.call('HMGET', KEYS[1], 'word', 'version', 'since', 'run'))
if drawn ~= run then
  word = ARGV[1]
  redis.call('HSET', KEYS[1], 'word', word, 'run', run)
end
version = version or '0'
local seen = tonumber(ARGV[3])
if word ~= ARGV[2] or seen < tonumber(since or '0') or seen > tonumber(version) then return {word, version} end

local most, after = tonumber(ARGV[4]), '(' .. ARGV[3]
local members = redis.call('ZRANGE', KEYS[3], after, '+inf', 'BYSCORE', 'LIMIT', 0, most + 1)
local gone = redis.call('ZRANGE', KEYS[4], after, '+inf', 'BYSCORE', 'LIMIT', 0, most + 1)
if #members + #gone > most then return {word, version} end
local changed = {}
for _, member in ipairs(members) do
  local id, field = member:match('^(%S+) (.*)$')
  changed[#changed + 1] = member
  changed[#changed + 1] = redis.call('HGET', KEYS[2] .. ':' .. id, field)
end
return {word, version, changed, gone}
