-- KEYS: the buckets. ARGV[1]: their packed rules. Answers, packed, as exchange.lua to a reservation of nothing; nothing is changed.

read(KEYS)
local answer = {}
for place, rule in ipairs(rules_of(ARGV[1])) do
  local bucket = load_reshaped(KEYS[place], rule)
  local exceeded = bucket[UNITS] > rule[CAPACITY] and 1 or 0
  local units, first, second = kinds[rule[KIND]].outlook(bucket, 0, rule[CAPACITY])
  for _, number in ipairs({ exceeded, 0, units, first, second }) do
    answer[#answer + 1] = number
  end
end
return pack_answer(answer)
