-- Microseconds since 1970 on the server's clock: all replicas count on one.
local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end
