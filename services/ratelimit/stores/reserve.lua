-- KEYS: the records. ARGV[1]: for each {ttl, {bucket, ...}}; a bucket is {key, kind, amount, interval, wanted, limit id,
-- metric, capacity, shadow}. Answers for each {admitted, {row, ...}}; a row is {limit id, metric, capacity, shadow, exceeded,
-- wanted, kind, amount, interval, and the bucket's outlook in three numbers}.

local now = clock()
local answers = {}

local function row_of(asked, bucket, fits)
  local units, first, second = kinds[asked[2]].outlook(bucket, asked[5], asked[8])
  return {
    asked[6], asked[7], asked[8], asked[9], not fits, asked[5],
    asked[2], bucket[AMOUNT], bucket[INTERVAL], units, first, second,
  }
end

local function decide(record_key, ttl, wanted)
  local known = read_record(record_key, now)
  if known then
    return { true, known[3] }
  end
  local buckets, fitting, admitted = {}, {}, true
  for place, asked in ipairs(wanted) do
    local bucket = load_reshaped(asked[1], asked[2], asked[3], asked[4], now)
    buckets[place] = bucket
    fitting[place] = bucket[UNITS] + asked[5] <= asked[8]
    admitted = admitted and (fitting[place] or asked[9])
  end
  local rows, takes = {}, {}
  for place, asked in ipairs(wanted) do
    if admitted and fitting[place] then
      local stamp = take(asked[1], asked[2], buckets[place], asked[5])
      takes[#takes + 1] = { asked[1], asked[2], asked[3], asked[4], asked[7], asked[5], stamp }
    end
    rows[place] = row_of(asked, buckets[place], fitting[place])
  end
  if admitted then
    write_record(record_key, { OPEN, now + ttl, rows, takes }, now)
  end
  return { admitted, rows }
end

for place, item in ipairs(cmsgpack.unpack(ARGV[1])) do
  answers[place] = decide(KEYS[place], item[1], item[2])
end
save_changed()
return cmsgpack.pack(answers)
