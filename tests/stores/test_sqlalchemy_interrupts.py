"""Calls that are broken off, greenlets, and forks: what they leave to the next call."""

from __future__ import annotations

import ctypes
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy")

from session_mw.stores.sqlalchemy import SQLAlchemyStore
from session_mw.testing.fixtures import loaded, new_key
from support import databases
from support.databases import EVERY_DRIVER, POSTGRESQL_DRIVERS
from support.forks import code_of, start_untold

pytestmark = pytest.mark.heavy


@pytest.fixture(params=EVERY_DRIVER, ids=lambda pair: pair[1])
def driver(request: pytest.FixtureRequest) -> str:
    return databases.driver(request.param[1])


@pytest.fixture
def url(request: pytest.FixtureRequest, driver: str) -> str:
    server: Any = request.getfixturevalue("postgresql" if driver in POSTGRESQL_DRIVERS else "mariadb")
    return f"{server.url(driver)}?table={databases.a_table()}"


@pytest.fixture
def store(url: str) -> Iterator[SQLAlchemyStore]:
    store = SQLAlchemyStore.from_url(f"{url}&pool_size=2")
    yield store
    store.close()


class TooSlow(BaseException):
    """What a tool sets in a thread whose request takes too long."""


class TooSlowError(Exception):
    """The same, of a tool that derives it from Exception."""


# Forks first: a child inherits what the exceptions below leave locked in a driver or in an import.


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_that_python_is_not_told_of_shares_no_connection(
    store: SQLAlchemyStore, url: str, driver: str, request: pytest.FixtureRequest
) -> None:
    keys = [new_key() for _ in range(20)]
    for key in keys:
        store.create(key, key.encode(), 600)

    def reads_its_own() -> bool:
        own = new_key()
        return (
            all(loaded(store, key).data == key.encode() for key in keys * 3)
            and store.create(own, b"child", 600)
            and loaded(store, own).data == b"child"
        )

    server: Any = request.getfixturevalue("postgresql" if driver in POSTGRESQL_DRIVERS else "mariadb")
    with ThreadPoolExecutor(1) as threads, databases.locked_row(server, url.rpartition("=")[2], keys[0]):
        # a call goes on in another thread at the fork
        waiting = threads.submit(store.touch, keys[0], 600)
        time.sleep(0.3)
        children = [start_untold(reads_its_own) for _ in range(2)]
        assert all(loaded(store, key).data == key.encode() for key in keys * 3)
        assert [code_of(child) for child in children] == [0, 0]
    assert waiting.result(20)
    assert loaded(store, keys[0]).data == keys[0].encode()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_no_two_processes_make_the_same_version(store: SQLAlchemyStore) -> None:
    keys = [new_key() for _ in range(4)]
    children = [start_untold(lambda key=key: store.create(key, b"data", 600)) for key in keys]
    assert [code_of(child) for child in children] == [0] * 4
    assert len({loaded(store, key).version for key in keys}) == 4


# Exceptions from outside


def assert_all_is_well(store: SQLAlchemyStore, keys: list[str]) -> None:
    """As many threads as there are places find their own records at once."""
    with ThreadPoolExecutor(24) as threads:
        began = time.monotonic()
        found = list(threads.map(lambda key: loaded(store, key).data == key.encode(), keys * 8))
        assert all(found)
        assert time.monotonic() - began < 5


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning",
    "ignore::pytest.PytestUnhandledThreadExceptionWarning",
    "ignore::ResourceWarning",
)
# The exception may come while pytest itself tells of another one.
@pytest.mark.flaky(reruns=3)
@pytest.mark.parametrize("error", [TooSlow, TooSlowError])
def test_what_is_set_in_a_thread_from_outside_leaves_no_late_answer_and_no_place_lost(
    store: SQLAlchemyStore, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    # One that comes outside of the try block ends the worker; the next could come in the hook that tells of it.
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    keys = [new_key() for _ in range(3)]
    for key in keys:
        store.create(key, key.encode(), 600)
    stop, wrong = threading.Event(), []

    def ask() -> None:
        key = random.choice(keys)
        if loaded(store, key).data != key.encode():
            wrong.append(key)
        store.touch(key, 600)

    interrupt_often(
        [threading.Thread(target=again_and_again, args=(ask, stop), daemon=True) for _ in range(2)], error, stop
    )
    assert wrong == []
    assert_all_is_well(store, keys)


def again_and_again(work: Callable[[], object], stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            while not stop.is_set():
                work()
        except (TooSlow, TooSlowError):
            pass


def interrupt_often(workers: list[threading.Thread], error: type[BaseException], stop: threading.Event) -> None:
    """Set an exception in each thread again and again, at random moments."""
    for worker in workers:
        worker.start()
    for _ in range(150):
        time.sleep(random.uniform(0, 0.01))
        for worker in workers:
            if not worker.is_alive():
                continue
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(worker.ident or 0), ctypes.py_object(error))
    # the last one has arrived before the work may end
    time.sleep(0.3)
    stop.set()
    for worker in workers:
        worker.join(20)
        assert not worker.is_alive()


GEVENT = """
from gevent import monkey
monkey.patch_all()
import sys, time, warnings
import gevent
from session_mw import StoreError
from session_mw.stores.sqlalchemy import SQLAlchemyStore
warnings.simplefilter("ignore")

store = SQLAlchemyStore.from_url(sys.argv[1] + "&pool_size=2&timeout=5")
keys = [f"{number:064x}" for number in range(12)]
for key in keys:
    assert store.create(key, key.encode(), 600)

def own(key):
    return store.load(key).data == key.encode() and store.touch(key, 600)

assert all(one.get() for one in [gevent.spawn(own, key) for key in keys])
for turn in range(16):
    with gevent.Timeout(0.0005 * (turn % 8 + 1), False):
        for key in keys:
            assert own(key)
    victims = [gevent.spawn(own, key) for key in keys[:4]]
    gevent.sleep(0.0005 * (turn % 8))
    gevent.killall(victims)
assert all(one.get() for one in [gevent.spawn(own, key) for key in keys])
print("well", flush=True)
sys.stdin.readline()
for _ in range(2):
    began = time.monotonic()
    try:
        store.load(keys[0])
        print("answered")
    except StoreError as error:
        print("given up" if time.monotonic() - began < 9 else "late", flush=True)
sys.stdin.readline()
print("answers" if own(keys[1]) else "wrong", flush=True)
store.close()
"""


def test_greenlets_that_time_out_or_are_killed_leave_no_late_answer(
    url: str, driver: str, request: pytest.FixtureRequest
) -> None:
    pytest.importorskip("gevent")
    server: Any = request.getfixturevalue("postgresql" if driver in POSTGRESQL_DRIVERS else "mariadb")
    command = [sys.executable, "-c", GEVENT, url]
    source = Path(__file__).parents[2]
    process = subprocess.Popen(command, cwd=source, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "well\n"
        server.freeze()
        process.stdin.write("\n")
        process.stdin.flush()
        assert [process.stdout.readline() for _ in range(2)] == ["given up\n"] * 2
        server.thaw()
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "answers\n"
        assert process.wait(20) == 0
    finally:
        server.thaw()
        process.kill()
        process.communicate()
