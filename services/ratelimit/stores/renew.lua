-- KEYS[1]: the record. ARGV[1]: its life from now on, in microseconds. Answers 1, or 0 when it is not open.

local now = clock()
local record = read_record(KEYS[1], now)
if not record or record[1] ~= OPEN then
  return 0
end
record[2] = now + tonumber(ARGV[1])
write_record(KEYS[1], record, now)
return 1
