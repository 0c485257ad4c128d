"""From one store to another while the site runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from clocks import Clock
from session_mw.exceptions import StoreError
from session_mw.protocols import Record
from session_mw.stores.file import FileStore
from session_mw.stores.memory import MemoryStore
from session_mw.stores.migrating import SEAL, MigratingStore, sealed
from session_mw.stores.sqlite import SQLiteStore
from session_mw.testing.fixtures import loaded, new_key
from session_mw.testing.parallel import add, at_once

KEY = "0123456789abcdef" * 4


@pytest.fixture
def new() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def old() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def moving(new: MemoryStore, old: MemoryStore) -> MigratingStore:
    return MigratingStore(new, old)


def test_a_record_moves_when_it_is_written(moving: MigratingStore, new: MemoryStore, old: MemoryStore) -> None:
    old.create(KEY, b"old", 60)
    record = loaded(moving, KEY)
    assert record.data == b"old"
    assert new.load(KEY) is None
    assert moving.update(KEY, b"new", 600, record.version)
    assert old.load(KEY) is None
    assert loaded(new, KEY).data == loaded(moving, KEY).data == b"new"


def test_a_touched_record_stays_where_it_is(moving: MigratingStore, new: MemoryStore, old: MemoryStore) -> None:
    old.create(KEY, b"old", 60)
    version = loaded(moving, KEY).version
    assert moving.touch(KEY, 600)
    assert loaded(old, KEY).expires == int(time.time()) + 600
    assert new.load(KEY) is None
    assert moving.update(KEY, b"new", 60, version)


def test_new_records_are_new(moving: MigratingStore, new: MemoryStore, old: MemoryStore) -> None:
    old.create(KEY, b"old", 60)
    assert moving.create(KEY, b"new", 60) is False
    other = new_key()
    assert moving.create(other, b"new", 60) is True
    assert loaded(new, other).data == b"new"
    assert old.load(other) is None


def test_a_log_out_removes_from_both(moving: MigratingStore, new: MemoryStore, old: MemoryStore) -> None:
    old.create(KEY, b"old", 60)
    new.create(KEY, b"new", 60)
    moving.delete(KEY)
    assert new.load(KEY) is None
    assert old.load(KEY) is None


@pytest.mark.parametrize("step", ["create", "update"])
def test_a_log_out_in_the_middle_of_a_move_is_not_undone(
    moving: MigratingStore, new: MemoryStore, old: MemoryStore, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    old.create(KEY, b"old", 60)
    version = loaded(moving, KEY).version
    write = getattr(new, step)

    def log_out_first(*record: object) -> bool:
        moving.delete(KEY)
        return write(*record)  # type: ignore[no-any-return]

    monkeypatch.setattr(new, step, log_out_first)
    moving.update(KEY, b"new", 60, version)
    assert moving.load(KEY) is None
    assert new.load(KEY) is None


def test_a_move_in_the_middle_of_a_log_out_does_not_undo_it(
    moving: MigratingStore, new: MemoryStore, old: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    old.create(KEY, sealed(b"2", None), 60)

    def delete_then_move(delete: Callable[[str], None], key: str) -> None:
        delete(key)
        monkeypatch.undo()
        moving._copy(key, b"2", 60, None)

    for store in (new, old):
        monkeypatch.setattr(store, "delete", partial(delete_then_move, store.delete))
    moving.delete(KEY)
    assert moving.load(KEY) is None


def test_a_move_that_was_killed_half_way_is_finished_by_the_next_writer(
    moving: MigratingStore, new: MemoryStore, old: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    old.create(KEY, b"1", 60)
    version = loaded(moving, KEY).version
    with monkeypatch.context() as patch:
        patch.setattr(moving, "_copy", lambda *_: None)
        assert moving.update(KEY, b"2", 60, version)
    assert loaded(old, KEY).data == sealed(b"2", None)
    assert loaded(moving, KEY).data == b"2"
    assert moving.touch(KEY, 600)
    add(moving, KEY, 1)
    assert loaded(new, KEY).data == b"3"
    assert old.load(KEY) is None


def test_a_copy_counts_only_when_it_is_opened(
    moving: MigratingStore, new: MemoryStore, old: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    old.create(KEY, b"1", 60)
    version = loaded(moving, KEY).version

    def fail_on(key: str) -> None:
        raise StoreError("down")

    with monkeypatch.context() as patch:
        create = new.create
        patch.setattr(new, "create", lambda *record: create(*record) and patch.setattr(old, "load", fail_on))
        with pytest.raises(StoreError):
            moving.update(KEY, b"2", 60, version)
    assert loaded(new, KEY).data == sealed(b"2", None)
    assert loaded(moving, KEY).data == b"2"
    old.delete(KEY)
    assert moving.load(KEY) is None
    assert moving.update(KEY, b"3", 60, version) is False


def test_a_damaged_sealed_record_is_one_without_data(moving: MigratingStore, old: MemoryStore) -> None:
    for damaged in (b"", b"x:data", b"9" * 5000 + b":data", b"1:\xffdata", b"-1:"):
        key = new_key()
        old.create(key, SEAL + damaged, 60)
        assert loaded(moving, key).data == b""


@pytest.mark.parametrize("principal", ["42", "a:b\x00ü", "\ud800"])
def test_whoever_finishes_a_move_lists_the_record_of_the_one_who_began_it(
    moving: MigratingStore, new: MemoryStore, old: MemoryStore, monkeypatch: pytest.MonkeyPatch, principal: str
) -> None:
    old.create(KEY, b"1", 60)
    version = loaded(moving, KEY).version
    with monkeypatch.context() as patch:
        patch.setattr(moving, "_copy", lambda *_: None)
        assert moving.update(KEY, b"2", 60, version, principal)  # type: ignore[call-arg]
    assert moving.update(KEY, b"3", 60, loaded(moving, KEY).version) is False
    assert list(new.keys_of(principal)) == [KEY]
    assert loaded(new, KEY).data == b"2"


def test_what_a_killed_writer_could_not_clear_does_not_come_back(
    moving: MigratingStore, new: MemoryStore, old: MemoryStore, clock: Clock
) -> None:
    old.create(KEY, sealed(b"2", None), 600)
    new.create(KEY, b"2", 600)
    assert moving.update(KEY, b"3", 60, loaded(moving, KEY).version)
    clock.advance(61)
    assert moving.load(KEY) is None


def test_a_log_out_between_two_writers_who_finish_one_move_is_not_undone(
    moving: MigratingStore, new: MemoryStore, old: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    old.create(KEY, b"1", 60)
    version = loaded(moving, KEY).version
    load = old.load

    def log_out_and_copy_again(key: str) -> Record | None:
        record = load(key)
        if new.load(key) is not None:
            monkeypatch.setattr(old, "load", load)
            moving.delete(key)
            new.create(key, sealed(b"2", None), 60)
        return record

    monkeypatch.setattr(old, "load", log_out_and_copy_again)
    moving.update(KEY, b"2", 60, version)
    assert moving.load(KEY) is None


def test_a_touch_moves_the_end_of_a_sealed_record_in_both_stores(
    moving: MigratingStore, new: MemoryStore, old: MemoryStore
) -> None:
    for store in (new, old):
        store.create(KEY, sealed(b"2", None), 60)
    assert moving.touch(KEY, 600)
    assert loaded(new, KEY).expires == loaded(old, KEY).expires == int(time.time()) + 600
    add(moving, KEY, 1)
    assert loaded(new, KEY).data == b"3"
    assert old.load(KEY) is None


def test_a_killed_move_can_be_logged_out(moving: MigratingStore, old: MemoryStore) -> None:
    old.create(KEY, sealed(b"2", None), 60)
    version = loaded(moving, KEY).version
    moving.delete(KEY)
    assert moving.load(KEY) is None
    assert moving.update(KEY, b"3", 60, version) is False
    assert moving.load(KEY) is None


def test_a_reader_finds_a_record_that_moves_while_it_looks(
    moving: MigratingStore, old: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    old.create(KEY, b"1", 60)
    load = old.load

    def move_first(key: str) -> Record | None:
        monkeypatch.setattr(old, "load", load)
        add(moving, KEY, 1)
        return load(key)

    monkeypatch.setattr(old, "load", move_first)
    assert loaded(moving, KEY).data == b"2"


def test_the_lists_of_both_stores_are_one(moving: MigratingStore, new: MemoryStore, old: MemoryStore) -> None:
    both, other = new_key(), new_key()
    new.create(KEY, b"data", 60, "42")
    old.create(other, b"data", 60, "42")
    new.create(both, b"data", 60, "42")
    old.create(both, b"data", 60, "42")
    assert moving.keys_of("42") == {KEY, other, both}  # type: ignore[attr-defined]


def test_writers_and_a_log_out_cross_without_losing_either(tmp_path: Path) -> None:
    old, new = SQLiteStore(tmp_path / "old.db"), FileStore(tmp_path / "new")
    moving = MigratingStore(new, old)
    for _ in range(20):
        key = new_key()
        old.create(key, b"0", 60)
        at_once(lambda _, key=key: add(moving, key, 3))  # type: ignore[misc]
        assert loaded(moving, key).data == b"24"
        assert old.load(key) is None
        ended = new_key()
        old.create(ended, b"0", 60)

        def work(number: int, key: str = ended) -> None:
            record = moving.load(key)
            if number == 0:
                moving.delete(key)
            elif record is not None:
                moving.update(key, b"1", 60, record.version)

        at_once(work)
        assert moving.load(ended) is None
        assert new.load(ended) is None
    moving.close()
