-- The budget of one credential, for many processes; the arithmetic of rate_limit.Budget, in one atomic step.
-- KEYS: 1 permits taken (zset by time), 2 state (hash), 3 waiting lanes (zset by end of their claim),
--       4 permits taken per lane: prefix of one zset for each lane
-- ARGV: 1 lane ('' takes no permit), 2 deep (0/1), 3 margin, 4 waiting seconds, 5 claimed wait, 6 remembered seconds,
--       7 default limit, 8 default deep limit, 9 default period, 10 answers to learn from (JSON list)
-- Answer: {granted (0/1), seconds to wait (text), time of this server (text)}
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local permits, state, waiting, lanes = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local lane, deep = ARGV[1], ARGV[2]
local margin, waiting_seconds, claimed_wait, remembered = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local defaults = {['0'] = tonumber(ARGV[7]), ['1'] = tonumber(ARGV[8])}
local ttl = math.ceil(remembered) * 2

local known = redis.call('HMGET', state, 'limit:0', 'limit:1', 'period', 'blocked_until')
local limits = {['0'] = tonumber(known[1]) or defaults['0'], ['1'] = tonumber(known[2]) or defaults['1']}
local period = tonumber(known[3]) or tonumber(ARGV[9])
local blocked_until = tonumber(known[4]) or 0

local function add_permit(name)
  local number = redis.call('HINCRBY', state, 'taken', 1)
  redis.call('ZADD', permits, string.format('%.6f', now), number)
  redis.call('EXPIRE', permits, ttl)
  redis.call('EXPIRE', state, ttl * 10)
  if name ~= '' then
    redis.call('ZADD', lanes .. name, string.format('%.6f', now), number)
    redis.call('EXPIRE', lanes .. name, ttl)
  end
end

local function used(name, horizon)
  redis.call('ZREMRANGEBYSCORE', lanes .. name, '-inf', string.format('%.6f', horizon))
  return redis.call('ZCARD', lanes .. name)
end

redis.call('ZREMRANGEBYSCORE', permits, '-inf', string.format('%.6f', now - remembered))

if ARGV[10] ~= '' then
  for _, answer in ipairs(cjson.decode(ARGV[10])) do
    local tier = tostring(answer.deep)
    if answer.limit > 0 and limits[tier] ~= answer.limit then
      limits[tier] = answer.limit
      redis.call('HSET', state, 'limit:' .. tier, answer.limit)
    end
    if answer.period > 0 and period ~= answer.period then
      period = answer.period
      redis.call('HSET', state, 'period', answer.period)
    end
    if answer.retry_after > 0 and now + answer.retry_after > blocked_until then
      blocked_until = now + answer.retry_after
      redis.call('HSET', state, 'blocked_until', string.format('%.6f', blocked_until))
    end
    if answer.count >= 0 then
      local horizon = string.format('(%.6f', answer.taken_at - period - margin)
      local foreign = math.min(answer.count, limits[tier]) - redis.call('ZCOUNT', permits, horizon, '+inf')
      for _ = 1, foreign do
        add_permit('')
      end
    end
  end
end

local function answer(granted, seconds)
  return {granted, string.format('%.6f', seconds), string.format('%.6f', now)}
end

if lane == '' then
  return answer(0, 0)
end

local function wait(seconds)
  redis.call('ZADD', waiting, string.format('%.6f', now + seconds + waiting_seconds), lane)
  redis.call('EXPIRE', waiting, ttl)
  return answer(0, seconds)
end

if now < blocked_until then
  return wait(blocked_until - now)
end
local horizon = now - period - margin
local limit = limits[deep]
local taken = redis.call('ZCOUNT', permits, string.format('(%.6f', horizon), '+inf')
local free = limit - taken
if free <= 0 then
  local frees_up = redis.call('ZRANGEBYSCORE', permits, string.format('(%.6f', horizon), '+inf', 'WITHSCORES', 'LIMIT', taken - limit, 1)
  return wait(math.max(tonumber(frees_up[2]) + period + margin - now, 0.001))
end
redis.call('ZREMRANGEBYSCORE', waiting, '-inf', string.format('%.6f', now))
local others = redis.call('ZCARD', waiting)
if others > 0 and free <= others then
  local mine, claims = used(lane, horizon), 0
  for _, other in ipairs(redis.call('ZRANGE', waiting, 0, -1)) do
    if other ~= lane and used(other, horizon) < mine then
      claims = claims + 1
    end
  end
  if free <= claims then
    return wait(claimed_wait)
  end
end
add_permit(lane)
redis.call('ZREM', waiting, lane)
return answer(1, 0)
