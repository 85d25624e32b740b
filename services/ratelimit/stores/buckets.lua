-- Buckets in exact integers, as token_bucket.py and sliding_window.py have them. Every number stays below 2^53, up to
-- which a double holds each integer; a product that would not is worked out in digits.

local MAX_UNITS = 4000000000000000
local MAX_LOWS = 8
local EXACT = 9007199254740992
-- A key outlives its bucket's emptiness, so that the stamps of its takes never repeat.
local LINGER_SECONDS = 10
local LONGEST_SECONDS = 10000000000

-- floor((a * b + c) / d) and the remainder. a, c < d < 2^45, b < 2^50.
local function multiply_divide(a, b, c, d)
  local sum = a * b + c
  if sum < EXACT then
    local rest = sum % d
    return (sum - rest) / d, rest
  end
  local digits, count = {}, 0
  while b > 0 do
    count = count + 1
    digits[count] = b % 128
    b = (b - digits[count]) / 128
  end
  local quotient, rest = 0, 0
  for place = count, 1, -1 do
    local part = rest * 128 + a * digits[place]
    rest = part % d
    quotient = quotient * 128 + (part - rest) / d
  end
  rest = rest + c
  if rest >= d then
    return quotient + 1, rest - d
  end
  return quotient, rest
end

-- A bucket is one array of numbers, as it is stored: what is read is changed in place and written back.
local AMOUNT, INTERVAL, TIME, UNITS = 1, 2, 3, 4

-- A token bucket: its fill is `units - part / interval`, with 0 <= part < interval. Then the lows: stamp, units, part of each.
local PART, STAMP, LOWS = 5, 6, 7
local token_bucket = {}

local function less(units, part, other_units, other_part)
  return units < other_units or (units == other_units and part > other_part)
end

local function minus(units, part, taken_units, taken_part, interval)
  units, part = units - taken_units, part - taken_part
  if part < 0 then
    units, part = units + 1, part + interval
  end
  if units <= 0 then
    return 0, 0
  end
  return units, part
end

function token_bucket.new(amount, interval, now)
  return { amount, interval, now, 0, 0, 0 }
end

function token_bucket.life_us(bucket)
  return bucket[UNITS] * bucket[INTERVAL] / bucket[AMOUNT]
end

function token_bucket.advance(bucket, now)
  local elapsed = now - bucket[TIME]
  if elapsed <= 0 then
    return
  end
  bucket[TIME] = now
  if bucket[UNITS] == 0 then
    return
  end
  local rest = elapsed % bucket[INTERVAL]
  -- When this is too large to be exact, it is larger than any bucket.
  local regained = (elapsed - rest) / bucket[INTERVAL] * bucket[AMOUNT]
  if regained >= bucket[UNITS] then
    bucket[UNITS], bucket[PART] = 0, 0
    return
  end
  local more, part = multiply_divide(rest, bucket[AMOUNT], bucket[PART], bucket[INTERVAL])
  bucket[UNITS], bucket[PART] = bucket[UNITS] - regained - more, part
  if bucket[UNITS] <= 0 then
    bucket[UNITS], bucket[PART] = 0, 0
  end
end

function token_bucket.reshape(bucket, amount, interval)
  if interval ~= bucket[INTERVAL] then
    bucket[PART] = 0
    for low = LOWS, #bucket, 3 do
      if bucket[low + 2] > 0 then
        bucket[low + 1], bucket[low + 2] = bucket[low + 1] - 1, 0
      end
    end
  end
  bucket[AMOUNT], bucket[INTERVAL] = amount, interval
end

-- Takes the low at `place` out, and moves those after it.
local function remove_low(bucket, place)
  local size = #bucket
  for each = place, size - 3 do
    bucket[each] = bucket[each + 3]
  end
  bucket[size], bucket[size - 1], bucket[size - 2] = nil, nil, nil
end

local function merge_nearest_lows(bucket)
  local nearest, least = nil, nil
  for low = LOWS, #bucket - 5, 3 do
    local gap = bucket[low + 4] - bucket[low + 1]
    if not least or gap < least then
      nearest, least = low, gap
    end
  end
  bucket[nearest + 4], bucket[nearest + 5] = bucket[nearest + 1], bucket[nearest + 2]
  remove_low(bucket, nearest)
end

function token_bucket.take(bucket, amount)
  local units, part, size = bucket[UNITS], bucket[PART], #bucket
  bucket[STAMP] = math.max(bucket[STAMP] + 1, bucket[TIME])
  while size >= LOWS and not less(bucket[size - 1], bucket[size], units, part) do
    bucket[size], bucket[size - 1], bucket[size - 2] = nil, nil, nil
    size = size - 3
  end
  bucket[size + 1], bucket[size + 2], bucket[size + 3] = bucket[STAMP], units, part
  if size + 3 >= LOWS + 3 * MAX_LOWS then
    merge_nearest_lows(bucket)
  end
  if units + amount > MAX_UNITS then
    bucket[UNITS], bucket[PART] = MAX_UNITS, 0
  else
    bucket[UNITS] = units + amount
  end
  return bucket[STAMP]
end

function token_bucket.give_back(bucket, amount, stamp)
  local units, part, interval = amount, 0, bucket[INTERVAL]
  if less(bucket[UNITS], bucket[PART], units, part) then
    units, part = bucket[UNITS], bucket[PART]
  end
  for low = LOWS, #bucket, 3 do
    if bucket[low] > stamp then
      if less(bucket[low + 1], bucket[low + 2], units, part) then
        units, part = bucket[low + 1], bucket[low + 2]
      end
      break
    end
  end
  bucket[UNITS], bucket[PART] = minus(bucket[UNITS], bucket[PART], units, part, interval)
  local later_units, later_part = nil, nil
  for low = #bucket - 2, LOWS, -3 do
    local low_units, low_part = bucket[low + 1], bucket[low + 2]
    -- What the bucket held before that take does not change.
    if bucket[low] > stamp then
      low_units, low_part = minus(low_units, low_part, units, part, interval)
      bucket[low + 1], bucket[low + 2] = low_units, low_part
    end
    if later_units and not less(low_units, low_part, later_units, later_part) then
      remove_low(bucket, low)
    else
      later_units, later_part = low_units, low_part
    end
  end
end

-- What the client needs to work out when the bucket is empty, and when an amount fits.
function token_bucket.outlook(bucket)
  return bucket[UNITS], bucket[PART], 0
end

-- A sliding window: `amount` is its length, `interval` a slot's. Then number and count of each slot, ascending.
local SLOTS = 5
local sliding_window = {}

local function leaves_at(bucket, slot)
  return (bucket[slot] + 1) * bucket[INTERVAL] + bucket[AMOUNT]
end

function sliding_window.new(amount, interval, now)
  return { amount, interval, now, 0 }
end

function sliding_window.life_us(bucket)
  return bucket[AMOUNT] + bucket[INTERVAL]
end

-- Takes `count` slots out, beginning with the one at `place`.
local function remove_slots(bucket, place, count)
  local size = #bucket
  for each = place, size - 2 * count do
    bucket[each] = bucket[each + 2 * count]
  end
  for each = size, size - 2 * count + 1, -1 do
    bucket[each] = nil
  end
end

function sliding_window.advance(bucket, now)
  if now <= bucket[TIME] then
    return
  end
  bucket[TIME] = now
  local left = 0
  while bucket[SLOTS + 2 * left] and leaves_at(bucket, SLOTS + 2 * left) <= bucket[TIME] do
    bucket[UNITS] = bucket[UNITS] - bucket[SLOTS + 2 * left + 1]
    left = left + 1
  end
  if left > 0 then
    remove_slots(bucket, SLOTS, left)
  end
end

-- A window of another length is another bucket.
function sliding_window.reshape() end

function sliding_window.take(bucket, amount)
  local number = math.floor(bucket[TIME] / bucket[INTERVAL])
  local counted = math.min(amount, MAX_UNITS - bucket[UNITS])
  if counted > 0 then
    local size = #bucket
    if size >= SLOTS and bucket[size - 1] == number then
      bucket[size] = bucket[size] + counted
    else
      bucket[size + 1], bucket[size + 2] = number, counted
    end
    bucket[UNITS] = bucket[UNITS] + counted
  end
  return number
end

function sliding_window.give_back(bucket, amount, stamp)
  for slot = SLOTS, #bucket, 2 do
    if bucket[slot] == stamp then
      local refund = math.min(amount, bucket[slot + 1])
      bucket[UNITS], bucket[slot + 1] = bucket[UNITS] - refund, bucket[slot + 1] - refund
      if bucket[slot + 1] == 0 then
        remove_slots(bucket, slot, 1)
      end
      return
    end
  end
end

function sliding_window.outlook(bucket, wanted, capacity)
  local size, left = #bucket, bucket[UNITS]
  local reset_after = size >= SLOTS and leaves_at(bucket, size - 1) - bucket[TIME] or 0
  if left + wanted > capacity then
    for slot = SLOTS, size, 2 do
      left = left - bucket[slot + 1]
      if left + wanted <= capacity then
        return bucket[UNITS], reset_after, leaves_at(bucket, slot) - bucket[TIME]
      end
    end
  end
  return bucket[UNITS], reset_after, 0
end

local kinds = { token_bucket, sliding_window }
local now = clock()

-- A rule, as the client packs it: how a limit counts, and what tells the client which limit it was.
local KIND, RATE, PERIOD, METRIC, CAPACITY, SHADOW = 1, 2, 3, 4, 5, 6
local unpacked_rules = {}

local function rules_of(packed)
  local rules = unpacked_rules[packed]
  if not rules then
    rules = cmsgpack.unpack(packed)
    unpacked_rules[packed] = rules
  end
  return rules
end

-- What stands in Redis at the keys that were read, packed; false where nothing does.
local stored = {}
local MOST_AT_ONCE = 4000

local function read(keys)
  for first = 1, #keys, MOST_AT_ONCE do
    local last = math.min(first + MOST_AT_ONCE - 1, #keys)
    for place, packed in ipairs(redis.call('MGET', unpack(keys, first, last))) do
      stored[keys[first + place - 1]] = packed
    end
  end
end

local lives = {}

local function write(key, packed, life_us)
  local seconds = math.min(math.ceil(life_us / 1000000), LONGEST_SECONDS) + LINGER_SECONDS
  local life = lives[seconds]
  if not life then
    life = string.format('%.0f', seconds)
    lives[seconds] = life
  end
  redis.call('SET', key, packed, 'EX', life)
end

-- How many numbers of one kind are packed: buckets as doubles, for that takes a third of what msgpack takes, and answers as
-- integers, for the client.
local function formats_of(kind)
  return setmetatable({}, {
    __index = function(formats, count)
      formats[count] = '<' .. string.rep(kind, count)
      return formats[count]
    end,
  })
end

local NUMBERS, INTEGERS = formats_of('d'), formats_of('i8')

local function pack_numbers(numbers)
  return struct.pack(NUMBERS[#numbers], unpack(numbers))
end

local function pack_answer(integers)
  return struct.pack(INTEGERS[#integers], unpack(integers))
end

local function unpack_numbers(packed)
  local count = #packed / 8
  local numbers = { struct.unpack(NUMBERS[count], packed) }
  -- What comes last is where the next would begin.
  numbers[count + 1] = nil
  return numbers
end

local loaded, changed = {}, {}

-- The bucket as it is now; each is unpacked once per call, however many items need it.
local function load(key, rule)
  local bucket = loaded[key]
  if not bucket then
    local kind, packed = kinds[rule[KIND]], stored[key]
    if packed then
      bucket = unpack_numbers(packed)
      kind.advance(bucket, now)
    else
      bucket = kind.new(rule[RATE], rule[PERIOD], now)
    end
    loaded[key] = bucket
  end
  return bucket
end

local function load_reshaped(key, rule)
  local bucket = load(key, rule)
  if bucket[AMOUNT] ~= rule[RATE] or bucket[INTERVAL] ~= rule[PERIOD] then
    kinds[rule[KIND]].reshape(bucket, rule[RATE], rule[PERIOD])
    changed[key] = rule
  end
  return bucket
end

local function save_changed()
  for key, rule in pairs(changed) do
    local bucket = loaded[key]
    write(key, pack_numbers(bucket), kinds[rule[KIND]].life_us(bucket))
  end
end

-- A reservation: its state, when it expires, its packed rules, and the packed answer to it. Then what it took: key, place of
-- the rule, amount, and the take's stamp, of each bucket.
local STATE, EXPIRES, RULES, ANSWER, TAKES = 1, 2, 3, 4, 5
local OPEN, SETTLED, RELEASED = 1, 2, 3
local REMEMBERED_US = 60000000
local records = {}

local function read_record(key)
  local record = records[key]
  if record == nil then
    record = stored[key] and { cmsgpack.unpack(stored[key]) }
    records[key] = record
  end
  return record and record[EXPIRES] > now and record
end

local function write_record(key, record)
  records[key] = record
  write(key, cmsgpack.pack(unpack(record)), record[EXPIRES] - now)
end
