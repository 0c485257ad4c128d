"""What the drivers' bare calls cost: the least that a session in Redis or SQLite can take."""

from __future__ import annotations

import os
import sqlite3
import time
from typing import Any

from redis import Redis

from session_mw.protocols import Store
from timing import Work

KEY = "session:" + "0" * 64
TTL = 31 * 86400
COMPARE_AND_SET = """
if redis.call('GETRANGE', KEYS[1], 0, 30) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
"""
SCHEMA = (
    "CREATE TABLE bare (key TEXT NOT NULL PRIMARY KEY, data BLOB NOT NULL,"
    " version INTEGER NOT NULL, expires INTEGER NOT NULL, principal TEXT)"
)
SELECT = "SELECT data, version, expires FROM bare WHERE key = ? AND expires > ?"
UPDATE = (
    "UPDATE bare SET data = ?, version = random(), expires = ?, principal = NULL"
    " WHERE key = ? AND version = ? AND expires > ?"
)


def redis_calls(url: str, data: bytes) -> tuple[Work, Work]:
    """One GET; and one GET with an EVALSHA that compares and sets."""
    client = Redis.from_url(url, socket_timeout=2.0, protocol=2)
    script = client.script_load(COMPARE_AND_SET)

    def value() -> str:
        return f"{int(time.time()) + TTL:014d}:{os.urandom(8).hex()}"

    run: Any = client.evalsha
    client.set(KEY, value().encode() + data)

    def read() -> object:
        return client.get(KEY)

    def write() -> object:
        found: Any = client.get(KEY)
        if run(script, 1, KEY, found[:31], value().encode() + data, TTL) != 1:
            raise AssertionError("the bare call wrote nothing")
        return None

    return read, write


def sqlite_calls(path: str, data: bytes) -> tuple[Work, Work]:
    """One SELECT; and one SELECT with an UPDATE."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute(SCHEMA)
    # as a store has them; an index costs something at each writing
    connection.execute("CREATE INDEX bare_expires ON bare (expires)")
    expires = int(time.time()) + TTL
    connection.execute("INSERT INTO bare VALUES (?, ?, random(), ?, NULL)", (KEY, data, expires))

    def read() -> object:
        return connection.execute(SELECT, (KEY, int(time.time()))).fetchall()

    def write() -> object:
        now = int(time.time())
        version = connection.execute(SELECT, (KEY, now)).fetchall()[0][1]
        if connection.execute(UPDATE, (data, now + TTL, KEY, version, now)).rowcount != 1:
            raise AssertionError("the bare statement wrote nothing")
        return None

    return read, write


def store_calls(store: Store, data: bytes) -> tuple[Work, Work]:
    """One ``load``; and one ``load`` with an ``update``."""
    key = "0" * 63 + "1"
    store.create(key, data, TTL)

    def read() -> object:
        return store.load(key)

    def write() -> object:
        record = store.load(key)
        if record is None or not store.update(key, data, TTL, record.version):
            raise AssertionError("the store wrote nothing")
        return None

    return read, write
