-- The entries at KEYS[2..] that their organisation has not forgotten.
-- KEYS[1]: the organisation's epochs: hash of `epoch` (of everything), `generation` (count of forgotten tags) and
-- `tag:<name>` (the generation at which that tag was forgotten). Without it everything of the organisation is forgotten.
-- An entry: epoch and generation at which it was written (8 bytes each), length of its tags (2), tags (msgpack), the rest.
local current = redis.call('HMGET', KEYS[1], 'epoch', 'generation')
local epoch = tonumber(current[1])
local found = {}
for i = 2, #KEYS do
  local entry = epoch and redis.call('GET', KEYS[i])
  if entry then
    local written_epoch, written_generation, tags_length = struct.unpack('>I8I8I2', entry)
    local live = written_epoch == epoch
    if live and current[2] then
      for _, tag in ipairs(cmsgpack.unpack(string.sub(entry, 19, 18 + tags_length))) do
        local forgotten = redis.call('HGET', KEYS[1], 'tag:' .. tag)
        live = live and not (forgotten and tonumber(forgotten) > written_generation)
      end
    end
    entry = live and entry
  end
  found[i - 1] = entry or false
end
return found
