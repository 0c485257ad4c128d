"""SQLAlchemy URLs, and the engines that they stand for."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from session_mw.exceptions import ConfigurationError
from session_mw.protocols import Location
from session_mw.stores.options import (
    identifier,
    positive,
    refuse_at_sign,
    seconds,
    take_options,
    without_password,
    yes_no,
)
from session_mw.stores.sqlalchemy import deadline, sqlite_file
from session_mw.stores.sqlalchemy.connections import Source
from session_mw.stores.sqlalchemy.drivers import check, driver_arguments
from session_mw.stores.sqlalchemy.gate import IdlePool

OPTIONS: dict[str, Callable[[str], Any]] = {
    "table": identifier,
    "create": yes_no,
    "pool_size": positive,
    "timeout": seconds,
    "pool_recycle": positive,
}
TIMEOUT = 5.0
_POOL_SIZE = 5
# As many as SQLAlchemy's own pool makes at most beside those that it keeps.
_OVERFLOW = 10
_VERIFIED = ("verify-full", "verify-ca", "verify_identity", "verify_ca")
_REFUSES_PLAIN = ("require", "required", *_VERIFIED)
_YES = ("true", "yes", "on", "1")


def source_from_url(text: str, create: bool) -> tuple[Source, dict[str, Any]]:
    """Make the engine that a URL names, and read our own options in it; nothing is connected yet.

    Args:
        text: The URL.
        create: Whether a file of SQLite may be made.

    Raises:
        ConfigurationError: The URL has a mistake, or its driver is missing or cannot be loaded.
    """
    url, options = _parse(text)
    shown = without_password(text)
    _check_names(url)
    _check_place(url, shown)
    may_create = create and options.get("create", True)
    timeout = options.get("timeout", TIMEOUT)
    arguments = driver_arguments(url, timeout)
    # what is given as an argument must not be given by the URL as well, in another form
    url = url.difference_update_query([name for name in ("prepare_threshold",) if name in url.query])

    disk = sqlite_file.disk_of(url)

    def make() -> Engine:
        return _engine(url, arguments, options, may_create, disk)

    try:
        engine = make()
    except ImportError as error:
        raise _unloaded(url, shown, error) from error
    except (ArgumentError, NoSuchModuleError, TypeError, ValueError) as error:
        raise ConfigurationError(f"SQLAlchemy makes no engine of {shown!r}: {type(error).__name__}") from None
    check(engine, arguments)
    places = options.get("pool_size", _POOL_SIZE) + _OVERFLOW
    return Source(engine, timeout, places, make, disk), options


def location_of(text: str) -> Location:
    """Where the database that a URL names is."""
    return location(_parse(text)[0], without_password(text))


def location(url: URL, shown: str) -> Location:
    """Where the database is.

    Args:
        url: Without our own options.
        shown: How a message shows it.
    """
    options = {name.lower(): _listed(value) for name, value in url.query.items()}
    if url.get_backend_name() == "sqlite":
        path = url.database or ""
        return Location("sqlite", shown, "" if path in ("", ":memory:") else os.path.abspath(path))
    named = [host for value in options.get("host", []) for host in value.split(",") if host]
    sockets = "unix_socket" in options or "unix_sock" in options
    hosts = [_host(host) for host in named] or ["localhost" if sockets else url.host or "localhost"]
    mode = [value.lower() for name in ("sslmode", "ssl_mode") for value in options.get(name, [])]
    checks = "ssl_ca" in options or any(value in _VERIFIED for value in mode)
    asks = any(value in _REFUSES_PLAIN for value in mode) or options.get("ssl_context", ["no"])[0].lower() in _YES
    has_password = url.password is not None or not options.keys().isdisjoint(("password", "passwd"))
    return Location("sql", shown, hosts=tuple(hosts), tls=checks or asks, verified=checks, password=has_password)


def _listed(value: str | tuple[str, ...]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _host(text: str) -> str:
    """A host without its port; a path is a socket on this machine."""
    if text.startswith(("/", "@")):
        return "localhost"
    return text[1:].partition("]")[0] if text.startswith("[") else text.partition(":")[0]


def _parse(text: str) -> tuple[URL, dict[str, Any]]:
    theirs, options = take_options(text, OPTIONS)
    scheme, colon, rest = theirs.partition("://")
    if re.fullmatch(r"postgres(\+.*)?", scheme, re.IGNORECASE):
        # what hosting services hand out; SQLAlchemy knows it no longer
        scheme = f"postgresql{scheme[8:]}"
    try:
        url = make_url(scheme.lower() + colon + rest)
    except (ArgumentError, ValueError):
        raise _unknown(text) from None
    if url.get_backend_name() != "sqlite":
        refuse_at_sign(theirs.partition("?")[0].partition("@")[2])
    return url, options


def _unknown(text: str) -> ConfigurationError:
    return ConfigurationError(
        f"{without_password(text)!r} is no URL of a database that SQLAlchemy knows; write it like "
        "postgresql+psycopg://user:password@host/database"
    )


def _check_names(url: URL) -> None:
    """What is nearly the name of one of our options is taken for a slip."""
    shown = without_password(str(url))
    try:
        is_async = url.get_dialect().is_async
    except (ArgumentError, NoSuchModuleError):
        raise _unknown(str(url)) from None
    except ImportError as error:
        raise _unloaded(url, shown, error) from error
    if is_async:
        raise ConfigurationError(f"{shown!r} has an asyncio driver; WSGI needs another, such as psycopg or pymysql")
    for name in url.query:
        if close := difflib.get_close_matches(name.lower(), OPTIONS, n=1, cutoff=0.8):
            raise ConfigurationError(f"the store's URL has an unknown option {name!r}; did you mean {close[0]!r}?")


def _check_place(url: URL, shown: str) -> None:
    in_memory = url.database in (None, "", ":memory:") or url.query.get("mode") == "memory"
    if url.get_backend_name() == "sqlite" and in_memory:
        raise ConfigurationError(f"{shown!r} would be another database for every thread; write memory:// for tests")


_USUAL_DRIVERS = {"mysql": "pymysql", "mariadb": "pymysql", "postgresql": "psycopg"}


def _unloaded(url: URL, shown: str, error: ImportError) -> ConfigurationError:
    """A driver that is not there, or one that is there and fails at its import."""
    frames, last = error.__traceback__, ""
    while frames is not None:
        module = str(frames.tb_frame.f_globals.get("__name__", ""))
        last = last if module.startswith("importlib.") else module
        frames = frames.tb_next
    if isinstance(error, ModuleNotFoundError) and last.partition(".")[0] in ("sqlalchemy", "session_mw"):
        backend = url.get_backend_name()
        usual = _USUAL_DRIVERS.get(backend, error.name)
        remedy = f"python -m pip install {usual}"
        if usual != error.name:
            remedy = f"install it, or take another one: {remedy}, and write {backend}+{usual}://"
        return ConfigurationError(f"{shown!r} needs a driver that is not installed: {error.name}; {remedy}")
    return ConfigurationError(f"{shown!r} needs a driver that is installed but cannot be loaded: {error}")


def _engine(
    url: URL, arguments: Mapping[str, Any], options: Mapping[str, Any], create: bool, disk: sqlite_file.Disk | None
) -> Engine:
    is_sqlite = url.get_backend_name() == "sqlite"
    wait = options.get("timeout", TIMEOUT)
    engine = create_engine(
        url,
        # how long to wait for another process that writes, while a connection is made
        connect_args={"timeout": wait, **(sqlite_file.FACTORY if disk else {})} if is_sqlite else dict(arguments),
        # Each operation is one statement: no BEGIN and COMMIT around it, nothing to roll back after it.
        isolation_level="AUTOCOMMIT",
        pool_reset_on_return=None,
        pool_size=options.get("pool_size", _POOL_SIZE),
        # How many there are at once is bounded by gate.Gate.
        poolclass=IdlePool,
        pool_recycle=options.get("pool_recycle", -1),
        # Session data would be in the statement's parameters.
        hide_parameters=True,
    )
    # From SQLAlchemy 2.0.43 on it can be asked not to send a ROLLBACK after each statement all the same.
    setattr(engine.dialect, "skip_autocommit_rollback", True)  # noqa: B010
    if engine.driver == "pysqlite":
        sqlite_file.prepare(engine, create, disk)
    elif not is_sqlite:
        event.listen(engine, "do_connect", _connect_in_time)
    return engine


def _connect_in_time(dialect: Any, record: object, positional: list[Any], named: dict[str, Any]) -> Any:
    """Connect within the time of the call that needs the connection; the parameters are SQLAlchemy's."""
    guard = deadline.current.get()
    if guard is None:
        return None

    def connect() -> Any:
        connection = dialect.connect(*positional, **named)
        # Here, where no exception from outside is set in: SQLAlchemy asks a new connection for the server's version and
        # so on, and that is bounded too.
        guard.add(connection)
        return connection

    return guard.in_time(connect, lambda late: late.close())
