-- Stands before the scripts that read rows of aliases, see alias.lua: their spans, one after the other.
local function last_span(row) -- where it begins, since, until, who
  local at, begin, since, ends, who = 1, nil, nil, nil, nil
  while at <= #row do
    local from, to, size, after = row:match('^(%d+) (%d+) (%d+) ()', at)
    begin, since, ends, who = at, from, to, row:sub(after, after + size - 1)
    at = after + size
  end
  return begin, since, ends, who
end

local function is_open(row)
  local _, _, ends = last_span(row)
  return ends == '0'
end

-- The row with its last span closed, where it is open: of who it stood for, the hash alone stays.
local function closed(row, ms)
  local begin, since, ends, who = last_span(row)
  if ends ~= '0' then return row end
  return row:sub(1, begin - 1) .. since .. ' ' .. ms .. ' 16 ' .. who:sub(1, 16)
end
