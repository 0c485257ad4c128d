"""Promises to threads and processes that use one store at once."""

# ruff: noqa: S101 - a test asserts

from __future__ import annotations

import os
from functools import partial
from typing import Any

import pytest

from session_mw.protocols import Store
from session_mw.testing.fixtures import StoreFixtures, loaded, new_key
from session_mw.testing.parallel import THREADS, add, at_once, forked

ROUNDS = 20


def create(store: Store, key: str, number: int) -> bool:
    """Create the record; its data is the thread's number."""
    return store.create(key, b"%d" % number, 60)


def update(store: Store, key: str, version: Any, number: int) -> bool:
    """Update the record; its data is the thread's number."""
    return store.update(key, b"%d" % number, 60, version)


class ConcurrencyPromises(StoreFixtures):
    """One wins, nothing is lost, nothing comes back."""

    def test_of_threads_that_create_one_key_exactly_one_does(self, store: Store) -> None:
        for _ in range(ROUNDS):
            key = new_key()
            won = at_once(partial(create, store, key))
            assert won.count(True) == 1
            assert loaded(store, key).data == b"%d" % won.index(True)

    def test_of_threads_that_update_one_version_exactly_one_does(self, store: Store, key: str) -> None:
        store.create(key, b"", 60)
        for _ in range(ROUNDS):
            version = loaded(store, key).version
            won = at_once(partial(update, store, key, version))
            assert won.count(True) == 1
            assert loaded(store, key).data == b"%d" % won.index(True)

    def test_threads_that_add_to_one_record_lose_nothing(self, store: Store, key: str) -> None:
        store.create(key, b"0", 60)
        at_once(lambda _: add(store, key, ROUNDS))
        assert loaded(store, key).data == b"%d" % (THREADS * ROUNDS)

    def test_touches_lose_no_update(self, store: Store, key: str) -> None:
        store.create(key, b"0", 60)

        def work(number: int) -> None:
            for _ in range(ROUNDS):
                if number % 2:
                    assert store.touch(key, 60 + number)
                else:
                    add(store, key, 1)

        at_once(work)
        assert loaded(store, key).data == b"%d" % (THREADS // 2 * ROUNDS)

    def test_what_is_deleted_while_others_write_stays_deleted(self, store: Store) -> None:
        for _ in range(ROUNDS):
            key = new_key()
            store.create(key, b"data", 60)
            version = loaded(store, key).version

            def work(number: int, key: str = key, version: object = version) -> None:
                if number == 0:
                    store.delete(key)
                elif number % 2:
                    store.update(key, b"%d" % number, 60, version)
                else:
                    store.touch(key, 60)

            at_once(work)
            assert store.load(key) is None

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
    @pytest.mark.parametrize("told", [True, False], ids=["told", "untold"])
    def test_it_goes_on_working_in_a_forked_process_and_in_its_parent(self, store: Store, key: str, told: bool) -> None:
        store.create(key, b"parent", 60)

        def in_child() -> bool:
            own = new_key()
            return (
                loaded(store, key).data == b"parent"
                and store.create(own, b"child", 60)
                and store.update(own, b"again", 60, loaded(store, own).version)
                and loaded(store, own).data == b"again"
            )

        assert forked(in_child, told=told)
        assert loaded(store, key).data == b"parent"
        assert store.update(key, b"again", 60, loaded(store, key).version)
        assert forked(lambda: loaded(store, key).data == b"again", told=told)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
    @pytest.mark.parametrize("told", [True, False], ids=["told", "untold"])
    def test_no_two_processes_make_the_same_version(self, store: Store, key: str, told: bool) -> None:
        def update_it() -> bool:
            return store.update(key, b"child", 60, loaded(store, key).version)

        store.create(key, b"parent", 60)
        assert forked(update_it, told=told)
        if loaded(store, key).data == b"parent":
            pytest.skip("each process has records of its own")
        stale = loaded(store, key).version
        assert forked(update_it, told=told)
        assert store.update(key, b"parent", 60, stale) is False
        assert loaded(store, key).data == b"child"
