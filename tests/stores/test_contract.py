"""Every embedded store keeps the contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from session_mw.protocols import Store
from session_mw.stores.file import FileStore
from session_mw.stores.memory import MemoryStore
from session_mw.stores.migrating import IndexedMigratingStore, MigratingStore
from session_mw.stores.sqlite import SQLiteStore
from session_mw.testing import StoreContract


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> Iterator[Store]:
        store = MemoryStore()
        yield store
        store.close()


class TestFileStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        store = FileStore(tmp_path / "sessions")
        yield store
        store.close()


class TestSQLiteStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        store = SQLiteStore(tmp_path / "sessions.db")
        yield store
        store.close()


class TestMigratingStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        store = MigratingStore(SQLiteStore(tmp_path / "sessions.db"), MemoryStore())
        yield store
        store.close()


class BornOld(IndexedMigratingStore):
    """Creates where the sessions are before the move."""

    def create(self, key: str, data: bytes, ttl: int, principal: str | None = None) -> bool:
        assert isinstance(self._old, SQLiteStore)
        return self._new.load(key) is None and self._old.create(key, data, ttl, principal)


class TestRecordsOnTheMove(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        store = BornOld(FileStore(tmp_path / "sessions"), SQLiteStore(tmp_path / "sessions.db"))
        yield store
        store.close()


class TestStoresThatHoldRecordsOfOthers(StoreContract):
    """All tests meet one store, which holds what those before have left."""

    @pytest.fixture(params=["file", "sqlite"])
    def store(self, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
        folder = tmp_path_factory.getbasetemp() / "records of others"
        folder.mkdir(exist_ok=True)
        store: Store = FileStore(folder / "files") if request.param == "file" else SQLiteStore(folder / "sessions.db")
        yield store
        store.close()
