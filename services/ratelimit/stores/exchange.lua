-- Resolves reservations, then makes others.
-- KEYS: the records to resolve, those to make, then the buckets of each that is made, one after the other.
-- ARGV[1]: the state that the resolved get, settled or released. ARGV[2]: what each of these used, by metric. ARGV[3]: for
-- each to be made its life, which of the packed rules from ARGV[4] on are its own, and its amounts by metric.
-- Answers {for each to be resolved whether it is in that state now, the answers to the others}. Such an answer is packed: for
-- each bucket whether the limit is exceeded (1 or 0), the amount wanted, and the bucket's outlook in three numbers. An earlier
-- one that is given again is {its packed rules, it}.

local METRICS = 5
local resolved, used, asked = tonumber(ARGV[1]), cmsgpack.unpack(ARGV[2]), cmsgpack.unpack(ARGV[3])
local resolutions, reservations = #used / METRICS, #asked / (METRICS + 2)

read(KEYS)

local function read_what_was_taken()
  local keys = {}
  for place = 1, resolutions do
    local record = read_record(KEYS[place])
    if record and record[STATE] == OPEN then
      for take = TAKES, #record, 4 do
        if stored[record[take]] == nil then
          keys[#keys + 1] = record[take]
        end
      end
    end
  end
  read(keys)
end

local function replace(record, used_at)
  local rules = rules_of(record[RULES])
  for take = TAKES, #record, 4 do
    local key, rule = record[take], rules[record[take + 1]]
    local missing = used[used_at + rule[METRIC]] - record[take + 2]
    if missing ~= 0 then
      local kind, bucket = kinds[rule[KIND]], load(key, rule)
      changed[key] = rule
      if missing > 0 then
        kind.take(bucket, missing)
      else
        kind.give_back(bucket, -missing, record[take + 3])
      end
    end
  end
end

local function resolve(record_key, used_at)
  local record = read_record(record_key)
  if not record then
    return 0
  end
  if record[STATE] == OPEN then
    replace(record, used_at)
    record = { resolved, now + REMEMBERED_US, record[RULES], record[ANSWER] }
    write_record(record_key, record)
  end
  return record[STATE] == resolved and 1 or 0
end

local function decide(record_key, keys_at, ttl, packed_rules, amounts_at)
  local known = read_record(record_key)
  if known then
    return { known[RULES], known[ANSWER] }
  end
  local rules, buckets, fitting, admitted = rules_of(packed_rules), {}, {}, true
  for place, rule in ipairs(rules) do
    local bucket = load_reshaped(KEYS[keys_at + place], rule)
    local fits = bucket[UNITS] + asked[amounts_at + rule[METRIC]] <= rule[CAPACITY]
    buckets[place], fitting[place] = bucket, fits
    admitted = admitted and (fits or rule[SHADOW])
  end
  local record, answer, size = { OPEN, now + ttl, packed_rules, '' }, {}, 0
  for place, rule in ipairs(rules) do
    local kind, bucket, wanted = kinds[rule[KIND]], buckets[place], asked[amounts_at + rule[METRIC]]
    if admitted and fitting[place] then
      local key, take = KEYS[keys_at + place], #record
      changed[key] = rule
      record[take + 1], record[take + 2], record[take + 3] = key, place, wanted
      record[take + 4] = kind.take(bucket, wanted)
    end
    answer[size + 1], answer[size + 2] = fitting[place] and 0 or 1, wanted
    answer[size + 3], answer[size + 4], answer[size + 5] = kind.outlook(bucket, wanted, rule[CAPACITY])
    size = size + 5
  end
  local packed = pack_answer(answer)
  if admitted then
    record[ANSWER] = packed
    write_record(record_key, record)
  end
  return packed
end

local settled, answers = {}, {}
read_what_was_taken()
for place = 1, resolutions do
  settled[place] = resolve(KEYS[place], (place - 1) * METRICS)
end
local keys_at = resolutions + reservations
for place = 1, reservations do
  local at = (place - 1) * (METRICS + 2)
  local packed_rules = ARGV[3 + asked[at + 2]]
  answers[place] = decide(KEYS[resolutions + place], keys_at, asked[at + 1], packed_rules, at + 2)
  keys_at = keys_at + #rules_of(packed_rules)
end
save_changed()
return { settled, answers }
