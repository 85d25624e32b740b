-- KEYS: the records. ARGV[1]: for each what was used, by metric. ARGV[2]: the state that they get, settled or released.
-- Answers for each whether it is in that state now.

local now = clock()
local resolved = tonumber(ARGV[2])
local answers = {}

local function resolve(record_key, used)
  local record = read_record(record_key, now)
  if not record then
    return 0
  end
  if record[1] == OPEN then
    for _, taken in ipairs(record[4]) do
      local key, kind, amount, interval, metric, reserved, stamp = unpack(taken)
      local bucket = load(key, kind, amount, interval, now)
      local missing = used[metric] - reserved
      if missing > 0 then
        take(key, kind, bucket, missing)
      elseif missing < 0 then
        give_back(key, kind, bucket, -missing, stamp)
      end
    end
    local expires_at = math.max(record[2], now + REMEMBERED_US)
    record = { resolved, expires_at, record[3], {} }
    write_record(record_key, record, now)
  end
  return record[1] == resolved and 1 or 0
end

for place, used in ipairs(cmsgpack.unpack(ARGV[1])) do
  answers[place] = resolve(KEYS[place], used)
end
save_changed()
return answers
