-- ARGV[1]: {{key, kind, amount, interval, capacity}, ...}. Answers for each {exceeded, amount, interval, and the bucket's outlook
-- in three numbers}; nothing is changed.

local now = clock()
local answers = {}
for place, asked in ipairs(cmsgpack.unpack(ARGV[1])) do
  local bucket = load_reshaped(asked[1], asked[2], asked[3], asked[4], now)
  local units, first, second = kinds[asked[2]].outlook(bucket, 0, asked[5])
  answers[place] = { bucket[UNITS] > asked[5], bucket[AMOUNT], bucket[INTERVAL], units, first, second }
end
return cmsgpack.pack(answers)
