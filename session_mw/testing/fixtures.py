"""What the promises are tested with."""

# ruff: noqa: S101 - a test asserts

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any

import pytest

from session_mw.protocols import IndexedStore, Record, Store, is_indexed, is_sweepable

PassTime = Callable[[float], None]


class StoreFixtures:
    """The fixtures beside ``store``, which the inheriting class has."""

    @pytest.fixture
    def key(self) -> str:
        """A key that no store holds yet."""
        return new_key()

    @pytest.fixture
    def pass_time(self, monkeypatch: pytest.MonkeyPatch) -> PassTime:
        """Stops the clock at a whole second, and moves it when called."""
        now = [float(int(time.time()))]
        monkeypatch.setattr(time, "time", lambda: now[0])

        def move(seconds: float) -> None:
            now[0] += seconds

        return move

    @pytest.fixture
    def indexed(self, store: Store) -> IndexedStore:
        """The store, if it has an index."""
        if not is_indexed(store):
            pytest.skip("this store has no index")
        return store

    @pytest.fixture
    def sweepable(self, store: Any) -> Any:
        """The store, if it can be swept."""
        if not is_sweepable(store):
            pytest.skip("this store does not need to be swept")
        return store


def new_key() -> str:
    """64 hexadecimal digits, as a key is; also a name that nobody else has."""
    return secrets.token_hex(32)


def loaded(store: Store, key: str) -> Record:
    """The record, which has to be there."""
    record = store.load(key)
    assert record is not None, "the record is gone"
    return record
