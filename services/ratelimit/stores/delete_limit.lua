-- KEYS: the limits (a hash), their version. ARGV: limit id, expected etag.
-- Answers 1; 0 when there is no such limit; -1 when the etag is not the current one.

local known = redis.call('HGET', KEYS[1], ARGV[1])
if not known then
  return 0
end
local version = cmsgpack.unpack(known)[1]
if ARGV[2] ~= '' and ARGV[2] ~= string.format('%.0f', version) then
  return -1
end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('INCR', KEYS[2])
return 1
