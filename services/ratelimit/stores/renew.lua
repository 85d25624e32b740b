-- KEYS[1]: the record. ARGV[1]: its life from now on, in microseconds. Answers 1, or 0 when it is not open.

read(KEYS)
local record = read_record(KEYS[1])
if not record or record[STATE] ~= OPEN then
  return 0
end
record[EXPIRES] = now + tonumber(ARGV[1])
write_record(KEYS[1], record)
return 1
