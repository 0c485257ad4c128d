"""Calls that are broken off, and processes that are forked, in the middle of something."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("redis")

import redis

from session_mw.stores.redis import RedisStore
from session_mw.testing.fixtures import loaded, new_key
from support import breaking_threads, dropping, services
from support.interrupting import break_off, everywhere

# A socket that was being opened when the call was broken off is left to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

KINDS = ["url", "client", pytest.param("sentinel", marks=pytest.mark.heavy)]
CALLS: dict[str, Callable[[RedisStore, str], Any]] = {
    "load": lambda store, key: store.load(key),
    "create": lambda store, key: store.create(new_key(), b"a", 60, "42"),
    "touch": lambda store, key: store.touch(key, 600),
    "keys_of": lambda store, key: store.keys_of("42"),
}


@pytest.fixture
def make(request: pytest.FixtureRequest, valkey: services.Service) -> Callable[[], RedisStore]:
    """Makes stores of a kind, all of the same records, with two connections each, in database 1."""
    prefix, kind = f"{new_key()}:", request.param
    if kind == "client":
        pool = {"port": valkey.port, "db": 1, "max_connections": 2, "timeout": 2, "socket_timeout": 2}
        return lambda: RedisStore(redis.Redis(connection_pool=redis.BlockingConnectionPool(**pool)), prefix)
    url = f"{valkey.url}/1" if kind == "url" else f"{request.getfixturevalue('valkey_sentinel').url}/master/1"
    return lambda: RedisStore.from_url(f"{url}?prefix={prefix}&max_connections=2")


def assert_all_well(store: RedisStore, keys: list[str]) -> None:
    """Each key has its own record, and nobody waits for a lost place."""
    began = time.monotonic()
    for key in keys:
        assert loaded(store, key).data == key.encode()
    assert time.monotonic() - began < 1.5


def filled(make: Callable[[], RedisStore]) -> tuple[RedisStore, list[str]]:
    store, keys = make(), [new_key() for _ in range(3)]
    for key in keys:
        store.create(key, key.encode(), 600, "42")
    return store, keys


@pytest.mark.heavy
@pytest.mark.parametrize("make", KINDS, indirect=True)
@pytest.mark.parametrize("call", CALLS)
def test_a_call_that_is_broken_off_anywhere_leaves_no_late_answer_and_loses_no_place(
    make: Callable[[], RedisStore], call: str
) -> None:
    store, keys = filled(make)
    points = 0
    for _ in everywhere(lambda: CALLS[call](store, keys[0]), step=67 if call == "keys_of" else 7):
        assert_all_well(store, keys)
        points += 1
    assert points > 10
    store.close()


@pytest.mark.heavy
@pytest.mark.parametrize("make", KINDS, indirect=True)
def test_a_first_call_that_is_broken_off_leaves_no_connection_without_its_database(
    make: Callable[[], RedisStore],
) -> None:
    store, keys = filled(make)
    store.close()
    at, made = 0, list[RedisStore]()

    def connect() -> None:
        made[:] = [make()]
        made[0].load(keys[0])

    while break_off(connect, at):
        for fresh in made:
            assert_all_well(fresh, keys)
            fresh.close()
        at += 131
    assert at > 200


@pytest.mark.heavy
@pytest.mark.parametrize("kind", ["url", "client", "sentinel"])
def test_exceptions_set_in_threads_from_outside_mix_up_no_answers(
    valkey: services.Service, valkey_sentinel: services.Service, kind: str
) -> None:
    arguments = {
        "url": [f"{valkey.url}/1"],
        "client": ["--client", str(valkey.port)],
        "sentinel": [f"{valkey_sentinel.url}/master/1"],
    }[kind]
    tests = str(Path(breaking_threads.__file__).parents[1])
    ended = subprocess.run(
        [sys.executable, breaking_threads.__file__, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([tests, *sys.path])},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


FORKS = [
    pytest.param(os.fork, id="told"),
    # uWSGI's; the interpreter's lock has to be held meanwhile
    pytest.param(ctypes.PyDLL(None).fork, id="not-told"),
]


@pytest.mark.heavy
@pytest.mark.parametrize("make", KINDS, indirect=True)
@pytest.mark.parametrize("fork", FORKS)
def test_a_child_reads_while_its_parents_connections_are_all_in_use(
    start_valkey: Callable[..., services.Service], make: Callable[[], RedisStore], fork: Callable[[], int]
) -> None:
    store, keys = filled(make)
    other = start_valkey()
    held = RedisStore.from_url(f"{other.url}?max_connections=1&timeout=3")
    assert held.load(keys[0]) is None
    dropping.hang(other)
    # one waits for an answer, the others for a place
    threads = [threading.Thread(target=lambda: held.load(keys[0])) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    child = fork()
    if child == 0:
        # not by thaw(), which first asks after a process that is not this one's child
        os.kill(other.process.pid, signal.SIGCONT)
        os._exit(0 if held.load(keys[0]) is None and loaded(store, keys[1]).data == keys[1].encode() else 1)
    status = os.waitpid(child, 0)[1]
    other.thaw()
    for thread in threads:
        thread.join(10)
    assert status == 0
    assert_all_well(store, keys)
    held.close()
    store.close()


@pytest.mark.heavy
@pytest.mark.parametrize("make", KINDS, indirect=True)
@pytest.mark.parametrize("fork", FORKS)
def test_parent_and_children_make_different_versions(make: Callable[[], RedisStore], fork: Callable[[], int]) -> None:
    store, (key, *_) = filled(make)
    reading, writing = os.pipe()
    for _ in range(3):
        child = fork()
        if child == 0:
            mine = new_key()
            store.create(mine, b"a", 60)
            os.write(writing, loaded(store, mine).version)
            os._exit(0)
        os.waitpid(child, 0)
    store.update(key, b"b", 60, loaded(store, key).version)
    versions = os.read(reading, 1000).decode()
    assert len({versions[at : at + 16] for at in range(0, 48, 16)} | {loaded(store, key).version.decode()}) == 4
    os.close(reading)
    os.close(writing)
    store.close()
