-- Forgets everything that was written with a tag. KEYS[1]: the organisation's epochs, as in read.lua.
-- ARGV[1]: the tag; ARGV[2]: how many forgotten tags are remembered before all of the organisation is forgotten instead.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
local field = 'tag:' .. ARGV[1]
if redis.call('HEXISTS', KEYS[1], field) == 0 and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[2]) + 2 then
  redis.call('DEL', KEYS[1])
  return 0
end
redis.call('HSET', KEYS[1], field, redis.call('HINCRBY', KEYS[1], 'generation', 1))
return 1
