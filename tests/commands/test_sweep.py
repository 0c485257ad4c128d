"""``session-mw sweep``."""

from __future__ import annotations

import hashlib
import os
import pty
import pwd
import sqlite3
import subprocess
import sys
import tempfile
import time
import tracemalloc
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from session_mw import open_store
from session_mw.cli import main
from support import services

if TYPE_CHECKING:
    from support.clock import Clock


@pytest.fixture(params=["file", "sqlite", "sql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sql":
        pytest.importorskip("sqlalchemy")
        return f"sqlite+pysqlite:///{tmp_path}/alchemy.db"
    return {"file": f"file://{tmp_path}/sessions", "sqlite": f"sqlite:///{tmp_path}/sessions.db"}[request.param]


def key(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def fill(url: str, live: int = 0, expired: int = 0) -> None:
    """Records that end in an hour, and others that ended an hour ago."""
    store = open_store(url)
    for number in range(live):
        assert store.create(key(number), b"data", 3600)
    ago = time.time() - 7200
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: ago)
        for number in range(live, live + expired):
            assert store.create(key(number), b"data", 3600)
    store.close()


def left(url: str, count: int) -> list[int]:
    store = open_store(url)
    found = [number for number in range(count) if store.load(key(number)) is not None]
    store.close()
    return found


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(["sweep", *arguments])
    return status, *capsys.readouterr()


def test_what_has_expired_is_removed_and_the_rest_stays(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    fill(url, live=3, expired=1200)
    assert run(capsys, url) == (0, "1,200 expired sessions removed\n", "")
    assert run(capsys, url, "--dry-run")[1].startswith("0 expired sessions;")
    assert left(url, 1203) == [0, 1, 2]


def test_a_dry_run_only_counts(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    fill(url, live=2, expired=1)
    for _ in range(2):
        assert run(capsys, url, "--dry-run") == (0, "1 expired session; none was removed (--dry-run)\n", "")
    assert run(capsys, url) == (0, "1 expired session removed\n", "")


def test_a_record_that_ends_now_is_swept(url: str, capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    store = open_store(url)
    store.create(key(0), b"data", 10)
    store.close()
    clock.advance(9)
    assert run(capsys, url)[1] == "0 expired sessions removed\n"
    clock.advance(1)
    assert run(capsys, url)[1] == "1 expired session removed\n"


def test_the_url_may_come_from_the_environment(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(url, expired=1)
    monkeypatch.setenv("SESSION_MW_STORE", url)
    assert run(capsys) == (0, "1 expired session removed\n", "")


def test_without_a_url_it_asks_for_one(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SESSION_MW_STORE", raising=False)
    status, out, err = run(capsys)
    assert (status, out) == (1, "")
    assert err == "session-mw: which store? Give its URL, or set SESSION_MW_STORE\n"


@pytest.mark.parametrize(
    ("url", "store"),
    [
        ("memory://", "MemoryStore"),
        ("redis://:hush@127.0.0.1:1/0", "RedisStore"),
        ("memcached://127.0.0.1:1", "MemcachedStore"),
    ],
)
def test_a_store_that_expires_by_itself_has_nothing_to_sweep(
    url: str, store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip({"RedisStore": "redis", "MemcachedStore": "pymemcache"}.get(store, "session_mw"))
    expected = f"Nothing to do: in a {store}, sessions expire by themselves.\n"
    assert run(capsys, url) == (0, expected, "")
    assert run(capsys, url, "--dry-run") == (0, expected, "")


@pytest.mark.parametrize("scheme", ["file", "sqlite", "sqlite+pysqlite"])
def test_a_mistyped_path_is_an_error_and_makes_nothing(
    scheme: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if scheme == "sqlite+pysqlite":
        pytest.importorskip("sqlalchemy")
    status, out, err = run(capsys, f"{scheme}:///{tmp_path}/sesions")
    assert (status, out) == (1, "")
    assert "there is no" in err
    assert "sesions" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+pysqlite"])
@pytest.mark.parametrize("option", ["", "?table=tickets"])
def test_a_database_without_the_table_is_an_error_and_gets_none(
    scheme: str, option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if "+" in scheme:
        pytest.importorskip("sqlalchemy")
    path = tmp_path / "app.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE orders (id)")
    before = path.read_bytes()
    for arguments in ((), ("--dry-run",)):
        status, out, err = run(capsys, f"{scheme}:///{path}{option}", *arguments)
        assert (status, out) == (1, "")
        assert err.startswith("session-mw: ")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["create=1.db", "s.db?create=true", "s.db?table=SESSIONS"])
def test_a_url_whose_words_are_to_be_read_with_care(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sqlalchemy")
    path = tmp_path / name.partition("?")[0]
    path.touch()
    assert run(capsys, f"sqlite+pysqlite:///{tmp_path}/{name}")[0] == 1
    path.unlink()
    fill(f"sqlite:///{path}", expired=1)
    assert run(capsys, f"sqlite:///{tmp_path}/{name}".replace("?create=true", ""))[1] == "1 expired session removed\n"


@pytest.mark.parametrize("url", ["nonsense", "redsi://host", "redis://:hush@host:port", "sqlite://host/x.db"])
def test_a_wrong_url_is_one_line_without_its_password(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, url)
    assert (status, out) == (1, "")
    assert err.startswith("session-mw: ")
    assert err.count("\n") == 1
    assert "hush" not in err


def test_a_store_that_fails_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sessions.db"
    path.write_bytes(b"this is no database, but long enough to be looked at by SQLite" * 20)
    status, out, err = run(capsys, f"sqlite:///{path}")
    assert (status, out) == (1, "")
    assert err.startswith("session-mw: ")
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("url", "module", "place"),
    [
        ("postgresql+psycopg://me:hush@127.0.0.1:{port}/app", "psycopg", "127.0.0.1:{port}/app"),
        ("mysql+pymysql://me:hush@127.0.0.1:{port}/app", "pymysql", "127.0.0.1:{port}/app"),
    ],
)
@pytest.mark.parametrize("arguments", [["sweep"], ["sweep", "--dry-run"], ["sessions"], ["end", "--all"]])
def test_a_database_that_cannot_be_reached_is_one_line_with_a_remedy(
    arguments: list[str], url: str, module: str, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sqlalchemy")
    pytest.importorskip(module)
    port = services.free_port()
    command, *options = arguments
    principal = [] if command == "sweep" else ["42"]
    status = main(
        [command, *options, *principal[: command == "end"], url.format(port=port), *principal[: command == "sessions"]]
    )
    out, err = capsys.readouterr()
    assert (status, out) == (1, "")
    assert err.startswith("session-mw: ")
    assert err.count("\n") == 1
    assert place.format(port=port) in err
    assert "is the server running" in err
    assert "hush" not in err


def test_a_database_whose_driver_is_missing_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sqlalchemy")
    monkeypatch.setitem(sys.modules, "MySQLdb", None)
    status, out, err = run(capsys, "mysql://me:hush@localhost/app")
    assert (status, out) == (1, "")
    assert err.count("\n") == 1
    assert "MySQLdb" in err
    assert "hush" not in err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("kind", ["sqlite", "file"])
@pytest.mark.parametrize("inside", ["", "closed/"])
def test_another_users_store_is_told_with_whose_it_is(kind: str, inside: str) -> None:
    nobody = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        os.mkdir(f"{directory}/closed", 0o700)
        url = f"{kind}://{'/' if kind == 'sqlite' else ''}{directory}/{inside}s"
        fill(url, live=1)
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(nobody.pw_uid), "sweep", url],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            cwd="/",
        )
    assert (done.returncode, done.stdout) == (1, "")
    owned = "closed" if inside else "s"
    assert done.stderr == (
        f"session-mw: '{directory}/{owned}' belongs to root (mode {'0700' if inside or kind == 'file' else '0600'}), "
        "and you are nobody: run the command as root, with sudo -u root, say\n"
    )


PROGRAM = """
import os, sys
from session_mw.cli import main
user = int(sys.argv[1])
os.setgroups([]); os.setgid(user); os.setuid(user)
sys.exit(main(sys.argv[2:]))
"""
"""Imports first: the interpreter may be where nobody else may look."""


@pytest.mark.heavy
def test_memory_does_not_grow_with_the_number_of_records(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """20,000 keys alone would take 2.4 MB; a million of them was run by hand."""
    count = 20_000 if url.startswith("sqlite:") else 5_000
    fill(url, expired=count)
    main(["sweep", url, "--dry-run"])
    tracemalloc.start()
    try:
        main(["sweep", url])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert f"{count:,} expired sessions removed" in capsys.readouterr().out
    assert peak < 1_500_000


def test_a_terminal_sees_how_far_it_is(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/sessions.db"
    fill(url, expired=2500)
    shown, out = run_on_terminal(url)
    assert "] 100%  2,500 of 2,500\r\n" in shown
    drawn = [line.rpartition("  ")[2] for line in shown.split("\r")[1:4]]
    assert drawn == ["1,000 of 2,500", "2,000 of 2,500", "2,500 of 2,500"]
    assert out == "2,500 expired sessions removed\n"


def test_a_pipe_sees_no_bar(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{tmp_path}/sessions.db"
    fill(url, expired=10)
    assert run(capsys, url)[2] == ""


def run_on_terminal(url: str) -> tuple[str, str]:
    """What stood on standard error, a terminal, and on standard output, a pipe."""
    ours, theirs = pty.openpty()
    environment: dict[str, Any] = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "80"}
    command = [sys.executable, "-m", "session_mw", "sweep", url]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=environment, text=True)
    out, _ = process.communicate(timeout=60)
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert process.returncode == 0
    return shown, out
