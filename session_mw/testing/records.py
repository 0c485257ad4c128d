"""Promises about one record."""

# ruff: noqa: S101 - a test asserts

from __future__ import annotations

import time

import pytest

from session_mw.protocols import Store, is_store
from session_mw.testing.fixtures import PassTime, StoreFixtures, loaded, new_key


class RecordPromises(StoreFixtures):
    """Create, load, update, touch and delete."""

    def test_it_is_a_store(self, store: Store) -> None:
        assert is_store(store)

    def test_a_key_that_was_never_created_is_absent(self, store: Store, key: str) -> None:
        assert store.load(key) is None

    def test_loading_creates_nothing(self, store: Store, key: str) -> None:
        store.load(key)
        assert store.create(key, b"data", 60)

    def test_a_created_record_is_loaded(self, store: Store, key: str, pass_time: PassTime) -> None:
        assert store.create(key, b"data", 60) is True
        record = loaded(store, key)
        assert (record.data, record.expires) == (b"data", int(time.time()) + 60)
        assert type(record.data) is bytes
        assert type(record.expires) is int

    @pytest.mark.parametrize(
        "data",
        [b"", b"\x00", b"\r\n", b"\xff\xfe\x80", bytes(range(256)) * 16, b'{"a":"\xc3\xa4"}', b"x" * 200_000],
        ids=["empty", "NUL", "line end", "no UTF-8", "every byte", "UTF-8", "200 kB"],
    )
    def test_any_bytes_come_back_the_same(self, store: Store, key: str, data: bytes) -> None:
        store.create(key, data, 60)
        assert loaded(store, key).data == data
        assert store.update(key, data + b"!", 60, loaded(store, key).version)
        assert loaded(store, key).data == data + b"!"

    def test_a_taken_key_is_not_created_again(self, store: Store, key: str) -> None:
        store.create(key, b"first", 60)
        before = loaded(store, key)
        assert store.create(key, b"second", 600) is False
        assert loaded(store, key) == before

    def test_two_keys_hold_two_records(self, store: Store, key: str) -> None:
        other = new_key()
        store.create(key, b"one", 60)
        store.create(other, b"two", 60)
        store.delete(key)
        assert store.load(key) is None
        assert loaded(store, other).data == b"two"

    def test_reading_changes_nothing(self, store: Store, key: str) -> None:
        store.create(key, b"data", 60)
        assert loaded(store, key) == loaded(store, key)

    def test_a_record_is_updated_that_is_as_it_was_loaded(self, store: Store, key: str, pass_time: PassTime) -> None:
        store.create(key, b"old", 60)
        before = loaded(store, key)
        pass_time(10)
        assert store.update(key, b"new", 100, before.version) is True
        after = loaded(store, key)
        assert (after.data, after.expires) == (b"new", int(time.time()) + 100)
        assert after.version != before.version

    def test_an_update_may_shorten_the_time_to_live(self, store: Store, key: str, pass_time: PassTime) -> None:
        store.create(key, b"old", 600)
        assert store.update(key, b"new", 10, loaded(store, key).version)
        pass_time(10)
        assert store.load(key) is None

    def test_a_record_that_another_updated_is_not_updated(self, store: Store, key: str) -> None:
        store.create(key, b"first", 60)
        stale = loaded(store, key).version
        store.update(key, b"second", 60, stale)
        before = loaded(store, key)
        assert store.update(key, b"third", 600, stale) is False
        assert loaded(store, key) == before

    def test_the_same_data_written_again_is_another_version(self, store: Store, key: str) -> None:
        store.create(key, b"same", 60)
        stale = loaded(store, key).version
        assert store.update(key, b"same", 60, stale) is True
        assert store.update(key, b"lost", 60, stale) is False
        assert loaded(store, key).data == b"same"

    def test_an_update_never_creates(self, store: Store, key: str) -> None:
        store.create(key, b"data", 60)
        version = loaded(store, key).version
        other = new_key()
        assert store.update(other, b"new", 60, version) is False
        assert store.load(other) is None

    def test_a_record_that_was_deleted_is_not_updated(self, store: Store, key: str) -> None:
        store.create(key, b"data", 60)
        version = loaded(store, key).version
        store.delete(key)
        assert store.update(key, b"new", 60, version) is False
        assert store.load(key) is None

    def test_a_record_that_was_deleted_and_created_again_is_another(self, store: Store, key: str) -> None:
        store.create(key, b"data", 60)
        version = loaded(store, key).version
        store.delete(key)
        store.create(key, b"data", 60)
        assert loaded(store, key).version != version
        assert store.update(key, b"new", 60, version) is False
        assert loaded(store, key).data == b"data"

    @pytest.mark.parametrize("version", [None, 0, -1, 2**80, "", "x", b"x", ("x", 1), ()], ids=repr)
    def test_a_version_that_the_store_never_gave_is_refused(self, store: Store, key: str, version: object) -> None:
        store.create(key, b"data", 60)
        assert store.update(key, b"new", 60, version) is False
        assert loaded(store, key).data == b"data"

    def test_a_touch_moves_the_end_and_nothing_else(self, store: Store, key: str, pass_time: PassTime) -> None:
        store.create(key, b"data", 60)
        before = loaded(store, key)
        pass_time(30)
        assert store.touch(key, 60) is True
        assert loaded(store, key) == before._replace(expires=before.expires + 30)

    def test_a_touched_record_is_updated_by_who_loaded_it_before(self, store: Store, key: str) -> None:
        store.create(key, b"data", 60)
        version = loaded(store, key).version
        store.touch(key, 120)
        assert store.update(key, b"new", 60, version) is True
        assert loaded(store, key).data == b"new"

    def test_a_touched_record_lives_longer(self, store: Store, key: str, pass_time: PassTime) -> None:
        store.create(key, b"data", 60)
        pass_time(59)
        store.touch(key, 60)
        pass_time(59)
        assert loaded(store, key).data == b"data"
        pass_time(1)
        assert store.load(key) is None

    def test_a_touch_never_creates(self, store: Store, key: str) -> None:
        assert store.touch(key, 60) is False
        assert store.load(key) is None

    def test_a_touch_does_not_bring_back_what_was_deleted(self, store: Store, key: str) -> None:
        store.create(key, b"data", 60)
        store.delete(key)
        assert store.touch(key, 60) is False
        assert store.load(key) is None

    def test_a_deleted_record_is_absent(self, store: Store, key: str) -> None:
        store.create(key, b"data", 60)
        store.delete(key)
        assert store.load(key) is None

    def test_deleting_what_is_absent_is_no_error(self, store: Store, key: str) -> None:
        store.delete(key)
        store.delete(key)
        assert store.load(key) is None
