"""Lua scripts that the Redis store runs inside the server.

The index of a principal is a sorted set of session ids, whose score is the time at which the record expires.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from session_mw.stores.redis.values import HEADER_LENGTH


@dataclass(frozen=True)
class Script:
    """A Lua script, and the hash by which a server that has seen it knows it."""

    text: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        # Redis names scripts by SHA-1; security does not depend on it.
        sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha", sha)


# A value that is not a string is treated as a value that is not a record, not as an outage.
_RECORD = f"""
local function header_of(record)
  local head = redis.pcall('GETRANGE', record, 0, {HEADER_LENGTH - 1})
  if type(head) == 'string' then return head end
  if string.find(head.err, 'WRONGTYPE') then return 'no record' end
  error(head.err)
end
local function version_in(head) return string.sub(head, 16, 31) end
local function owner_in(head) return string.sub(head, 33, 64) end
local function is_live(head, now)
  local ends = string.sub(head, 15, 15) == ':' and tonumber(string.sub(head, 1, 14))
  return ends and ends > tonumber(now)
end
"""

# A score later than the record's expiry is harmless, because keys_of() checks each record.
_LIST = """
local function list(index, key, ends, ttl, now)
  redis.call('ZREMRANGEBYSCORE', index, '-inf', now)
  local listed = redis.call('ZSCORE', index, key)
  if not listed or tonumber(listed) < tonumber(ends) then redis.call('ZADD', index, ends, key) end
  if redis.call('TTL', index) < tonumber(ttl) then redis.call('EXPIRE', index, ttl) end
end
"""

# The client makes the version. So a script that is sent a second time, because the connection dropped,
# recognizes its version in the record and does nothing.
# SET comes first: a full server refuses it (maxmemory), but only as long as the script has not written anything yet.
_WRITE = """
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
if KEYS[2] then list(KEYS[2], ARGV[4], string.sub(ARGV[1], 1, 14), ARGV[2], ARGV[3]) end
return 1
"""

CREATE = Script(
    f"""{_RECORD}{_LIST}
local head = header_of(KEYS[1])
if version_in(head) == version_in(ARGV[1]) then return 1 end
local is_expired = string.match(head, '^%d+:') and not is_live(head, ARGV[3])
if head ~= '' and not is_expired then return 0 end
{_WRITE}"""
)
"""KEYS: record, optionally index. ARGV: value, ttl, now, key in the index. Returns 1, or 0 if the key is taken."""

UPDATE = Script(
    f"""{_RECORD}{_LIST}
local head = header_of(KEYS[1])
if version_in(head) == version_in(ARGV[1]) then return 1 end
if version_in(head) ~= ARGV[5] or not is_live(head, ARGV[3]) then return 0 end
{_WRITE}"""
)
"""As CREATE; ARGV[5] is the version that the record must have. Returns 1, or 0 if it has another or is gone."""

# EXPIRE comes first: a full server would refuse SETRANGE, and log out who uses a session for longer than its lifetime.
TOUCH = Script(
    f"""{_RECORD}{_LIST}
local head = header_of(KEYS[1])
if not is_live(head, ARGV[3]) then return '' end
if owner_in(head) ~= ARGV[5] then return head end
redis.call('EXPIRE', KEYS[1], ARGV[2])
redis.call('SETRANGE', KEYS[1], 0, ARGV[1])
if KEYS[2] then list(KEYS[2], ARGV[4], ARGV[1], ARGV[2], ARGV[3]) end
return head
"""
)
"""KEYS: record, optionally index. ARGV: expiry, ttl, now, key in the index, owner.

Returns the record's header, empty if there is no record; a record of another owner stays as it is.
"""

DELETE = Script(
    f"""{_RECORD}
local head = header_of(KEYS[1])
redis.call('DEL', KEYS[1])
return head
"""
)
"""KEYS: record. Returns the header of the record that was deleted."""

LIST = Script(f"{_LIST}list(KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4])")
"""KEYS: index. ARGV: key, expiry of its record, ttl, now."""

LISTED = Script(
    """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
return redis.call('ZRANGE', KEYS[1], 0, -1)
"""
)
"""KEYS: index. ARGV: now. Returns the keys whose records may still be live."""
