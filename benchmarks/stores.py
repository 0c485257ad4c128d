"""Part 2: sessions on the server, beside Flask-Session, Beaker and the drivers' bare calls."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest import mock

from redis.connection import AbstractConnection

import store_contenders as contenders
import targets
import valkey_server
from bare_stores import redis_calls, sqlite_calls, store_calls
from checking import check, data_in
from driving import ask, prepared
from reports import Report, Table, micro
from scenarios import READ, UNTOUCHED, WRITE, Contender, Scenario, payload, sized
from session_mw import open_store
from targets import Promise, Verdict
from timing import Rounds, by_turns, ratio, request, singly, typical

SCENARIOS = (READ, WRITE, UNTOUCHED)
DATA = sized(100)
BARE_REDIS, BARE_SQLITE = "bare redis-py call", "bare sqlite3 statement"
REDIS_STORE, SQLITE_STORE = "RedisStore alone", "SQLiteStore alone"
OURS_ON_REDIS, OURS_IN_SQLITE, OURS_IN_MEMORY = "session_mw, Redis", "session_mw, SQLite", "session_mw, memory"


class Cost(NamedTuple):
    """Calls of one request."""

    store: list[str] | None
    redis: int | None


def run(quick: bool) -> Report:
    """Measure all stores in one run."""
    with valkey_server.running() as url, tempfile.TemporaryDirectory() as directory:
        everyone = list(_contenders(url, directory))
        _check(everyone)
        urls = _our_urls(url, directory)
        bare = {
            BARE_REDIS: redis_calls(url, payload(DATA)),
            REDIS_STORE: store_calls(open_store(urls["Redis"]), payload(DATA)),
            BARE_SQLITE: sqlite_calls(f"{directory}/b", payload(DATA)),
            SQLITE_STORE: store_calls(open_store(urls["SQLite"]), payload(DATA)),
        }
        found = {s: _measure(s, everyone, bare, 9 if quick else 41) for s in SCENARIOS}
        costs = {one.name: [_cost(one, s, url, directory) for s in SCENARIOS] for one in everyone}
    report = Report("stores", "Stores")
    report.tables = [_times(found, costs), targets.table("Beside peers and drivers", verdicts(found))]
    report.notes.append(
        "µs per request, 100 B of JSON, medians of interleaved rounds; in brackets the round trips to Redis or the "
        "store's operations. Peers run with their defaults, which write at every request that looked at the session."
    )
    report.figures = {s.name: {name: typical(r, name) for name in r} for s, r in found.items()}
    return report


def _contenders(url: str, directory: str) -> Iterator[Contender]:
    for label, ours_url in _our_urls(url, directory).items():
        yield contenders.ours(label, open_store(ours_url))
    yield contenders.flask_session_redis(url)
    yield contenders.flask_session_whole(url)
    yield contenders.flask_session_files(f"{directory}/flask")
    yield contenders.beaker("Redis", {"session.type": "ext:redis", "session.url": url})
    yield contenders.beaker("files", {"session.type": "file", "session.data_dir": f"{directory}/beaker"})
    yield contenders.beaker("memory", {"session.type": "memory"})


def _our_urls(url: str, directory: str) -> dict[str, str]:
    return {
        "Redis": url,
        "SQLite": f"sqlite:///{directory}/ours.db",
        "files": f"file://{directory}/ours",
        "memory": "memory://",
    }


def _check(everyone: list[Contender]) -> None:
    for one in everyone:
        if check(one, READ, DATA) is None:
            raise AssertionError(f"{one.name} refuses the data")
        app, environ = prepared(one, WRITE, DATA)
        for _ in range(2):
            ask(app, environ["HTTP_COOKIE"])
        if data_in(one, environ["HTTP_COOKIE"])["visits"] != DATA["visits"] + 2:
            raise AssertionError(f"{one.name} lost a write")


def _measure(scenario: Scenario, everyone: list[Contender], bare: dict[str, tuple[Any, Any]], rounds: int) -> Rounds:
    timers: dict[str, Callable[[int], float]] = {}
    for name, (read, write) in bare.items():
        if scenario is not UNTOUCHED:
            timers[name] = singly(write if scenario.writes else read)
    for one in everyone:
        timers[one.name] = singly(request(*prepared(one, scenario, DATA)))
    return by_turns(timers, rounds=rounds, turn_us=6000)


def _cost(one: Contender, scenario: Scenario, url: str, directory: str) -> Cost:
    app, environ = prepared(one, scenario, DATA)
    ask(app, environ["HTTP_COOKIE"])
    with _round_trips() as trips:
        ask(app, environ["HTTP_COOKIE"])
    calls = None
    if one.name.startswith("session_mw"):
        label = one.name.partition(", ")[2]
        store, calls = contenders.counted(_our_urls(url, directory)[label])
        app, environ = prepared(contenders.ours(label, store), scenario, DATA)
        calls.clear()
        ask(app, environ["HTTP_COOKIE"])
    return Cost(calls, len(trips) if "Redis" in one.name else None)


@contextmanager
def _round_trips() -> Iterator[list[int]]:
    """Count what is sent to Redis; each is waited for."""
    sent: list[int] = []
    # redis-py annotates its connections in part only
    original: Any = vars(AbstractConnection)["send_packed_command"]

    def counting(connection: Any, *args: Any, **named: Any) -> Any:
        sent.append(1)
        return original(connection, *args, **named)

    with mock.patch.object(AbstractConnection, "send_packed_command", counting):
        yield sent


def _times(found: dict[Scenario, Rounds], costs: Mapping[str, Sequence[Cost | None]]) -> Table:
    rows = []
    for name in [BARE_REDIS, REDIS_STORE, BARE_SQLITE, SQLITE_STORE, *costs]:
        cells = [micro(typical(r, name)) if name in r else "–" for r in found.values()]
        calls = costs.get(name, [None] * len(cells))
        rows.append([name, *(f"{cell} {_shown(cost)}".strip() for cell, cost in zip(cells, calls, strict=True))])
    return Table("µs per request [calls]", ["", *(s.name for s in SCENARIOS)], rows)


def _shown(cost: Cost | None) -> str:
    if cost is None or (cost.store is None and cost.redis is None):
        return ""
    trips = "" if cost.redis is None else f"{cost.redis} trips"
    calls = "" if cost.store is None else "+".join(cost.store) or "none"
    return f"[{', '.join(filter(None, (trips, calls)))}]"


def verdicts(found: dict[Scenario, Rounds]) -> list[Verdict]:
    """What the run says of the promises; the drivers' calls are also set beside whole requests."""
    bounds = {
        (REDIS_STORE, BARE_REDIS): targets.ABOVE_BARE_REDIS,
        (OURS_ON_REDIS, BARE_REDIS): targets.ABOVE_BARE_REDIS,
        (SQLITE_STORE, BARE_SQLITE): targets.ABOVE_BARE_SQLITE,
        (OURS_IN_SQLITE, BARE_SQLITE): targets.ABOVE_BARE_SQLITE,
        (OURS_ON_REDIS, "Flask-Session, Redis"): targets.OF_FLASK_SESSION_ON_REDIS,
        (OURS_ON_REDIS, "Flask with Flask-Session, Redis"): targets.OF_FLASK_SESSION_ON_REDIS,
        (OURS_ON_REDIS, "Beaker, Redis"): targets.OF_BEAKER_ON_REDIS,
        (OURS_IN_MEMORY, "Beaker, memory"): targets.OF_BEAKER_IN_MEMORY,
    }
    return [
        Verdict(Promise(f"{s.name}: {one} / {other}", bound, False), ratio(found[s], one, other))
        for (one, other), bound in bounds.items()
        for s in (READ, WRITE)
    ]
