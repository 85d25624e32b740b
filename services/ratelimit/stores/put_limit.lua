-- KEYS: the limits (a hash), their version. ARGV: limit id, limit, expected etag. A stored limit is {version, generation, limit}.
-- Answers {version, generation}, or nothing when the etag is not the current one.

local known = redis.call('HGET', KEYS[1], ARGV[1])
local stored = known and cmsgpack.unpack(known)
if ARGV[3] ~= '' and ARGV[3] ~= (stored and string.format('%.0f', stored[1]) or '') then
  return false
end
local version = redis.call('INCR', KEYS[2])
local generation = stored and stored[2] or version
redis.call('HSET', KEYS[1], ARGV[1], cmsgpack.pack({ version, generation, ARGV[2] }))
return { version, generation }
