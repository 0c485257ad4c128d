"""Many writers of one session: nothing that one of them saved is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from session_mw import SessionManager
from session_mw.session import Session
from support import races
from support.services import Service

pytestmark = pytest.mark.heavy

THREADS, PROCESSES = 16, 4


def begun(sessions: SessionManager, **data: object) -> str:
    """The cookie of a new session."""
    session = sessions.open({})
    session.update(data or {"begun": True})
    return dict(sessions.commit(session))["Set-Cookie"].partition(";")[0]


def opened(sessions: SessionManager, cookie: str) -> Session:
    return sessions.open({"HTTP_COOKIE": cookie})


def expected(workers: int, count: int) -> dict[str, int]:
    return {f"{worker}-{n}": n for worker in range(workers) for n in range(count)}


@pytest.fixture(params=["memory", "file", "sqlite", "redis", "memcached", "sqlalchemy"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store's URL, of its own for each test."""
    embedded = {
        "memory": "memory://",
        "file": f"file://{tmp_path}/sessions",
        "sqlite": f"sqlite:///{tmp_path}/sessions.db",
        "sqlalchemy": f"sqlite+pysqlite:///{tmp_path}/alchemy.db",
    }
    if request.param in embedded:
        return embedded[request.param]
    server: Service = request.getfixturevalue({"redis": "valkey", "memcached": "memcached"}[request.param])
    return f"{server.url}?prefix=race-{tmp_path.name}:"


def test_threads_that_write_different_keys_all_win(url: str) -> None:
    sessions = SessionManager(store=url)
    cookie = begun(sessions)

    def add(worker: int) -> None:
        for n in range(60):
            session = opened(sessions, cookie)
            session[f"{worker}-{n}"] = n
            sessions.commit(session)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(add, range(THREADS)))
    assert dict(opened(sessions, cookie)) == {"begun": True, **expected(THREADS, 60)}
    sessions.close()


def test_processes_that_write_different_keys_all_win(url: str) -> None:
    if url == "memory://":
        pytest.skip("a store in memory is one process's own")
    count = 250
    sessions = SessionManager(store=url)
    cookie = begun(sessions)
    command = [sys.executable, races.__file__, url, cookie]
    workers = [subprocess.Popen([*command, str(n), str(count)]) for n in range(PROCESSES)]
    assert [worker.wait(120) for worker in workers] == [0] * PROCESSES
    assert dict(opened(sessions, cookie)) == {"begun": True, **expected(PROCESSES, count)}
    sessions.close()


def test_an_id_that_is_renewed_takes_along_what_others_save_meanwhile(url: str) -> None:
    """Every save that the writer was told of is in the renewed session, however they interleave."""
    sessions = SessionManager(store=url)
    for _ in range(15):
        cookie = begun(sessions)

        def write(cookie: str = cookie) -> set[str]:
            saved = set()
            for n in range(40):
                session = opened(sessions, cookie)
                if session.new:
                    break
                session[f"k{n}"] = n
                sessions.commit(session)
                # A request whose session was ended while it ran has saved nothing.
                if session.id is not None:
                    saved.add(f"k{n}")
            return saved

        def renew(cookie: str = cookie) -> str:
            session = opened(sessions, cookie)
            session.regenerate_id()
            return dict(sessions.commit(session))["Set-Cookie"].partition(";")[0]

        with ThreadPoolExecutor(2) as pool:
            writing, renewing = pool.submit(write), pool.submit(renew)
            assert writing.result() <= set(opened(sessions, renewing.result()))
    sessions.close()


def test_a_log_out_wins_against_every_request_in_flight(url: str) -> None:
    sessions = SessionManager(store=url)
    for _ in range(15):
        cookie = begun(sessions)
        in_flight = [opened(sessions, cookie) for _ in range(4)]
        for n, session in enumerate(in_flight):
            session[f"k{n}"] = n
        leaving = opened(sessions, cookie)
        leaving.invalidate()
        commits: list[Callable[[], list[tuple[str, str]]]] = [
            lambda session=session: sessions.commit(session)  # type: ignore[misc]
            for session in (*in_flight[:2], leaving, *in_flight[2:])
        ]
        with ThreadPoolExecutor(5) as pool:
            headers = [future.result() for future in [pool.submit(commit) for commit in commits]]
        assert opened(sessions, cookie).new
        assert [name for n in (0, 1, 3, 4) for name, _ in headers[n]] == ["Vary"] * 4
    sessions.close()


def test_a_store_that_was_opened_before_a_fork_serves_both_processes(url: str) -> None:
    if url == "memory://":
        pytest.skip("a store in memory is one process's own")
    sessions = SessionManager(store=url)
    cookie = begun(sessions)
    children = []
    for worker in range(3):
        child = os.fork()
        if child == 0:
            _write_and_leave(sessions, cookie, worker)
        children.append(child)
    for n in range(40):
        session = opened(sessions, cookie)
        session[f"parent-{n}"] = n
        sessions.commit(session)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    assert len(opened(sessions, cookie)) == 1 + 40 + 3 * 40
    sessions.close()


def _write_and_leave(sessions: SessionManager, cookie: str, worker: int) -> None:
    """What a forked child does: it must not return into the test runner."""
    status = 1
    try:
        for n in range(40):
            session = opened(sessions, cookie)
            session[f"{worker}-{n}"] = n
            sessions.commit(session)
        status = 0
    finally:
        os._exit(status)
