"""``open_store``: which store a URL names, and what a wrong URL is told."""

from __future__ import annotations

import builtins
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from session_mw.exceptions import ConfigurationError, StoreError
from session_mw.protocols import LocatedStore
from session_mw.stores import options
from session_mw.stores.file import FileStore
from session_mw.stores.memory import MemoryStore
from session_mw.stores.sqlite import SQLiteStore
from session_mw.stores.urls import location_of, open_store

KEY = "0123456789abcdef" * 4
PASSWORD = "Zx9-secret"


def test_memory_is_opened() -> None:
    store = open_store("memory://")
    assert isinstance(store, MemoryStore)
    assert repr(store) == "<MemoryStore of 0 records>"


def test_a_directory_is_opened(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/sessions")
    assert isinstance(store, FileStore)
    assert store.create(KEY, b"data", 60)
    assert repr(store) == f"<FileStore '{tmp_path}/sessions'>"
    assert (tmp_path / "sessions").is_dir()


def test_a_directory_with_a_space_is_percent_encoded(tmp_path: Path) -> None:
    open_store(f"FILE://localhost{tmp_path}/my%20sessions")
    assert (tmp_path / "my sessions").is_dir()


def test_an_absolute_sqlite_file_is_opened(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/s.db?table=web_sessions&timeout=2.5")
    assert isinstance(store, SQLiteStore)
    assert store.create(KEY, b"data", 60)
    assert repr(store) == f"<SQLiteStore '{tmp_path}/s.db' table='web_sessions'>"
    store.close()
    assert (tmp_path / "s.db").is_file()


def test_a_relative_sqlite_file_stays_where_it_was_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store("sqlite:///sessions.db")
    monkeypatch.chdir("/")
    assert store.create(KEY, b"data", 60)
    store.close()
    assert (tmp_path / "sessions.db").is_file()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "is no store URL"),
        ("memory", "is no store URL"),
        ("sqlite:sessions.db", "is no store URL"),
        ("memory:// ", "a host or port"),
        (" memory://", "is no store URL"),
        ("memory://\n", "is no store URL"),
        ("sqlite:///a\x00.db", "is no store URL"),
        ("memroy://", "did you mean 'memory'?"),
        ("redis+sentinal://host", "did you mean 'redis+sentinel'?"),
        ("postgresql2+psycopg://host/db", "did you mean 'postgresql'?"),
        ("ftp://host", "no store has the URL scheme 'ftp'"),
        ("memory:///x", "memory has no place"),
        ("memory://host", "memory has no place"),
        ("memory://?table=x", "unknown option 'table'"),
        ("file://", "names no directory"),
        ("file:///", "names no directory"),
        ("file://relative/path", "names no directory"),
        ("file:///tmp/x?timeout=soon", "'soon' must be a number of seconds"),
        ("file:///no/such/parent", "cannot be used: No such file"),
        ("file:///etc/passwd", "is not a directory"),
        ("sqlite://", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite://host/x.db", "names no file"),
        ("sqlite:////no/such/parent/x.db", "does its directory exist?"),
        ("sqlite:////tmp", "cannot be used"),
        ("sqlite:///x.db?tabel=x", "did you mean 'table'?"),
        ("sqlite:///x.db?TABLE=x", "did you mean 'table'?"),
        ("sqlite:///x.db?table=", "'' must be at most 60 ASCII letters"),
        ("sqlite:///x.db?table=a;drop", "'a;drop' must be at most 60 ASCII letters"),
        ("sqlite:///x.db?table=a&table=b", "twice"),
        ("sqlite:///x.db?timeout=0", "more than 0"),
        ("sqlite:///x.db?timeout=nan", "must be a number of seconds"),
    ],
)
def test_a_wrong_url_is_told_what_is_wrong(
    url: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError) as caught:
        open_store(url)
    assert says in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", [None, b"memory://", Path("sessions.db"), 3])
def test_what_is_no_text_is_no_url(url: Any) -> None:
    with pytest.raises(ConfigurationError, match="a store's URL is a str, not"):
        open_store(url)


@pytest.mark.parametrize(
    "url",
    [
        "redsi://user:{}@host:6379/0",
        "redis//:{}@host",
        "user:{}@host",
        "memory://user:{}@host:99999",
        "memory://user:{}@ho st",
        "memory://:{}@[::1",
        "memory://user:{}/0@host",
        "memory://user:{}?0@host",
        "memory://user:{}#0@host",
        "memory://user:x?{}@host",
        "memory://user:x?a&{}=@host",
        "file://user:a/{}@host/x",
        "sqlite://user:{}@host/x.db",
        "sqlite:///x.db?timeout={}@host",
        "sqlite:///?password={}",
        "{}@host",
        "memory://\n{}@host",
    ],
)
def test_no_error_shows_the_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_store(url.format(PASSWORD))
    seen: BaseException | None = caught.value
    while seen is not None:
        assert PASSWORD not in str(seen)
        assert PASSWORD not in repr(seen)
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:a@b:c/d@host:1/0?x=1", "redis://***@host:1/0?x=1"),
        ("redis://host/0", "redis://host/0"),
        (
            "postgresql://h/d?password=abc&sslmode=require&token=1",
            "postgresql://h/d?password=***&sslmode=require&token=***",
        ),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert options.without_password(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "redis://user:first@second@host:6379/0",
        "redis://user:12?prefix=rest@host",
        "memcached://host?prefix=a@b",
        "mysql+pymysql://user:first@second@host/db",
        "mysql+pymysql://user:fir/st@second@host/db",
        "mysql+pymysql://user:first@second/rest@host/db",
        "mysql+pymysql://user:12?x=rest@host/db",
        "mysql+pymysql://user:12?table=rest@host/db",
    ],
)
def test_an_at_sign_that_may_be_a_passwords_is_refused(url: str) -> None:
    drivers = {"redis": ["redis"], "memcached": ["pymemcache"], "mysql+pymysql": ["sqlalchemy", "pymysql"]}
    for driver in drivers[url.partition(":")[0]]:
        pytest.importorskip(driver)
    with pytest.raises(ConfigurationError, match="percent-encode") as caught:
        open_store(url)
    assert not any(piece in str(caught.value) for piece in ("first", "second", "rest"))


def test_a_url_is_taken_apart() -> None:
    parsed = options.parse_url(
        "Memcached://us%40er:p%3Aw@one:11211,[::1]:2,three/db%20x?timeout=1.5&tls=yes",
        {"timeout": options.seconds, "tls": options.yes_no},
    )
    assert (parsed.scheme, parsed.path, parsed.options) == ("memcached", "/db%20x", {"timeout": 1.5, "tls": True})
    assert parsed.hosts == [("one", 11211), ("::1", 2), ("three", None)]
    assert (parsed.user, parsed.password) == ("us@er", "p:w")
    assert "p:w" not in repr(parsed)


def test_a_drivers_options_stay_in_its_url() -> None:
    rest, ours = options.take_options(
        "postgresql://u:p@h/d?sslmode=require&table=web&application_name=a%20b", {"table": options.identifier}
    )
    assert rest == "postgresql://u:p@h/d?sslmode=require&application_name=a%20b"
    assert ours == {"table": "web"}
    assert options.take_options("mysql://h/d?table=web", {"table": options.identifier})[0] == "mysql://h/d"


@pytest.mark.parametrize(
    ("read", "good", "bad"),
    [
        (options.positive, {"1": 1, "999999": 999999}, ["0", "-1", "1.5", "", "٣", "1000000"]),
        (options.yes_no, {"On": True, "0": False}, ["", "2", "maybe"]),
        (options.seconds, {"0.5": 0.5, "86400": 86400.0}, ["0", "1e3", "inf", "86401", ""]),
        (options.identifier, {"_a1": "_a1"}, ["1a", "a-b", "ä", "x" * 61, "a\n"]),
    ],
)
def test_an_options_value_is_checked(read: Any, good: dict[str, Any], bad: list[str]) -> None:
    for text, value in good.items():
        assert read(text) == value
    for text in bad:
        with pytest.raises(ValueError, match="must be"):
            read(text)


@pytest.mark.parametrize(
    ("url", "package", "extra"),
    [
        ("valkey+cluster://host", "redis", "redis"),
        ("memcached://host", "pymemcache", "memcached"),
        ("postgres://host/db", "sqlalchemy", "sqlalchemy"),
        ("sqlite+pysqlite:///x.db", "sqlalchemy", "sqlalchemy"),
    ],
)
def test_a_missing_driver_is_named_with_what_to_install(
    url: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_import = builtins.__import__

    def without_driver(name: str, *args: Any, **kwargs: Any) -> Any:
        level = args[3] if len(args) > 3 else kwargs.get("level", 0)
        if name.partition(".")[0] == package and level == 0:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real_import(name, *args, **kwargs)

    for name in [name for name in sys.modules if name.startswith("session_mw.stores.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without_driver)
    with pytest.raises(ConfigurationError) as caught:
        open_store(url)
    assert str(caught.value) == f"the package '{package}' is missing: pip install \"session_mw[{extra}]\""


@pytest.mark.parametrize(
    ("url", "package"),
    [
        ("redis://host", "redis"),
        ("memcached://host", "pymemcache"),
        ("postgresql+psycopg://host/db", "sqlalchemy"),
    ],
)
@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise ImportError('libwanted.so.1: cannot open shared object file')", "ImportError: libwanted.so.1: cannot"),
        ("raise OSError('too many\\nlibraries')", "OSError: too many libraries"),
        ("import no_such_dependency", "No module named 'no_such_dependency'"),
        ("import {package}.no_such_part", "no_such_part"),
    ],
)
def test_a_driver_that_is_installed_and_cannot_be_loaded_is_told_as_that(
    url: str, package: str, code: str, words: str, tmp_path: Path
) -> None:
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text(code.format(package=package))
    program = (
        "import sys\nfrom session_mw import ConfigurationError, open_store\n"
        "try: open_store(sys.argv[1])\nexcept ConfigurationError as error: print(error)"
    )
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", program, url], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert done.stdout.startswith(f"the package '{package}' is installed and cannot be loaded: "), done.stderr
    assert words in done.stdout
    assert done.stdout.count("\n") == 1


URLS = {
    "memory://": ("memory", ""),
    "file:///no/such/directory": ("file", "/no/such/directory"),
    "sqlite:////no/such/file.db": ("sqlite", "/no/such/file.db"),
    "redis://:Zx9-secret@cache.internal:6380/1": ("redis", ""),
    "memcached://cache.internal": ("memcached", ""),
    "postgresql+psycopg://me:Zx9-secret@cache.internal/app": ("sql", ""),
}
DRIVERS = {"redis": "redis", "memcached": "pymemcache", "sql": "sqlalchemy"}


@pytest.mark.parametrize("url", URLS)
def test_a_place_is_told_without_opening_it(url: str) -> None:
    kind, path = URLS[url]
    pytest.importorskip(DRIVERS.get(kind, "session_mw"))
    place = location_of(url)
    assert (place.kind, place.path) == (kind, path)
    assert place.hosts == (("cache.internal",) if "internal" in url else ())
    assert place.password is (PASSWORD in url)
    assert PASSWORD not in repr(place)
    assert not os.path.exists("/no/such")


@pytest.mark.parametrize("url", ["memory://", "file://{path}/s", "sqlite:///{path}/s.db", "memcached://cache.internal"])
def test_an_open_store_is_where_its_url_says(url: str, tmp_path: Path) -> None:
    if url.startswith("memcached"):
        pytest.importorskip("pymemcache")
    store = open_store(url.format(path=tmp_path))
    assert isinstance(store, LocatedStore)
    said, expected = store.describe(), location_of(url.format(path=tmp_path))
    assert said._replace(shown="") == expected._replace(shown="")
    store.close()


@pytest.mark.parametrize("scheme", ["file", "sqlite", "sqlite+pysqlite"])
def test_what_is_not_there_is_an_error_where_nothing_may_be_created(scheme: str, tmp_path: Path) -> None:
    if "+" in scheme:
        pytest.importorskip("sqlalchemy")
    with pytest.raises((ConfigurationError, StoreError)):
        open_store(f"{scheme}:///{tmp_path}/s", create=False).load(KEY)
    assert list(tmp_path.iterdir()) == []
    open_store(f"{scheme}:///{tmp_path}/s").create(KEY, b"data", 60)
    store = open_store(f"{scheme}:///{tmp_path}/s", create=False)
    record = store.load(KEY)
    assert record is not None
    assert record.data == b"data"
    store.close()
