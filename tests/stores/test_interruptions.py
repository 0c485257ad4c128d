"""Calls that an exception from outside breaks off, at each moment where CPython lets one in.

``PyThreadState_SetAsyncExc`` does so in tools that end slow requests. The exceptions are kept, as by an error reporter
that has yet to send them, and with them all frames and what these hold.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from session_mw import SessionManager
from session_mw.protocols import IndexedStore
from session_mw.stores.urls import open_store
from session_mw.testing.fixtures import loaded, new_key
from support.interrupting import break_off_at_a_call
from support.interrupts import MAY_LAND_IN_A_FINALIZER
from support.tokens import KEY
from support.visitors import Client

pytestmark = [
    MAY_LAND_IN_A_FINALIZER,
    pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="open files are counted in /proc"),
]


@pytest.fixture(params=["memory://", "file://{}/s", "sqlite:///{}/s.db", "sqlite+pysqlite:///{}/s.db"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[IndexedStore]:
    if "+" in request.param:
        pytest.importorskip("sqlalchemy")
    store = open_store(request.param.format(tmp_path))
    assert isinstance(store, IndexedStore)
    yield store
    store.close()


def broken_off(call: Callable[[], object], step: int) -> Iterator[list[BaseException]]:
    """Break a call off in a thread that lives on, at a later moment each time; the exceptions until then."""
    kept: list[BaseException] = []

    def noting() -> None:
        try:
            call()
        except BaseException as error:
            kept.append(error)
            raise

    with ThreadPoolExecutor(1) as threads:
        at = 0
        while True:
            attempt = threads.submit(break_off_at_a_call, noting, at)
            # SQLAlchemy makes another exception of what comes while it handles one.
            if attempt.exception() is None and not attempt.result():
                return
            yield kept
            at += step


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("what", ["load", "touch", "update", "create and delete", "keys_of"])
def test_a_store_keeps_no_lock_no_connection_and_no_file(store: IndexedStore, what: str) -> None:
    key = new_key()
    store.create(key, b"data", 600, "42")

    def create_and_delete() -> None:
        other = new_key()
        store.create(other, b"data", 600, "43")
        store.delete(other)

    calls: dict[str, Callable[[], object]] = {
        "load": lambda: store.load(key),
        "touch": lambda: store.touch(key, 600),
        "update": lambda: store.update(key, b"data", 600, loaded(store, key).version, "42"),
        "create and delete": create_and_delete,
        "keys_of": lambda: list(store.keys_of("42")),
    }
    calls[what]()
    before = open_files()
    # SQLAlchemy has about a thousand moments, and so has a directory that is listed.
    has_many = "SQLAlchemy" in repr(store) or (what == "keys_of" and "File" in repr(store))
    kept: list[BaseException] = []
    for kept in broken_off(calls[what], 31 if has_many else 1):  # noqa: B007
        began = time.monotonic()
        assert store.touch(key, 600)
        assert loaded(store, key).data == b"data"
        assert time.monotonic() - began < 1
    assert kept
    assert open_files() - before < 20


def test_a_saving_that_meets_others_keeps_nobody_waiting() -> None:
    client = Client(SessionManager(store="memory://"))
    client.do(lambda session: session.update(n=0))

    def meet_another() -> None:
        session = client.open()
        session["mine"] = time.monotonic()
        client.do(lambda other: other.update(n=other["n"] + 1))
        client.commit(session)

    for _ in broken_off(meet_another, 1):
        began = time.monotonic()
        meet_another()
        assert time.monotonic() - began < 1


def test_an_ending_keeps_nobody_waiting() -> None:
    sessions = SessionManager(KEY, revocations="memory://")
    for _ in broken_off(lambda: sessions.end_all("42"), 1):
        began = time.monotonic()
        sessions.end_all("42")
        assert time.monotonic() - began < 1


def test_threads_that_wait_for_an_interrupted_one_go_on(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/s.db?timeout=2")
    key = new_key()
    store.create(key, b"data", 600)
    for kept in broken_off(lambda: store.touch(key, 600), 5):
        with ThreadPoolExecutor(12) as threads:
            assert all(threads.map(lambda _: store.touch(key, 600), range(24)))
        assert threading.active_count() < 20
        assert kept is not None
    store.close()
