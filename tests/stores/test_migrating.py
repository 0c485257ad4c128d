"""From one store to another while the site runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from session_mw.exceptions import ConfigurationError, StoreError
from session_mw.protocols import Record
from session_mw.stores.file import FileStore
from session_mw.stores.memory import MemoryStore
from session_mw.stores.migrating import MARKER, MigratingStore
from session_mw.stores.sqlite import SQLiteStore
from session_mw.testing.fixtures import loaded, new_key
from session_mw.testing.parallel import add, at_once
from support.clock import Clock

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


@pytest.mark.parametrize("wrong", ["sqlite:///sessions.db", MemoryStore, None])
def test_what_is_no_store_is_refused(wrong: Any) -> None:
    for stores in ((MemoryStore(), wrong), (wrong, MemoryStore())):
        with pytest.raises(ConfigurationError, match=r"two stores are needed, not .*open_store"):
            MigratingStore(*stores)


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
    moving: MigratingStore,
    new: MemoryStore,
    old: MemoryStore,
    monkeypatch: pytest.MonkeyPatch,
    clock: Clock,
    step: str,
) -> None:
    old.create(KEY, b"old", 60)
    version = loaded(moving, KEY).version
    write = getattr(new, step)

    def log_out_first(*record: object) -> bool:
        moving.delete(KEY)
        return write(*record)  # type: ignore[no-any-return]

    with monkeypatch.context() as patch:
        patch.setattr(new, step, log_out_first)
        assert moving.update(KEY, b"new", 60, version) is False
    assert moving.load(KEY) is None
    assert moving.touch(KEY, 60) is False
    clock.advance(1)
    assert new.load(KEY) is None


def test_a_move_in_the_middle_of_a_log_out_does_not_undo_it(
    moving: MigratingStore, new: MemoryStore, old: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    old.create(KEY, b"1", 60)
    version = loaded(moving, KEY).version

    def delete_then_move(delete: Callable[[str], None], key: str) -> None:
        delete(key)
        monkeypatch.undo()
        assert moving.update(key, b"2", 60, version) is False

    for store in (new, old):
        monkeypatch.setattr(store, "delete", partial(delete_then_move, store.delete))
    moving.delete(KEY)
    assert moving.load(KEY) is None
    assert new.load(KEY) is None


def down(*_: object) -> bool:
    raise StoreError("down")


@pytest.mark.parametrize(("store", "step"), [("old", "load"), ("new", "update")])
def test_a_move_that_fails_half_way_leaves_the_old_record_to_the_next_writer(
    moving: MigratingStore,
    new: MemoryStore,
    old: MemoryStore,
    monkeypatch: pytest.MonkeyPatch,
    store: str,
    step: str,
) -> None:
    old.create(KEY, b"1", 600)
    version = loaded(moving, KEY).version
    with monkeypatch.context() as patch:
        patch.setattr({"new": new, "old": old}[store], step, down)
        with pytest.raises(StoreError):
            moving.update(KEY, b"too large", 60, version)
    assert loaded(new, KEY).data == MARKER
    assert loaded(moving, KEY).data == b"1"
    assert moving.touch(KEY, 600)
    add(moving, KEY, 1)
    assert loaded(new, KEY).data == b"2"
    assert old.load(KEY) is None


@pytest.mark.parametrize("principal", ["42", "a:b\x00ü", "\ud800"])
def test_a_record_is_listed_for_its_principal_when_it_has_moved(
    moving: MigratingStore, new: MemoryStore, old: MemoryStore, principal: str
) -> None:
    old.create(KEY, b"1", 60, "other")
    assert moving.update(KEY, b"2", 60, loaded(moving, KEY).version, principal)  # type: ignore[call-arg]
    assert list(new.keys_of(principal)) == [KEY]
    assert list(moving.keys_of("other")) == []  # type: ignore[attr-defined]


def test_a_marker_is_in_no_list(moving: MigratingStore, new: MemoryStore, old: MemoryStore) -> None:
    old.create(KEY, b"1", 60, "42")
    new.create(KEY, MARKER, 60)
    old.delete(KEY)
    assert moving.load(KEY) is None
    assert list(moving.keys_of("42")) == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("version", [None, "old", ("old",), ("old", "a"), ("else", 1), (["old"], 1)])
def test_a_version_that_is_not_the_records_writes_nothing(
    moving: MigratingStore, old: MemoryStore, version: object
) -> None:
    old.create(KEY, b"1", 60)
    assert moving.update(KEY, b"2", 60, version) is False
    assert loaded(moving, KEY).data == b"1"


def test_an_old_record_that_could_not_be_removed_is_no_failure_and_does_not_come_back(
    moving: MigratingStore,
    old: MemoryStore,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    old.create(KEY, b"1", 600)
    version = loaded(moving, KEY).version
    with monkeypatch.context() as patch:
        patch.setattr(old, "delete", down)
        assert moving.update(KEY, b"2", 60, version) is True
    (told,) = caplog.records
    assert told.getMessage().endswith("but its old record could not be removed: down")
    assert told.exc_info is None
    assert moving.touch(KEY, 900)
    clock.advance(899)
    assert loaded(moving, KEY).data == b"2"
    clock.advance(1)
    assert moving.load(KEY) is None


def test_a_record_that_moves_ends_when_its_writer_said(moving: MigratingStore, old: MemoryStore) -> None:
    old.create(KEY, b"1", 600)
    assert moving.update(KEY, b"2", 60, loaded(moving, KEY).version)
    assert loaded(moving, KEY).expires == int(time.time()) + 60


def test_an_update_that_writes_nothing_leaves_the_old_record_its_time(
    moving: MigratingStore, new: MemoryStore, old: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    old.create(KEY, b"1", 600)
    expires = loaded(old, KEY).expires
    assert moving.update(KEY, b"2", 60, ("old", "another")) is False
    monkeypatch.setattr(new, "update", down)
    with pytest.raises(StoreError):
        moving.update(KEY, b"2", 60, loaded(moving, KEY).version)
    assert loaded(moving, KEY).expires == expires


def test_a_log_out_reaches_the_new_store_where_the_old_one_is_down(
    moving: MigratingStore, new: MemoryStore, old: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    new.create(KEY, b"2", 60)
    monkeypatch.setattr(old, "delete", down)
    with pytest.raises(StoreError):
        moving.delete(KEY)
    assert new.load(KEY) is None


def test_the_next_writer_clears_what_a_killed_one_could_not(
    moving: MigratingStore, new: MemoryStore, old: MemoryStore
) -> None:
    old.create(KEY, b"1", 600)
    new.create(KEY, b"2", 600)
    add(moving, KEY, 1)
    assert loaded(new, KEY).data == b"3"
    assert old.load(KEY) is None


def test_a_touch_lets_no_old_record_outlive_the_one_that_has_taken_its_place(
    moving: MigratingStore, new: MemoryStore, old: MemoryStore
) -> None:
    old.create(KEY, b"1", 600)
    new.create(KEY, b"2", 60)
    assert moving.touch(KEY, 30)
    assert loaded(new, KEY).expires == int(time.time()) + 30
    assert old.load(KEY) is None


def test_a_marker_is_not_touched_for_a_session(moving: MigratingStore, new: MemoryStore) -> None:
    new.create(KEY, MARKER, 60)
    assert moving.touch(KEY, 600) is False


def test_a_touch_finds_a_record_that_moves_while_it_looks(
    moving: MigratingStore, old: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    old.create(KEY, b"1", 60)
    touch = old.touch

    def move_first(key: str, ttl: int) -> bool:
        add(moving, KEY, 1)
        return touch(key, ttl)

    monkeypatch.setattr(old, "touch", move_first)
    assert moving.touch(KEY, 600) is True
    assert loaded(moving, KEY).expires == int(time.time()) + 600


def test_a_move_to_a_store_that_is_itself_moving_is_refused(moving: MigratingStore, old: MemoryStore) -> None:
    with pytest.raises(ConfigurationError, match=r"MigratingStore\(newest, MigratingStore\(new, old\)\)"):
        MigratingStore(moving, old)


@pytest.mark.parametrize("moved_by_another", [False, True])
def test_a_late_writer_undoes_neither_a_log_out_nor_a_move(
    moving: MigratingStore,
    new: MemoryStore,
    old: MemoryStore,
    monkeypatch: pytest.MonkeyPatch,
    moved_by_another: bool,
) -> None:
    old.create(KEY, b"1", 60)
    version = loaded(moving, KEY).version
    load = old.load

    def overtaken(key: str) -> Record | None:
        monkeypatch.setattr(old, "load", load)
        if moved_by_another:
            assert moving.update(key, b"other", 60, version)
        else:
            moving.delete(key)
        return load(key)

    monkeypatch.setattr(old, "load", overtaken)
    assert moving.update(KEY, b"2", 60, version) is False
    found = moving.load(KEY)
    assert (found and found.data) == (b"other" if moved_by_another else None)


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
    moving.close()


def test_it_says_where_both_stores_are(tmp_path: Path) -> None:
    class Bare:
        """A store of an application's own."""

        load = create = update = touch = delete = close = print

    old, new = SQLiteStore(tmp_path / "old.db"), FileStore(tmp_path / "new")
    moving = MigratingStore(new, old)
    described = moving.describe()
    assert (described.kind, described.shown, described.path) == ("migrating", repr(moving), "")
    assert described.parts == (new.describe(), old.describe())
    assert MigratingStore(new, Bare()).describe().parts[1] == ("other", "Bare", "", (), False, True, False, ())  # type: ignore[arg-type]
    moving.close()
