-- Stands before every other script: whether Redis Cluster is moving the slot of its keys to another node, or from one.
--
-- KEYS[1]  its hash tag names the slot
-- Returns  {"moving"}: it is, nothing is written; an error that has another cause; else what the script says
-- Cost     one EXISTS, 0.3 us.
--
-- A slot that moves lies on two nodes, each key on one of them. Redis looks at the keys that a script is handed, and lets it begin
-- where all are here; a key that it appends, or deletes and makes again, may be on the other node. So it asks for two keys that
-- never exist: where the slot leaves, that is refused (ASK), and where it arrives too (TRYAGAIN; one key alone would be let through
-- there). A slot cannot begin to move while a script runs.
do
  local asked = redis.pcall('EXISTS', KEYS[1] .. ':?', KEYS[1] .. ':??')
  if type(asked) == 'table' then return asked.err:find('non local key', 1, true) and {'moving'} or asked end
end
