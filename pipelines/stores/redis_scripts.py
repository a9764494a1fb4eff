"""The scripts by which a Redis store writes: each is one step, all of it or nothing.

Redis does not undo what a script did before it failed. So each of them reads and checks first, and
tries every kind of command that it will need where it does nothing: a missing right, a replica and
a full memory are found before the first change. After that only the end of the server can stop it,
and the server keeps a script's writes whole.
"""

from dataclasses import dataclass, field
from hashlib import sha1
from typing import Final

__all__ = [
    "ADD_REQUEST",
    "ANSWERED",
    "APPLY",
    "CHANGES",
    "ENDS",
    "FACTS",
    "FLOODS",
    "FLOODS_ORDER",
    "HELD",
    "KEYS",
    "LAYOUT_VERSION",
    "LISTED",
    "META",
    "OF_SUBJECT",
    "ORDER",
    "PENDING",
    "PUBLISHED",
    "START_BEHIND",
    "Script",
]  # fmt: skip

LAYOUT_VERSION: Final = 1
PUBLISHED: Final = "floodwatch:ip:"
"""Before a subject: the listing for other programs, as JSON, until its hard end."""
META: Final = "floodwatch:meta"
CHANGES: Final = "floodwatch:changes"
OF_SUBJECT: Final = "floodwatch:changes:of"
LISTED: Final = "floodwatch:listed"
ORDER: Final = "floodwatch:listed:order"
HELD: Final = "floodwatch:held"
ENDS: Final = "floodwatch:ends"
FACTS: Final = "floodwatch:facts"
PENDING: Final = "floodwatch:requests:pending"
ANSWERED: Final = "floodwatch:requests:answered"
FLOODS: Final = "floodwatch:floods"
FLOODS_ORDER: Final = "floodwatch:floods:order"

_TYPES: Final = {
    META: "hash",
    CHANGES: "stream",
    OF_SUBJECT: "zset",
    LISTED: "hash",
    ORDER: "zset",
    HELD: "hash",
    ENDS: "zset",
    FACTS: "hash",
    PENDING: "hash",
    ANSWERED: "hash",
    FLOODS: "hash",
    FLOODS_ORDER: "zset",
}
KEYS: Final = tuple(_TYPES)


@dataclass(frozen=True, slots=True)
class Script:
    """A text in Lua and the name by which a server knows it.

    All take the same keys, and one argument, a list of texts in MessagePack: the library would need
    several times as long to send thousands of arguments one by one. Numbers are texts, too: those
    of Lua are exact up to 2^53 only.
    """

    text: str
    keys: tuple[str, ...] = KEYS
    sha1: str = field(init=False)

    def __post_init__(self) -> None:
        digest = sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha1", digest)


_BEGIN: Final = f"""
local call = redis.call
local META, CHANGES, OF_SUBJECT, LISTED, ORDER, HELD, ENDS, FACTS, PENDING, ANSWERED,
    FLOODS, BY_TICK = unpack(KEYS)
local PUBLISHED = '{PUBLISHED}'
local arguments, at = cmsgpack.unpack(ARGV[1]), 0
local function take() at = at + 1 return arguments[at] end
for number, type in ipairs({{{", ".join(f"'{one}'" for one in _TYPES.values())}}}) do
    local got = call('TYPE', KEYS[number]).ok
    if got ~= 'none' and got ~= type then
        return {{'foreign', KEYS[number] .. ' is a ' .. got .. ', must be a ' .. type}}
    end
end
local layout = call('HGET', META, 'layout')
if layout and layout ~= '{LAYOUT_VERSION}' then return {{'layout', layout}} end
if not layout then
    for number, key in ipairs(KEYS) do
        if call('EXISTS', key) == 1 then return {{'foreign', key .. ' without a layout'}} end
    end
end
local last = call('HGET', META, 'last_seq') or '0'
local function begin_writing()
    call('XADD', PUBLISHED, 'NOMKSTREAM', '*', 'a', 'b')
    call('XTRIM', PUBLISHED, 'MAXLEN', 0)
    call('SET', PUBLISHED, '', 'XX')
    call('PEXPIREAT', PUBLISHED, 1)
    call('DEL', PUBLISHED)
    call('ZADD', ENDS, 'XX', 0, '')
    call('ZREM', ENDS, '')
    call('HDEL', META, '')
    call('HINCRBY', META, 'requests', 0)
    call('HSET', META, 'layout', '{LAYOUT_VERSION}')
end
"""

APPLY: Final = Script(
    _BEGIN
    + """
local expected, first, new_last, sweep_before = take(), take(), take(), take()
local most_changes, most_of_subject = tonumber(take()), tonumber(take())
local most_at_once = tonumber(take())
if expected ~= '' and expected ~= last then return {'raced', last} end
if first ~= '' and #call('XRANGE', CHANGES, first .. '-0', '+', 'COUNT', 1) > 0 then
    return {'foreign', CHANGES .. ' goes on behind change ' .. last}
end
local function index(subject, seq)
    return subject .. ' ' .. string.rep('0', 19 - #seq) .. seq
end
begin_writing()
call('HSET', META, 'last_seq', new_last == '' and last or new_last)

local touched = {}
for _ = 1, tonumber(take()) do
    local seq, subject, change, decision = take(), take(), take(), take()
    call('XADD', CHANGES, seq .. '-0', 'subject', subject, 'change', change, 'decision', decision)
    call('ZADD', OF_SUBJECT, 0, index(subject, seq))
    touched[subject] = true
end
for subject in pairs(touched) do
    local from, to = '[' .. subject .. ' 0', '(' .. subject .. ' :'
    local excess = call('ZLEXCOUNT', OF_SUBJECT, from, to) - most_of_subject
    if excess > 0 then
        for _, old in ipairs(call('ZRANGEBYLEX', OF_SUBJECT, from, to, 'LIMIT', 0, excess)) do
            call('ZREM', OF_SUBJECT, old)
        end
    end
end
local kept = call('XLEN', CHANGES)
local excess = math.min(kept - most_changes, most_at_once)
if excess > 0 then
    for _, entry in ipairs(call('XRANGE', CHANGES, '-', '+', 'COUNT', excess)) do
        call('ZREM', OF_SUBJECT, index(entry[2][2], string.match(entry[1], '^%d+')))
    end
    call('XTRIM', CHANGES, 'MAXLEN', kept - excess)
end

local function clear(rows, subject)
    if call('HDEL', rows, subject) == 1 then call('ZREM', ENDS, subject) end
    if rows == LISTED then
        call('ZREM', ORDER, subject)
        call('DEL', PUBLISHED .. subject)
    end
end
for _ = 1, tonumber(take()) do clear(LISTED, take()) end
for _ = 1, tonumber(take()) do clear(HELD, take()) end
for _, rows in ipairs({LISTED, HELD}) do
    for _ = 1, tonumber(take()) do
        local subject, ends, seq, since = take(), take(), take(), take()
        local row, public = take(), take()
        local old = call('HGET', rows, subject)
        local old_seq, old_since =
            string.match(old or '', '^{"listed_seq":(%d+),"listed_ms":(-?%d+),')
        if old_seq then seq, since = old_seq, old_since end
        call('HSET', rows, subject,
            '{"listed_seq":' .. seq .. ',"listed_ms":' .. since .. ',' .. string.sub(row, 2))
        call('ZADD', ENDS, ends, subject)
        if rows == LISTED then
            call('ZADD', ORDER, 0, subject)
            if public ~= '' then
                call('SET', PUBLISHED .. subject,
                    '{"since":' .. since .. ',' .. string.sub(public, 2))
                call('PEXPIREAT', PUBLISHED .. subject, ends)
            else
                call('DEL', PUBLISHED .. subject)
            end
        end
    end
end
for _ = 1, tonumber(take()) do
    local id, seq = take(), take()
    local pending = call('HGET', PENDING, id)
    if pending then
        call('HDEL', PENDING, id)
        call('HSET', ANSWERED, id, '{"answered_seq":' .. seq .. ',' .. string.sub(pending, 2))
    end
end
for _ = 1, tonumber(take()) do call('HSET', FACTS, take(), take()) end
local function forget(floods)
    for _, id in ipairs(floods) do
        call('HDEL', FLOODS, id)
        call('ZREM', BY_TICK, id)
    end
end
local forget_floods_after, most_floods = tonumber(take()), tonumber(take())
for _ = 1, tonumber(take()) do
    local id, tick, record = take(), tonumber(take()), take()
    local old = call('ZSCORE', BY_TICK, id)
    if not old or tick > tonumber(old) then
        call('HSET', FLOODS, id, record)
        call('ZADD', BY_TICK, tick, id)
    end
end
local newest = call('ZREVRANGE', BY_TICK, 0, 0, 'WITHSCORES')[2]
if newest then
    local stale = '(' .. string.format('%.0f', newest - forget_floods_after)
    forget(call('ZRANGEBYSCORE', BY_TICK, '-inf', stale, 'LIMIT', 0, most_at_once))
    local excess = math.min(call('ZCARD', BY_TICK) - most_floods, most_at_once)
    if excess > 0 then forget(call('ZRANGE', BY_TICK, 0, excess - 1)) end
end
if sweep_before ~= '' then
    local gone = call('ZRANGEBYSCORE', ENDS, '-inf', '(' .. sweep_before, 'LIMIT', 0, most_at_once)
    for _, subject in ipairs(gone) do
        clear(LISTED, subject)
        clear(HELD, subject)
    end
end
return {'done'}
"""
)

ADD_REQUEST: Final = Script(
    _BEGIN
    + """
local request, most_answered = take(), tonumber(take())
begin_writing()
local id = call('HINCRBY', META, 'requests', 1)
call('HSET', PENDING, id, request)
call('HDEL', ANSWERED, id - most_answered)
return {'done', id}
"""
)

START_BEHIND: Final = Script(
    _BEGIN
    + """
local seq = take()
if last ~= '0' then return {'raced', last} end
begin_writing()
call('HSET', META, 'last_seq', seq)
return {'done'}
"""
)
