"""Reading one of many records: a lookup has to cost the same however full the store is."""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path
from secrets import token_hex
from typing import Any

from redis import Redis

import valkey_server
from driving import log_in
from scenarios import KEY, READ, App, environ_of, sized
from session_mw import open_store
from session_mw.protocols import Store
from store_contenders import ours
from timing import by_turns, singly, start_response

VISITORS = 64
"""Who come by turns, so that it is not one record that is always at hand."""
TTL = 86400


def records_in_stores(rounds: int, quick: bool, full: bool) -> dict[str, dict[int, float]]:
    """µs per request that reads its session, by store and number of records."""
    most = 6 if full else 4 if quick else 5
    counts = [10**power for power in range(3, most + 1)]
    curves = {}
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        for label, fill in FILLERS.items():
            # A file takes long to make: 300 µs for each record.
            fitting = [n for n in counts if label != "files" or n <= 10_000]
            timers = {str(n): singly(_visits(fill(stack, f"{directory}/{label}{n}", n))) for n in fitting}
            found = by_turns(timers, rounds=rounds, turn_us=4000)
            curves[label] = {int(n): statistics.median(took) for n, took in found.items()}
    return curves


def _visits(store: Store) -> Callable[[], object]:
    contender = ours("", store)
    app: App = contender.build(READ, KEY)
    environs = cycle([environ_of(log_in(contender, sized(100))) for _ in range(VISITORS)])
    return lambda: app(next(environs).copy(), start_response)


def _memory(stack: ExitStack, path: str, count: int) -> Store:
    store = open_store("memory://")
    for key, data in _records(count):
        store.create(key, data, TTL)
    return store


def _files(stack: ExitStack, path: str, count: int) -> Store:
    store = open_store(f"file://{path}")
    for key, data in _records(count):
        store.create(key, data, TTL)
    return store


def _sqlite(stack: ExitStack, path: str, count: int) -> Store:
    """Copy one record, as a store writes it, within the file."""
    store = open_store(f"sqlite:///{Path(path)}")
    store.create(*next(_records(1)), TTL)
    copy = (
        "INSERT INTO sessions (key, data, version, expires, principal)"
        " SELECT lower(hex(randomblob(32))), data, version, expires, principal FROM sessions LIMIT ?"
    )
    with sqlite3.connect(path) as connection:
        there = 1
        while there < count:
            there += connection.execute(copy, (count - there,)).rowcount
    connection.close()
    return store


def _redis(stack: ExitStack, path: str, count: int) -> Store:
    """Copy one record, as a store writes it, within the server."""
    url = stack.enter_context(valkey_server.running())
    store = open_store(url)
    key, data = next(_records(1))
    store.create(key, data, TTL)
    client: Any = Redis.from_url(url)
    value = client.get(client.keys()[0])
    for start in range(0, count, 10_000):
        pipeline = client.pipeline(transaction=False)
        for _ in range(min(10_000, count - start)):
            pipeline.set(f"session:{token_hex(32)}", value, ex=TTL)
        pipeline.execute()
    client.close()
    return store


def _records(count: int) -> Iterator[tuple[str, bytes]]:
    return ((token_hex(32), b"x" * 140) for _ in range(count))


FILLERS: dict[str, Callable[[ExitStack, str, int], Store]] = {
    "memory": _memory,
    "SQLite": _sqlite,
    "Redis": _redis,
    "files": _files,
}
