"""Promises about when a record ends."""

# ruff: noqa: S101 - a test asserts

from __future__ import annotations

import time

from session_mw.protocols import Store
from session_mw.testing.fixtures import PassTime, StoreFixtures, loaded


class LifetimePromises(StoreFixtures):
    """An expired record is absent for every method."""

    def test_a_record_is_there_until_the_second_before_its_end(
        self, store: Store, key: str, pass_time: PassTime
    ) -> None:
        store.create(key, b"data", 60)
        pass_time(59.9)
        assert loaded(store, key).data == b"data"

    def test_a_record_is_absent_from_its_end_on(self, store: Store, key: str, pass_time: PassTime) -> None:
        store.create(key, b"data", 60)
        pass_time(60)
        assert store.load(key) is None
        pass_time(10_000_000)
        assert store.load(key) is None

    def test_an_expired_record_is_not_updated(self, store: Store, key: str, pass_time: PassTime) -> None:
        store.create(key, b"data", 60)
        version = loaded(store, key).version
        pass_time(60)
        assert store.update(key, b"new", 60, version) is False
        assert store.load(key) is None

    def test_an_expired_record_is_not_touched(self, store: Store, key: str, pass_time: PassTime) -> None:
        store.create(key, b"data", 60)
        pass_time(60)
        assert store.touch(key, 60) is False
        assert store.load(key) is None

    def test_an_expired_record_does_not_take_its_key(self, store: Store, key: str, pass_time: PassTime) -> None:
        store.create(key, b"old", 60)
        version = loaded(store, key).version
        pass_time(60)
        assert store.create(key, b"new", 60) is True
        assert loaded(store, key).data == b"new"
        assert store.update(key, b"lost", 60, version) is False

    def test_an_expired_record_can_be_deleted(self, store: Store, key: str, pass_time: PassTime) -> None:
        store.create(key, b"data", 60)
        pass_time(60)
        store.delete(key)
        assert store.create(key, b"new", 60) is True

    def test_a_time_to_live_of_more_than_thirty_days_is_no_date(
        self, store: Store, key: str, pass_time: PassTime
    ) -> None:
        store.create(key, b"data", 400 * 86400)
        assert loaded(store, key).expires == int(time.time()) + 400 * 86400
        store.update(key, b"data", 31 * 86400, loaded(store, key).version)
        store.touch(key, 60 * 86400)
        assert loaded(store, key).expires == int(time.time()) + 60 * 86400
