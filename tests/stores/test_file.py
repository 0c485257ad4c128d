"""Files: their modes, what is not ours, what a power cut leaves, sweeping."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from session_mw import SessionManager
from session_mw.exceptions import ConfigurationError, StoreError
from session_mw.stores.file import FileStore, directory
from session_mw.testing.fixtures import loaded, new_key
from support.clock import Clock
from support.stores import Browser, renewed_before

KEY = "0123456789abcdef" * 4
BAD_KEYS = ["", "../../etc/passwd", "' OR 1=1--", "*", "x 0 0 1\r\n1", "x" * 5000, KEY.upper(), KEY + "\n", "ü" * 64]


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def files(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "sessions")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "sessions"


@pytest.fixture
def place(folder: Path) -> Path:
    """Where the file store keeps ``KEY``."""
    return folder / KEY[:2] / KEY


def test_files_are_for_their_owner_only_whatever_the_umask(folder: Path, place: Path) -> None:
    umask = os.umask(0)
    try:
        store = FileStore(folder)
        store.create(KEY, b"data", 60)
        store.touch(KEY, 60)
    finally:
        os.umask(umask)
    assert mode_of(folder) == mode_of(place.parent) == 0o700
    assert mode_of(place) == 0o600
    assert {mode_of(path) for path in folder.iterdir() if path.is_file()} == {0o600}


def test_an_empty_directory_is_made_private(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)
    FileStore(folder)
    assert mode_of(folder) == 0o700


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702, 0o1777])
def test_a_directory_that_others_may_write_to_is_refused(folder: Path, mode: int) -> None:
    folder.mkdir()
    (folder / "theirs").touch()
    folder.chmod(mode)
    with pytest.raises(ConfigurationError, match="others may write to the session directory"):
        FileStore(folder)
    assert mode_of(folder) == mode


def test_a_directory_with_files_that_others_may_read_is_left_as_it_is(folder: Path) -> None:
    folder.mkdir()
    (folder / "notes").write_text("mine")
    folder.chmod(0o755)
    assert FileStore(folder).create(KEY, b"data", 60)
    assert mode_of(folder) == 0o755


@pytest.mark.parametrize("key", BAD_KEYS, ids=ascii)
def test_a_malformed_key_never_reaches_the_file_system(files: FileStore, tmp_path: Path, key: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert files.load(key) is None
    assert files.touch(key, 60) is False
    assert files.update(key, b"data", 60, "0" * 16) is False
    files.delete(key)
    with pytest.raises(ValueError, match="64 lower-case hexadecimal digits"):
        files.create(key, b"data", 60)
    assert sorted(tmp_path.rglob("*")) == before


def make_symlink(place: Path, outside: Path) -> None:
    place.symlink_to(outside)


def make_dangling_symlink(place: Path, outside: Path) -> None:
    place.symlink_to(outside.with_name("nothing"))


def make_directory(place: Path, outside: Path) -> None:
    place.mkdir()


def make_fifo(place: Path, outside: Path) -> None:
    os.mkfifo(place)


def make_foreign_file(place: Path, outside: Path) -> None:
    place.write_bytes(b"somebody's notes")


def make_empty_file(place: Path, outside: Path) -> None:
    place.touch()


@pytest.mark.parametrize(
    "make",
    [make_symlink, make_dangling_symlink, make_directory, make_fifo, make_foreign_file, make_empty_file],
    ids=lambda make: make.__name__,
)
def test_what_the_store_did_not_write_is_not_followed_replaced_or_removed(
    files: FileStore, tmp_path: Path, place: Path, make: Callable[[Path, Path], None], clock: Clock
) -> None:
    other = FileStore(tmp_path / "other")
    other.create(KEY, b"outside", 60)
    outside = tmp_path / "other" / KEY[:2] / KEY
    version, before = loaded(other, KEY).version, outside.read_bytes()
    place.parent.mkdir()
    make(place, outside)
    was = place.lstat()
    assert files.load(KEY) is None
    assert files.create(KEY, b"data", 60) is False
    assert files.update(KEY, b"data", 60, version) is False
    assert files.touch(KEY, 600) is False
    files.delete(KEY)
    clock.advance(86400)
    assert files.count_expired() == 0
    assert list(files.sweep()) == []
    assert list(files.keys_of("42")) == []
    now = place.lstat()
    assert (now.st_ino, now.st_mode, now.st_mtime) == (was.st_ino, was.st_mode, was.st_mtime)
    assert outside.read_bytes() == before


def test_a_symlink_in_the_place_of_a_folder_is_not_followed(
    files: FileStore, tmp_path: Path, place: Path, clock: Clock
) -> None:
    other = FileStore(tmp_path / "other")
    other.create(KEY, b"outside", 60)
    place.parent.symlink_to(tmp_path / "other" / KEY[:2])
    version = loaded(other, KEY).version
    assert files.load(KEY) is None
    assert files.create(KEY, b"data", 60) is False
    assert files.update(KEY, b"data", 60, version) is False
    files.delete(KEY)
    clock.advance(60)
    assert list(files.sweep()) == []
    assert other.count_expired() == 1


def test_a_foreign_file_in_a_records_place_is_logged(
    files: FileStore, place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place.parent.mkdir()
    place.write_bytes(b"secret notes")
    files.load(KEY)
    assert caplog.messages == ["what is stored under 01234567… is not a session's record"]


@pytest.mark.parametrize("cut", [13, 20, 40, -1])
def test_a_record_that_a_power_cut_shortened_is_logged_absent_and_swept(
    files: FileStore, place: Path, caplog: pytest.LogCaptureFixture, cut: int
) -> None:
    files.create(KEY, b"data" * 100, 60)
    place.write_bytes(place.read_bytes()[:cut])
    assert files.load(KEY) is None
    assert caplog.messages == ["what is stored under 01234567… is not a session's record"]
    assert files.create(KEY, b"new", 60) is True
    assert loaded(files, KEY).data == b"new"
    place.write_bytes(place.read_bytes()[: min(cut, 30)])
    assert list(files.sweep()) == [1]
    assert not place.exists()


def test_a_sweep_removes_old_half_written_files_and_only_those(files: FileStore, place: Path) -> None:
    files.create(KEY, b"data", 60)
    ours, empty, young = (place.with_name(f".{KEY}.{digit * 16}.tmp") for digit in "012")
    notes, misnamed = place.with_name(f".{KEY}.{'3' * 16}.tmp"), place.with_name(f".{KEY}.tmp")
    for path in (ours, young, misnamed):
        path.write_bytes(place.read_bytes()[:20])
    empty.touch()
    notes.write_bytes(b"somebody's notes")
    long_ago = time.time() - directory.SECONDS_A_WRITE_MAY_TAKE - 60
    for path in (ours, empty, notes, misnamed):
        os.utime(path, (long_ago, long_ago))
    list(files.sweep())
    assert not ours.exists()
    assert not empty.exists()
    assert all(path.exists() for path in (young, notes, misnamed, place))


def test_a_failed_write_leaves_the_old_record_and_no_litter(
    files: FileStore, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.create(KEY, b"old", 60)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device", str(place))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(StoreError, match="No space left on device") as caught:
            files.update(KEY, b"new", 60, loaded(files, KEY).version)
    assert KEY not in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)
    assert loaded(files, KEY).data == b"old"
    assert list(place.parent.iterdir()) == [place]


@pytest.mark.parametrize(
    "use",
    [
        lambda files: files.create(KEY, b"data", 60),
        lambda files: files.load(KEY),
        lambda files: files.touch(KEY, 60),
        lambda files: list(files.keys_of("42")),
        lambda files: files.count_expired(),
        lambda files: list(files.sweep()),
    ],
    ids=["create", "load", "touch", "keys_of", "count_expired", "sweep"],
)
def test_a_directory_that_went_away_is_an_error(
    files: FileStore, folder: Path, use: Callable[[FileStore], object]
) -> None:
    folder.rename(folder.with_name("moved"))
    with pytest.raises(StoreError, match="No such file or directory"):
        use(files)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_what_root_locks_the_owner_of_the_directory_can_lock_too(files: FileStore, folder: Path) -> None:
    os.chown(folder, 65534, 65534)
    files.delete(KEY)
    (lock,) = folder.glob(".lock-*")
    assert (lock.stat().st_uid, lock.stat().st_gid) == (65534, 65534)


def test_lock_files_do_not_pile_up(files: FileStore, folder: Path) -> None:
    for _ in range(300):
        files.create(new_key(), b"data", 60)
    assert len([path for path in folder.iterdir() if path.is_file()]) <= 64


def test_a_record_that_was_written_again_during_a_sweep_stays(files: FileStore, clock: Clock) -> None:
    keys = [new_key() for _ in range(20)]
    for key in keys:
        files.create(key, b"old", 60)
    clock.advance(60)
    steps = files.sweep(batch=5)
    removed = next(steps)
    again = [key for key in keys if files.create(key, b"new", 60)]
    removed += sum(steps)
    assert again == keys
    assert removed == 5
    assert all(loaded(files, key).data == b"new" for key in keys)


def test_a_session_that_moves_while_the_records_are_read_is_ended_with_the_others(
    files: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = SessionManager(store=files)
    browser = Browser(sessions)
    browser.do(lambda session: setattr(session, "principal", "42"))
    monkeypatch.setattr(directory.Directory, "header", renewed_before(directory.Directory.header, browser))
    sessions.end_all("42")
    assert browser.open().new
