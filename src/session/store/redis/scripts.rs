//! The steps that must happen whole or not at all, as scripts that the server runs. Each is one round trip.
//!
//! A session's value is a byte that counts its tokens, their hashes, and the row of `row.rs`, whose bytes 2 to 5 are its
//! version. The hashes stand before the row so that a script can take back all that leads to a session; what they say
//! is believed no further than that. Times to live are counted by the server from now on, never set to a moment of our
//! clock, which may not be its own.
//!
//! What is of another kind than we write, or larger than anything we write, counts as absent.
//!
//! A server whose memory is full refuses a script's first write if that could need more of it, and lets those behind it
//! pass. So removing works then, and so does noting a use, which begins by removing what is not there.

use redis::Script;

/// Functions that the scripts share.
const COMMON: &str = r"
local prefix = ARGV[1]
local function tokens(value)
  local list = {}
  for place = 1, string.byte(value, 1) or 0 do
    list[place] = prefix .. 't:' .. string.sub(value, 32 * place - 30, 32 * place + 1)
  end
  return list
end
local function row(value)
  return string.sub(value, 2 + 32 * (string.byte(value, 1) or 0))
end
local function get(key)
  local value = redis.pcall('GET', key)
  return type(value) == 'string' and #value <= 1048576 and value
end
local function keep(key, ttl)
  if redis.call('PTTL', key) < ttl then redis.call('PEXPIRE', key, ttl) end
end
local function drop(forms, now)
  for _, key in ipairs(redis.call('ZRANGEBYSCORE', forms, '-inf', now)) do
    redis.call('DEL', prefix .. 'h:' .. key)
    redis.call('ZREM', forms, key)
  end
end
local function copy(list, id)
  local value = get(prefix .. 's:{' .. id .. '}')
  if not value then return false end
  list[#list + 1] = {id, row(value), get(prefix .. 'l:{' .. id .. '}')}
  return true
end
";

/// KEYS: session, seen, user, due, tokens. ARGV: prefix, id, value, seen, time to live, due, capacity.
/// Gives 0 for done, 1 for exists, 2 for full, and how many there are.
const CREATE: &str = r"
local count = redis.call('ZCARD', KEYS[4])
if redis.call('EXISTS', KEYS[1]) == 1 then return {1, count} end
for place = 5, #KEYS do
  if redis.call('EXISTS', KEYS[place]) == 1 then return {1, count} end
end
if count >= tonumber(ARGV[7]) then return {2, count} end
local ttl = tonumber(ARGV[5])
redis.call('SET', KEYS[1], ARGV[3], 'PX', ttl)
redis.call('SET', KEYS[2], ARGV[4], 'PX', ttl)
for place = 5, #KEYS do redis.call('SET', KEYS[place], ARGV[2], 'PX', ttl) end
redis.call('SADD', KEYS[3], ARGV[2])
keep(KEYS[3], ttl)
redis.call('ZADD', KEYS[4], ARGV[6], ARGV[2])
keep(KEYS[4], ttl)
return {0, redis.call('ZCARD', KEYS[4])}
";

/// KEYS: token. ARGV: prefix.
const FIND: &str = r"
local list, id = {}, get(KEYS[1])
if id then copy(list, id) end
return list
";

/// KEYS: session. ARGV: prefix, id.
const LOAD: &str = r"
local list = {}
copy(list, ARGV[2])
return list
";

/// KEYS: session, due, tokens of the new value. ARGV: prefix, id, value, version, when it is due from now on or nothing.
/// Gives 1 if it was replaced.
const REPLACE: &str = r"
local old = get(KEYS[1])
if not old or string.sub(row(old), 2, 5) ~= ARGV[4] then return 0 end
local named = {}
for place = 3, #KEYS do
  local holder = get(KEYS[place])
  if holder and holder ~= ARGV[2] then return 0 end
  named[KEYS[place]] = true
end
local ttl = redis.call('PTTL', KEYS[1])
if ttl < 1 then return 0 end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ttl)
if ARGV[5] ~= '' then redis.call('ZADD', KEYS[2], 'XX', ARGV[5], ARGV[2]) end
for place = 3, #KEYS do redis.call('SET', KEYS[place], ARGV[2], 'PX', ttl) end
for _, key in ipairs(tokens(old)) do
  if not named[key] then redis.call('DEL', key) end
end
return 1
";

/// KEYS: session, seen, user, due, why. ARGV: prefix, id, why in a word or nothing, its time to live. Gives 1 if there
/// was one, and how many are left.
const REMOVE: &str = r"
local old = get(KEYS[1])
if old then
  for _, key in ipairs(tokens(old)) do redis.call('DEL', key) end
end
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('SREM', KEYS[3], ARGV[2])
redis.call('ZREM', KEYS[4], ARGV[2])
if old and ARGV[3] ~= '' then redis.call('SET', KEYS[5], ARGV[3], 'PX', ARGV[4]) end
return {old and 1 or 0, redis.call('ZCARD', KEYS[4])}
";

/// KEYS: why. ARGV: prefix.
const FAREWELL: &str = r"
return get(KEYS[1])
";

/// KEYS: due, nothing, then for each session: session, seen. ARGV: prefix, then for each: id, seen, due.
const TOUCH: &str = r"
redis.call('DEL', KEYS[2])
for place = 1, (#KEYS - 2) / 2 do
  local session, seen = KEYS[1 + 2 * place], KEYS[2 + 2 * place]
  local ttl, known = redis.call('PTTL', session), get(seen)
  local new = ARGV[3 * place]
  if ttl > 0 and (not known or #known < 8 or struct.unpack('>I8', known) < struct.unpack('>I8', new)) then
    redis.call('SET', seen, new, 'PX', ttl)
    redis.call('ZADD', KEYS[1], 'XX', ARGV[3 * place + 1], ARGV[3 * place - 1])
  end
end
return 0
";

/// KEYS: user. ARGV: prefix.
const OF_USER: &str = r"
local list = {}
for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  if not copy(list, id) then redis.call('SREM', KEYS[1], id) end
end
return list
";

/// KEYS: due. ARGV: prefix, now, limit. What is due and has no session any more is struck off.
const OVERDUE: &str = r"
local list, limit, from = {}, tonumber(ARGV[3]), 0
while from < limit do
  local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[2], 'LIMIT', from, limit - from)
  if #ids == 0 then break end
  for _, id in ipairs(ids) do
    if copy(list, id) then from = from + 1 else redis.call('ZREM', KEYS[1], id) end
  end
end
return list
";

/// KEYS: due. ARGV: prefix, cursor, about how many. Gives the next cursor first.
const LIST: &str = r"
local found = redis.call('ZSCAN', KEYS[1], ARGV[2], 'COUNT', ARGV[3])
local list = {found[1]}
for place = 1, #found[2], 2 do copy(list, found[2][place]) end
return list
";

/// KEYS: form, forms. ARGV: prefix, value, time to live, until, now, room, key. Gives 0 for done, 1 for exists, 2 for full.
const HOLD: &str = r"
drop(KEYS[2], ARGV[5])
if redis.call('EXISTS', KEYS[1]) == 1 then return 1 end
if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[6]) then return 2 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[7])
keep(KEYS[2], tonumber(ARGV[3]))
return 0
";

/// KEYS: form. ARGV: prefix.
const HELD: &str = r"
return get(KEYS[1])
";

/// KEYS: form, forms. ARGV: prefix, value, key. Gives 1 if it was there.
const TAKE_HELD: &str = r"
if get(KEYS[1]) ~= ARGV[2] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[3])
return 1
";

/// KEYS: forms. ARGV: prefix, now.
const SWEEP_HELD: &str = r"
drop(KEYS[1], ARGV[2])
return 0
";

/// All of them, ready to be run.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) create: Script,
    pub(super) find: Script,
    pub(super) load: Script,
    pub(super) replace: Script,
    pub(super) remove: Script,
    pub(super) farewell: Script,
    pub(super) touch: Script,
    pub(super) of_user: Script,
    pub(super) overdue: Script,
    pub(super) list: Script,
    pub(super) hold: Script,
    pub(super) held: Script,
    pub(super) take_held: Script,
    pub(super) sweep_held: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        let script = |body: &str| Script::new(&format!("{COMMON}{body}"));
        Self {
            create: script(CREATE),
            find: script(FIND),
            load: script(LOAD),
            replace: script(REPLACE),
            remove: script(REMOVE),
            farewell: script(FAREWELL),
            touch: script(TOUCH),
            of_user: script(OF_USER),
            overdue: script(OVERDUE),
            list: script(LIST),
            hold: script(HOLD),
            held: script(HELD),
            take_held: script(TAKE_HELD),
            sweep_held: script(SWEEP_HELD),
        }
    }
}
