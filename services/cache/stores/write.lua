-- Keeps entries at KEYS[2..], stamped with their organisation's epoch and generation.
-- KEYS[1]: the organisation's epochs, as in read.lua; they outlive every entry.
-- ARGV[1]: the longest life of any entry in ms; then for each entry its life in ms and its bytes after the stamp.
local current = redis.call('HMGET', KEYS[1], 'epoch', 'generation')
local epoch, generation = tonumber(current[1]), tonumber(current[2]) or 0
-- The first write is one that a full Redis refuses: after any other it would let the rest pass.
if not epoch then
  local time = redis.call('TIME')
  epoch = tonumber(time[1]) * 1000000 + tonumber(time[2])
  redis.call('HSET', KEYS[1], 'epoch', string.format('%.0f', epoch))
end
local stamp = struct.pack('>I8I8', epoch, generation)
for i = 2, #KEYS do
  redis.call('SET', KEYS[i], stamp .. ARGV[2 * i - 1], 'PX', ARGV[2 * i - 2])
end
local life = tonumber(ARGV[1])
if redis.call('PTTL', KEYS[1]) < life then
  redis.call('PEXPIRE', KEYS[1], 2 * life)
end
return #KEYS - 1
