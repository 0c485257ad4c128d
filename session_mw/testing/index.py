"""Promises of stores that list by principal, and of stores that are swept."""

# ruff: noqa: S101 - a test asserts

from __future__ import annotations

from typing import Any

import pytest

from session_mw.protocols import IndexedStore
from session_mw.testing.fixtures import PassTime, StoreFixtures, loaded, new_key


class IndexPromises(StoreFixtures):
    """The list of a principal's records is right; a sweep removes what has expired."""

    def test_keys_are_listed_by_principal(self, indexed: IndexedStore) -> None:
        alice, bob = new_key(), new_key()
        hers, theirs = [new_key(), new_key()], new_key()
        for key in hers:
            assert indexed.create(key, b"data", 60, alice) is True
        indexed.create(theirs, b"data", 60, principal=bob)
        indexed.create(new_key(), b"data", 60)
        assert sorted(indexed.keys_of(alice)) == sorted(hers)
        assert list(indexed.keys_of(bob)) == [theirs]
        assert list(indexed.keys_of(new_key())) == []

    def test_each_writing_says_anew_whose_the_record_is(self, indexed: IndexedStore, key: str) -> None:
        alice, bob = new_key(), new_key()
        indexed.create(key, b"data", 60)
        for principal in (alice, bob, None, alice, alice):
            assert indexed.update(key, b"data", 60, loaded(indexed, key).version, principal) is True
            assert list(indexed.keys_of(alice)) == [key] * (principal == alice)
            assert list(indexed.keys_of(bob)) == [key] * (principal == bob)
        indexed.update(key, b"data", 60, loaded(indexed, key).version)
        assert list(indexed.keys_of(alice)) == []

    def test_a_refused_writing_changes_no_list(self, indexed: IndexedStore, key: str) -> None:
        alice, bob = new_key(), new_key()
        indexed.create(key, b"data", 60, alice)
        assert indexed.create(key, b"data", 60, bob) is False
        assert indexed.update(key, b"data", 60, "another version", bob) is False
        assert list(indexed.keys_of(alice)) == [key]
        assert list(indexed.keys_of(bob)) == []

    def test_a_deleted_record_leaves_the_list(self, indexed: IndexedStore, key: str) -> None:
        alice = new_key()
        indexed.create(key, b"data", 60, alice)
        indexed.delete(key)
        assert list(indexed.keys_of(alice)) == []
        indexed.create(key, b"data", 60)
        assert list(indexed.keys_of(alice)) == []

    def test_an_expired_record_leaves_the_list(self, indexed: IndexedStore, key: str, pass_time: PassTime) -> None:
        alice = new_key()
        indexed.create(key, b"data", 60, alice)
        pass_time(59)
        assert list(indexed.keys_of(alice)) == [key]
        pass_time(1)
        assert list(indexed.keys_of(alice)) == []

    def test_a_touched_record_stays_in_the_list(self, indexed: IndexedStore, key: str, pass_time: PassTime) -> None:
        alice = new_key()
        indexed.create(key, b"data", 60, alice)
        pass_time(59)
        indexed.touch(key, 60)
        pass_time(59)
        assert list(indexed.keys_of(alice)) == [key]

    @pytest.mark.parametrize(
        "name", ["42", "a b", "ä€😀", "a'b\"c;--", "*", "%", "a\nb\r\n\x00\x7f", "../x", "x" * 2000], ids=repr
    )
    def test_any_text_can_be_a_principal(self, indexed: IndexedStore, key: str, name: str) -> None:
        principal = name + new_key()
        indexed.create(key, b"data", 60, principal)
        assert list(indexed.keys_of(principal)) == [key]
        assert list(indexed.keys_of(principal + " ")) == []
        assert loaded(indexed, key).data == b"data"

    def test_a_sweep_removes_what_has_expired_and_nothing_else(
        self, sweepable: Any, key: str, pass_time: PassTime
    ) -> None:
        list(sweepable.sweep())
        short = [new_key() for _ in range(5)]
        for other in short:
            sweepable.create(other, b"short", 60)
        sweepable.create(key, b"long", 600)
        assert sweepable.count_expired() == 0
        pass_time(60)
        # records of others, with less time to live, may have expired as well
        expired = sweepable.count_expired()
        assert expired >= len(short)
        removed = list(sweepable.sweep(batch=2))
        assert sum(removed) == expired
        assert max(removed) <= 2
        assert sweepable.count_expired() == 0
        assert all(sweepable.load(other) is None for other in short)
        assert loaded(sweepable, key).data == b"long"
