"""Files: their modes, what is not ours, what a power cut leaves, sweeping."""

from __future__ import annotations

import fcntl
import itertools
import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from session_mw import SessionManager
from session_mw.exceptions import ConfigurationError, StoreError
from session_mw.stores.file import FileStore, directory, listing
from session_mw.stores.file.locks import StripedLocks
from session_mw.testing.fixtures import loaded, new_key
from session_mw.testing.parallel import add
from support.clock import Clock
from support.forks import as_nobody, code_of, start_untold, visible_folder
from support.interrupts import MAY_LAND_IN_A_FINALIZER, interrupted
from support.stores import Browser, renewed_before

KEY = "0123456789abcdef" * 4

needs_root = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root")
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


@needs_root
def test_what_root_makes_belongs_to_the_owner_of_the_directory(files: FileStore, folder: Path) -> None:
    os.chown(folder, 65534, 65534)
    files.create(KEY, b"data", 60, "42")
    files.touch(KEY, 60)
    for _ in range(200):
        files.create(new_key(), b"data", 60)
    assert list(files.keys_of("42")) == [KEY]
    owners = {(made.stat().st_uid, made.stat().st_gid) for made in folder.rglob("*")}
    assert owners == {(65534, 65534)}


@needs_root
def test_a_directory_that_root_makes_belongs_to_the_owner_of_the_one_above(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)
    FileStore(tmp_path / "sessions")
    made = (tmp_path / "sessions").stat()
    assert (made.st_uid, made.st_gid, mode_of(tmp_path / "sessions")) == (65534, 65534, 0o700)


@needs_root
def test_rights_that_are_missing_are_told_with_their_owner() -> None:
    with visible_folder() as outer:
        FileStore(outer / "sessions").create(KEY, b"data", 60)
        told = as_nobody(lambda: repr(FileStore(outer / "sessions")))
        assert told.startswith("ConfigurationError: ")
        assert "belongs to root:root with mode 0700, and this process runs as nobody:" in told
        told = as_nobody(lambda: repr(FileStore(outer / "new")))
        assert f"'{outer}' belongs to root:root with mode 0755, and this process runs as nobody:" in told
        (outer / "sessions" / KEY[:2]).chmod(0o755)
        (outer / "sessions").chmod(0o755)
        os.chown(outer / "sessions", 65534, 65534)
        store = FileStore(outer / "sessions")
        told = as_nobody(lambda: str(store.load(KEY)))
        assert told.startswith("StoreError: the session directory failed: Permission denied; ")
        assert f"/{KEY[:8]}…' belongs to root:root with mode 0600, and this process runs as nobody:" in told


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


@pytest.mark.parametrize("old_shard", ["00", "ff"])
def test_a_session_that_moves_while_the_folders_are_read_is_listed(
    files: FileStore, monkeypatch: pytest.MonkeyPatch, old_shard: str
) -> None:
    """The folder of its new key is read before that is there, and the folder of its old key after that was removed."""
    old, new = f"{old_shard}{KEY[2:]}", f"80{KEY[2:]}"
    files.create(old, b"data", 600, "42")
    keys_in, due = directory.Directory.keys_in, iter([True])

    def overtaken(self: directory.Directory, shard: str) -> list[str]:
        found = keys_in(self, shard)
        if shard == "80" and next(due, False):
            files.create(new, b"data", 600, "42")
            files.delete(old)
        return found

    monkeypatch.setattr(directory.Directory, "keys_in", overtaken)
    monkeypatch.setattr(listing, "FEW", -1)
    assert new in list(files.keys_of("42"))


def test_a_listing_does_not_stop_writers(files: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(100):
        files.create(new_key(), b"data", 600, "42")
    header, pauses = directory.Directory.header, itertools.repeat(0.01, 100)

    def slow(self: directory.Directory, key: str) -> object:
        time.sleep(next(pauses, 0))
        return header(self, key)

    monkeypatch.setattr(directory.Directory, "header", slow)
    listed: list[str] = []
    lister = threading.Thread(target=lambda: listed.extend(files.keys_of("42")))
    lister.start()
    written, longest = 0, 0.0
    while lister.is_alive():
        started = time.monotonic()
        files.create(new_key(), b"data", 600)
        longest = max(longest, time.monotonic() - started)
        written += 1
    lister.join()
    assert len(listed) == 100
    assert written > 100
    assert longest < 0.5


def test_a_writer_that_was_stopped_with_its_lock_stops_no_others_while_sessions_are_listed(folder: Path) -> None:
    store = FileStore(folder, timeout=1)
    store.create(KEY, b"data", 600, "42")
    (lock,) = folder.glob(".lock-*")
    with lock.open("ab") as stopped:
        fcntl.flock(stopped, fcntl.LOCK_EX)
        errors: list[StoreError] = []

        def list_them() -> None:
            try:
                list(store.keys_of("42"))
            except StoreError as error:
                errors.append(error)

        lister = threading.Thread(target=list_them)
        lister.start()
        longest = 0.0
        while lister.is_alive():
            key = f"{new_key()[:-2]}{(int(KEY[-2:], 16) + 1) % 256:02x}"
            started = time.monotonic()
            store.create(key, b"data", 600)
            longest = max(longest, time.monotonic() - started)
        lister.join()
    assert [str(error) for error in errors] == [
        "the session directory was locked by others for too long; try again, or wait longer: ?timeout=10"
    ]
    assert longest < 0.5
    assert list(store.keys_of("42")) == [KEY]


@pytest.mark.parametrize("told_afterwards", [True, False])
def test_workers_that_were_forked_in_c_lose_nothing(files: FileStore, told_afterwards: bool) -> None:
    files.create(KEY, b"0", 600)

    def work() -> bool:
        add(files, KEY, 40)
        return True

    children = [start_untold(work, told_afterwards=told_afterwards) for _ in range(4)]
    assert [code_of(child) for child in children] == [0] * 4
    assert loaded(files, KEY).data == b"160"


def test_a_lock_that_a_thread_holds_while_the_process_is_forked_in_c_is_given_up_in_both(folder: Path) -> None:
    locks = StripedLocks(str(folder.parent), 1)
    held, forked = threading.Event(), threading.Event()

    def work() -> None:
        held.set()
        forked.wait()

    thread = threading.Thread(target=locks.run, args=(KEY, work))
    thread.start()
    held.wait()
    reads, writes = os.pipe()

    def in_child() -> bool:
        os.read(reads, 1)
        return locks.run(KEY, lambda: True)

    child = start_untold(in_child)
    forked.set()
    thread.join()
    # the child lives, and has the parent's lock file open
    assert locks.run(KEY, lambda: True)
    os.write(writes, b"!")
    assert code_of(child) == 0
    os.close(reads)
    os.close(writes)


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@MAY_LAND_IN_A_FINALIZER
def test_exceptions_from_outside_at_any_moment_leave_no_lock(folder: Path) -> None:
    store = FileStore(folder, timeout=2)
    store.create(KEY, b"0", 600)

    def work() -> None:
        record = store.load(KEY)
        assert record is not None
        store.update(KEY, record.data, 600, record.version)
        store.touch(KEY, 600)
        list(store.keys_of("42"))

    with interrupted(work, 150):
        started = time.monotonic()
        add(store, KEY, 3)
        assert list(store.keys_of("42")) == []
        assert time.monotonic() - started < 1


def test_a_directory_that_was_exchanged_is_used_from_then_on(files: FileStore, folder: Path) -> None:
    files.create(KEY, b"old", 600)
    folder.rename(folder.with_name("former"))
    worker = FileStore(folder)
    worker.create(KEY, b"new", 600)
    assert loaded(files, KEY).data == b"new"
    files.delete(KEY)
    assert worker.load(KEY) is None


def test_it_says_where_it_is(files: FileStore, folder: Path, tmp_path: Path) -> None:
    assert files.describe() == ("file", repr(files), str(folder), (), False, True, False, ())
    url = f"file://{tmp_path}/with%20space?timeout=2"
    assert FileStore.location_of(url) == ("file", url, f"{tmp_path}/with space", (), False, True, False, ())
    assert not (tmp_path / "with space").exists()
    with pytest.raises(ConfigurationError, match="names no directory"):
        FileStore.location_of("file://")


def test_nothing_is_made_where_it_is_not_wanted(tmp_path: Path) -> None:
    folder = tmp_path / "none"
    with pytest.raises(ConfigurationError) as caught:
        FileStore.from_url(f"file://{folder}", create=False)
    assert str(caught.value) == f"there is no {str(folder)!r}, so nothing was looked at; is the path right?"
    assert not folder.exists()
    FileStore(folder)
    assert FileStore.from_url(f"file://{folder}", create=False).create(KEY, b"data", 60)
