-- The budget of one credential, for many processes; the arithmetic of rate_limit.Budget, in one atomic step.
-- KEYS: 1 permits (zset by time; 'number:lane', those of other programs 'number'), 2 state (hash),
--       3 lanes that asked lately (zset by end of their claim)
-- ARGV: 1 lane, 2 how many permits to take, one after the other as long as there are any, 3 deep (0/1),
--       4 lessons: answers, and when requests were sent (JSON list, or ''), 5 time in seconds ('': this server's),
--       6 the rules: the constants of rate_limit (JSON object)
-- Answer: {seconds until there is a further permit, 0 if all were taken (text); time (text); the numbers of those taken}
local now = tonumber(ARGV[5])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1000000
end
local permits, state, claims = KEYS[1], KEYS[2], KEYS[3]
local lane, deep = ARGV[1], ARGV[3]
local rules = cjson.decode(ARGV[6])

local known = redis.call('HMGET', state, 'limit:0', 'limit:1', 'period', 'blocked_until', 'deep_lane', 'deep_until')
local limits = {['0'] = tonumber(known[1]) or rules.limit, ['1'] = tonumber(known[2]) or rules.deep_limit}
local period = tonumber(known[3]) or rules.period
local blocked_until = tonumber(known[4]) or 0
local deep_lane, deep_until = known[5] or '', tonumber(known[6]) or 0
local remembered, ttl

local function remember()
  remembered = math.max(rules.remembered_seconds, period + rules.margin)
  ttl = math.ceil(remembered) * 2
end
remember()

local function add_permits(count, suffix)
  local last, members = redis.call('HINCRBY', state, 'taken', count), {}
  for number = last - count + 1, last do
    table.insert(members, string.format('%.6f', now))
    table.insert(members, number .. suffix)
  end
  redis.call('ZADD', permits, unpack(members))
  redis.call('EXPIRE', permits, ttl)
  redis.call('EXPIRE', state, ttl * 10)
  return last
end

local function move_permit(member, at)
  local before = redis.call('ZSCORE', permits, member)
  if before and at > tonumber(before) then
    redis.call('ZADD', permits, string.format('%.6f', at), member)
  end
end

local function learn(answer)
  local tier = tostring(answer.deep)
  if answer.limit > 0 and limits[tier] ~= answer.limit then
    limits[tier] = answer.limit
    redis.call('HSET', state, 'limit:' .. tier, answer.limit)
  end
  if answer.period > 0 and period ~= answer.period then
    period = answer.period
    redis.call('HSET', state, 'period', answer.period)
    remember()
  end
  if answer.retry_after > 0 and now + answer.retry_after > blocked_until then
    blocked_until = now + answer.retry_after
    redis.call('HSET', state, 'blocked_until', string.format('%.6f', blocked_until))
  end
  if answer.count >= 0 then
    local horizon = string.format('(%.6f', answer.taken_at - period - rules.margin)
    local foreign = math.min(answer.count, limits[tier]) - redis.call('ZCOUNT', permits, horizon, '+inf')
    if foreign > 0 then
      add_permits(math.min(foreign, rules.most_foreign), '')
    end
  end
end

if ARGV[4] ~= '' then
  for _, lesson in ipairs(cjson.decode(ARGV[4])) do
    if lesson.sent_at then
      move_permit(string.format('%d:%s', lesson.number, lesson.lane), lesson.sent_at)
    else
      learn(lesson)
    end
  end
end

redis.call('ZREMRANGEBYSCORE', permits, '-inf', string.format('%.6f', now - remembered))
-- A clock that went back: what was taken is as if it were taken now, and nothing is waited for longer than it may be.
local ahead = string.format('(%.6f', now + rules.longest_wait)
for _, member in ipairs(redis.call('ZRANGEBYSCORE', permits, ahead, '+inf')) do
  redis.call('ZADD', permits, string.format('%.6f', now), member)
end
redis.call('ZREMRANGEBYSCORE', claims, string.format('(%.6f', now + 2 * rules.longest_wait), '+inf')
if blocked_until > now + rules.longest_wait then
  blocked_until = now + rules.longest_wait
  redis.call('HSET', state, 'blocked_until', string.format('%.6f', blocked_until))
end

local function claim(until_time)
  redis.call('ZADD', claims, string.format('%.6f', until_time), lane)
  redis.call('EXPIRE', claims, ttl)
  if deep == '1' then
    deep_lane, deep_until = lane, until_time
    redis.call('HSET', state, 'deep_lane', lane, 'deep_until', string.format('%.6f', until_time))
    redis.call('EXPIRE', state, ttl * 10)
  end
end

local horizon = string.format('(%.6f', now - period - rules.margin)

local function used_by_lane()
  local used = {}
  for _, permit in ipairs(redis.call('ZRANGEBYSCORE', permits, horizon, '+inf')) do
    local name = string.match(permit, '^%d+:(.*)$')
    if name then
      used[name] = (used[name] or 0) + 1
    end
  end
  return used
end

local function makes_room_for_deep()
  if deep_lane == lane or deep_until <= now then
    return false
  end
  local used = used_by_lane()
  return (used[deep_lane] or 0) < (used[lane] or 0)
end

local function seconds_to_wait()
  if now < blocked_until then
    return blocked_until - now
  end
  local is_held = deep == '1' or makes_room_for_deep()
  local limit = is_held and math.min(limits['0'], limits['1']) or limits['0']
  local taken = redis.call('ZCOUNT', permits, horizon, '+inf')
  local free = limit - taken
  if free <= 0 then
    local frees_up = redis.call('ZRANGEBYSCORE', permits, horizon, '+inf', 'WITHSCORES', 'LIMIT', taken - limit, 1)
    return math.max(tonumber(frees_up[2]) + period + rules.margin - now, 0.001)
  end
  redis.call('ZREMRANGEBYSCORE', claims, '-inf', string.format('%.6f', now))
  if free > redis.call('ZCARD', claims) then
    return 0
  end
  local used, claimed = used_by_lane(), 0
  for _, other in ipairs(redis.call('ZRANGE', claims, 0, -1)) do
    if other ~= lane and (used[other] or 0) < (used[lane] or 0) then
      claimed = claimed + 1
    end
  end
  return free <= claimed and rules.claimed_wait or 0
end

local numbers, wait = {}, 0
while #numbers < tonumber(ARGV[2]) and wait == 0 do
  wait = seconds_to_wait()
  claim(now + wait + rules.claim_seconds)
  if wait == 0 then
    table.insert(numbers, add_permits(1, ':' .. lane))
  end
end
return {string.format('%.6f', wait), string.format('%.6f', now), unpack(numbers)}
