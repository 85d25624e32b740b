-- Buckets in exact integers, as token_bucket.py and sliding_window.py have them. Every number stays below 2^53, up to
-- which a double holds each integer; a product that would not is worked out in digits.

local MAX_UNITS = 4000000000000000
local MAX_LOWS = 8
local EXACT = 9007199254740992
-- A key outlives its bucket's emptiness, so that the stamps of its takes never repeat.
local LINGER_MS = 10000
local LONGEST_MS = 10000000000000

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

-- A token bucket's fill is `units - part / interval`, with 0 <= part < interval. lows: {stamp, units, part}.
local token_bucket = {}

local function less(units, part, other_units, other_part)
  return units < other_units or (units == other_units and part > other_part)
end

local function minus(bucket, units, part, taken_units, taken_part)
  units, part = units - taken_units, part - taken_part
  if part < 0 then
    units, part = units + 1, part + bucket.interval
  end
  if units <= 0 then
    return 0, 0
  end
  return units, part
end

function token_bucket.new(amount, interval, now)
  return { amount = amount, interval = interval, time = now, stamp = 0, units = 0, part = 0, lows = {} }
end

function token_bucket.read(packed)
  local lows = {}
  for place = 7, #packed, 3 do
    lows[#lows + 1] = { packed[place], packed[place + 1], packed[place + 2] }
  end
  return {
    amount = packed[1], interval = packed[2], time = packed[3],
    stamp = packed[4], units = packed[5], part = packed[6], lows = lows,
  }
end

function token_bucket.write(bucket)
  local packed = { bucket.amount, bucket.interval, bucket.time, bucket.stamp, bucket.units, bucket.part }
  for _, low in ipairs(bucket.lows) do
    packed[#packed + 1] = low[1]
    packed[#packed + 1] = low[2]
    packed[#packed + 1] = low[3]
  end
  return packed, bucket.units * bucket.interval / bucket.amount
end

function token_bucket.advance(bucket, now)
  if now <= bucket.time then
    return
  end
  local elapsed = now - bucket.time
  bucket.time = now
  local rest = elapsed % bucket.interval
  -- When this is too large to be exact, it is larger than any bucket.
  local regained = (elapsed - rest) / bucket.interval * bucket.amount
  if regained >= bucket.units then
    bucket.units, bucket.part = 0, 0
    return
  end
  local more, part = multiply_divide(rest, bucket.amount, bucket.part, bucket.interval)
  bucket.units, bucket.part = bucket.units - regained - more, part
  if bucket.units <= 0 then
    bucket.units, bucket.part = 0, 0
  end
end

function token_bucket.reshape(bucket, amount, interval)
  if interval ~= bucket.interval then
    bucket.part = 0
    for _, low in ipairs(bucket.lows) do
      if low[3] > 0 then
        low[2], low[3] = low[2] - 1, 0
      end
    end
    bucket.interval, bucket.dirty = interval, true
  end
  if amount ~= bucket.amount then
    bucket.amount, bucket.dirty = amount, true
  end
end

local function merge_nearest_lows(lows)
  local nearest, least = 1, lows[2][2] - lows[1][2]
  for place = 2, #lows - 1 do
    local gap = lows[place + 1][2] - lows[place][2]
    if gap < least then
      nearest, least = place, gap
    end
  end
  lows[nearest + 1][2], lows[nearest + 1][3] = lows[nearest][2], lows[nearest][3]
  table.remove(lows, nearest)
end

function token_bucket.take(bucket, amount)
  local lows = bucket.lows
  bucket.stamp, bucket.dirty = math.max(bucket.stamp + 1, bucket.time), true
  while #lows > 0 and not less(lows[#lows][2], lows[#lows][3], bucket.units, bucket.part) do
    table.remove(lows)
  end
  lows[#lows + 1] = { bucket.stamp, bucket.units, bucket.part }
  if #lows > MAX_LOWS then
    merge_nearest_lows(lows)
  end
  bucket.units = bucket.units + amount
  if bucket.units > MAX_UNITS then
    bucket.units, bucket.part = MAX_UNITS, 0
  end
  return bucket.stamp
end

function token_bucket.give_back(bucket, amount, stamp)
  local units, part = amount, 0
  if less(bucket.units, bucket.part, units, part) then
    units, part = bucket.units, bucket.part
  end
  for _, low in ipairs(bucket.lows) do
    if low[1] > stamp then
      if less(low[2], low[3], units, part) then
        units, part = low[2], low[3]
      end
      break
    end
  end
  bucket.dirty = true
  bucket.units, bucket.part = minus(bucket, bucket.units, bucket.part, units, part)
  local lowered, kept = {}, nil
  for place = #bucket.lows, 1, -1 do
    local low = bucket.lows[place]
    low[2], low[3] = minus(bucket, low[2], low[3], units, part)
    if not kept or less(low[2], low[3], kept[2], kept[3]) then
      table.insert(lowered, 1, low)
      kept = low
    end
  end
  bucket.lows = lowered
end

-- What the client needs to work out when the bucket is empty, and when an amount fits.
function token_bucket.outlook(bucket)
  return bucket.units, bucket.part, 0
end

-- A sliding window: `amount` is its length, `interval` a slot's. slots: {number, count}, ascending.
local sliding_window = {}

local function leaves_at(bucket, slot)
  return (slot + 1) * bucket.interval + bucket.amount
end

function sliding_window.new(amount, interval, now)
  return { amount = amount, interval = interval, time = now, units = 0, slots = {} }
end

function sliding_window.read(packed)
  local slots = {}
  for place = 5, #packed, 2 do
    slots[#slots + 1] = { packed[place], packed[place + 1] }
  end
  return {
    amount = packed[1], interval = packed[2], time = packed[3], units = packed[4], slots = slots,
  }
end

function sliding_window.write(bucket)
  local packed = { bucket.amount, bucket.interval, bucket.time, bucket.units }
  for _, slot in ipairs(bucket.slots) do
    packed[#packed + 1] = slot[1]
    packed[#packed + 1] = slot[2]
  end
  return packed, bucket.amount + bucket.interval
end

function sliding_window.advance(bucket, now)
  bucket.time = math.max(bucket.time, now)
  while bucket.slots[1] and leaves_at(bucket, bucket.slots[1][1]) <= bucket.time do
    bucket.units = bucket.units - bucket.slots[1][2]
    table.remove(bucket.slots, 1)
  end
end

function sliding_window.reshape() end

function sliding_window.take(bucket, amount)
  local number = math.floor(bucket.time / bucket.interval)
  local counted = math.min(amount, MAX_UNITS - bucket.units)
  if counted > 0 then
    local last = bucket.slots[#bucket.slots]
    if last and last[1] == number then
      last[2] = last[2] + counted
    else
      table.insert(bucket.slots, { number, counted })
    end
    bucket.units, bucket.dirty = bucket.units + counted, true
  end
  return number
end

function sliding_window.give_back(bucket, amount, stamp)
  for place, slot in ipairs(bucket.slots) do
    if slot[1] == stamp then
      local refund = math.min(amount, slot[2])
      bucket.units, slot[2], bucket.dirty = bucket.units - refund, slot[2] - refund, true
      if slot[2] == 0 then
        table.remove(bucket.slots, place)
      end
      return
    end
  end
end

function sliding_window.outlook(bucket, wanted, capacity)
  local last = bucket.slots[#bucket.slots]
  local reset_after = last and leaves_at(bucket, last[1]) - bucket.time or 0
  local left = bucket.units
  if left + wanted > capacity then
    for _, slot in ipairs(bucket.slots) do
      left = left - slot[2]
      if left + wanted <= capacity then
        return bucket.units, reset_after, leaves_at(bucket, slot[1]) - bucket.time
      end
    end
  end
  return bucket.units, reset_after, 0
end

local kinds = { token_bucket, sliding_window }
local loaded = {}

-- The bucket as it is now; each is read once per call, however many items need it.
local function load(key, kind, amount, interval, now)
  local bucket = loaded[key]
  if not bucket then
    local packed = redis.call('GET', key)
    if packed then
      bucket = kinds[kind].read(cmsgpack.unpack(packed))
      kinds[kind].advance(bucket, now)
    else
      bucket = kinds[kind].new(amount, interval, now)
    end
    bucket.kind = kind
    loaded[key] = bucket
  end
  return bucket
end

local function save_all()
  for key, bucket in pairs(loaded) do
    if bucket.dirty then
      local packed, life_us = kinds[bucket.kind].write(bucket)
      local life_ms = math.min(math.ceil(life_us / 1000), LONGEST_MS) + LINGER_MS
      redis.call('SET', key, cmsgpack.pack(packed), 'PX', string.format('%.0f', life_ms))
    end
  end
end

-- Reservations: {state, expires at, the answer's rows, takes}.
local OPEN, SETTLED, RELEASED = 1, 2, 3
local REMEMBERED_US = 60000000

local function read_record(key, now)
  local packed = redis.call('GET', key)
  local record = packed and cmsgpack.unpack(packed)
  if record and record[2] > now then
    return record
  end
end

local function write_record(key, record, now)
  local life_ms = math.ceil((record[2] - now) / 1000) + LINGER_MS
  redis.call('SET', key, cmsgpack.pack(record), 'PX', string.format('%.0f', life_ms))
end
