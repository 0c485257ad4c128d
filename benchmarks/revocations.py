"""What it costs that a session in a cookie can be ended: to read it, to remember endings, and to tell every process."""

from __future__ import annotations

import multiprocessing
import secrets
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from driving import requests_of
from reports import Promise, Report, Table, promises_table
from scenarios import BODY, HEADERS, KEY, READ, REFRESH, STATUS, UNTOUCHED, App, Contender, Scenario, sized
from session_mw import MemoryStore, SessionManager, SessionMiddleware, open_store
from session_mw.backends.revocations.entries import digest_of_id
from session_mw.backends.revocations.follower import Revocations
from timing import by_turns, request_timer, typical

ENDINGS = 100_000
PROCESSES = 4
MIB = 1024 * 1024
BOUND = 1.15
SETTINGS = {"idle": 31 * 86400, "absolute": None, "leeway": 60, "max_age": 60}


def run(quick: bool) -> Report:
    """Time by turns; then memory, the start, and how long other processes do not know."""
    rows, promises = [], list[Promise]()
    for scenario in (READ, UNTOUCHED, REFRESH):
        without, with_them, times = _compared(scenario, rounds=20 if quick else 100)
        rows.append([scenario.name, f"{without:.2f}", f"{with_them:.2f}"])
        promises.append(Promise(f"{scenario.name}: × of without", times, BOUND, at_least=False))
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/ended.db"
        wrote = _end_many(url, ENDINGS)
        memory, start = _started(url)
        known = _seconds_until_known(Path(folder), PROCESSES)
    promises += [
        Promise(f"{ENDINGS:,} endings: MB in a process", memory / 1e6, 10, at_least=False),
        Promise(f"{ENDINGS:,} endings: s at its start", start, 2, at_least=False),
        Promise(f"s until {PROCESSES} processes refuse an ended session", known, 1.5, at_least=False),
    ]
    report = Report("revocations", "Endings of sessions in cookies")
    report.tables = [
        Table("µs of a request", ("", "without", "with revocations"), rows),
        promises_table(promises),
    ]
    report.notes.append(f"{ENDINGS:,} endings were written into SQLite in {wrote:.1f} s, a thousand at a time.")
    report.figures = {promise.what: promise.measured for promise in promises}
    return report


def _middleware(scenario: Scenario, key: str, **settings: Any) -> App:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        if scenario.touch is not None:
            scenario.touch(environ["session"])
        start_response(STATUS, HEADERS)
        return BODY

    return SessionMiddleware(app, key, refresh_each_request=scenario.refresh, **settings)


def _compared(scenario: Scenario, rounds: int) -> tuple[float, float, float]:
    timers = {}
    data = sized(100, permanent=scenario.permanent)
    for name, settings in (("without", {}), ("with", {"revocations": MemoryStore()})):
        contender = Contender(name, partial(_middleware, **settings))
        timers[name] = request_timer(contender.build(scenario, KEY), *requests_of(contender, scenario, data))
    took = by_turns(timers, rounds=rounds, turn_us=5000)
    # Turn by turn: what slows the machine for a while slows both.
    times = statistics.median(one / other for one, other in zip(took["with"], took["without"], strict=True))
    return typical(took, "without"), typical(took, "with"), times


def _end_many(url: str, count: int) -> float:
    store = open_store(url)
    revocations = Revocations(store, b"benchmark", **SETTINGS)
    began = time.perf_counter()
    for _ in range(count // 1000):
        ids = [digest_of_id(secrets.token_urlsafe(16)) for _ in range(1000)]
        revocations.append(lambda ids=ids: [revocations.ended(one, 0) for one in ids])
    took = time.perf_counter() - began
    store.close()
    return took


def _started(url: str) -> tuple[int, float]:
    """Bytes that the endings take in a process, and seconds until it knows them."""
    store = open_store(url)
    began = time.perf_counter()
    Revocations(store, b"benchmark", **SETTINGS).follow()
    start = time.perf_counter() - began
    tracemalloc.start()
    revocations = Revocations(store, b"benchmark", **SETTINGS)
    revocations.follow()
    memory = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    store.close()
    return memory, start


def _seconds_until_known(folder: Path, count: int) -> float:
    url = f"sqlite:///{folder}/known.db"
    sessions = SessionManager(KEY, revocations=url)
    session = sessions.open({})
    session["user_id"] = 1
    cookie = sessions.commit(session)[1][1].partition(";")[0]
    session_id = sessions.open({"HTTP_COOKIE": cookie}).id
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for _ in range(count):
        ours, theirs = context.Pipe()
        processes.append(context.Process(target=_tell_when_refused, args=(url, cookie, theirs)))
        processes[-1].start()
        pipes.append(ours)
    for pipe in pipes:
        pipe.recv()
    ended = time.time()
    sessions.end(session_id or "")
    refused = [pipe.recv() for pipe in pipes]
    for process in processes:
        process.join()
    sessions.close()
    return max(refused) - ended


def _tell_when_refused(url: str, cookie: str, pipe: Connection) -> None:
    sessions = SessionManager(KEY, revocations=url)
    if sessions.open({"HTTP_COOKIE": cookie}).get("user_id") != 1:
        raise SystemExit("the session is not there")
    pipe.send("ready")
    while sessions.open({"HTTP_COOKIE": cookie}):
        time.sleep(0.005)
    pipe.send(time.time())
    sessions.close()


if __name__ == "__main__":
    print(run(quick=False).text())
