"""Calls that are broken off, and processes that are forked, in the middle of something."""

from __future__ import annotations

import ctypes
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("redis")

import redis

from session_mw.stores.redis import RedisStore
from session_mw.testing.fixtures import loaded, new_key
from support import dropping, services
from support.interrupting import BrokenOff, break_off, everywhere

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
    for _ in everywhere(lambda: CALLS[call](store, keys[0]), step=13 if call == "keys_of" else 3):
        assert_all_well(store, keys)
        points += 1
    assert points > 50
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
        at += 29
    assert at > 200


@pytest.mark.heavy
@pytest.mark.parametrize("make", KINDS, indirect=True)
def test_exceptions_set_in_threads_from_outside_mix_up_no_answers(make: Callable[[], RedisStore]) -> None:
    store, keys = filled(make)
    wrong, ends = list[str](), time.monotonic() + 3

    def read() -> None:
        while time.monotonic() < ends:
            key = random.choice(keys)
            if loaded(store, key).data != key.encode() or set(store.keys_of("42")) != set(keys):
                wrong.append(key)

    def read_on() -> None:
        while time.monotonic() < ends:
            try:
                read()
            except BrokenOff:
                continue

    threads = [threading.Thread(target=read_on) for _ in range(6)]
    for thread in threads:
        thread.start()
    while time.monotonic() < ends - 0.3:
        ident = ctypes.c_ulong(random.choice(threads).ident or 0)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(BrokenOff))
        time.sleep(random.uniform(0, 0.004))
    for thread in threads:
        thread.join(10)
    assert not wrong
    assert not any(thread.is_alive() for thread in threads)
    assert_all_well(store, keys)
    store.close()


def forks() -> Iterator[Any]:
    yield pytest.param(os.fork, id="told")
    # uWSGI's; the lock of the interpreter has to be held meanwhile
    yield pytest.param(ctypes.PyDLL(None).fork, id="not-told")


@pytest.mark.heavy
@pytest.mark.parametrize("make", KINDS, indirect=True)
@pytest.mark.parametrize("fork", forks())
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
        other.thaw()
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
@pytest.mark.parametrize("fork", forks())
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
