"""What a URL's options become as arguments of a driver, checked before the first request.

A URL holds texts only; drivers take some of them as they are and fail at the first connection,
or at the first statement. Three steps find out before: what is no text is converted here; what
no URL can hold is refused; and then the driver is asked to connect to a Unix socket that does
not exist, for which it has to accept all the other arguments first. No network is touched.
"""

from __future__ import annotations

import math
import os
import re
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any

from sqlalchemy.engine import URL, Engine

from session_mw.exceptions import ConfigurationError
from session_mw.stores.options import nearest, positive, yes_no
from session_mw.stores.sqlalchemy import errors

_NOWHERE = "/session-mw-has-no-socket-here"
_SQLITE = set(
    "timeout detect_types isolation_level check_same_thread cached_statements uri autocommit "
    "mode cache vfs psow nolock immutable".split()
)


def _whole(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ValueError("must be a whole number")
    return int(text)


def _file(text: str) -> str:
    if text != "system" and not os.path.exists(text):
        raise ValueError("must be a file that is there")
    return text


def _charset(text: str) -> str:
    if text.lower() not in ("utf8mb4", "utf8mb3", "utf8", "latin1", "ascii"):
        raise ValueError("must be utf8mb4, utf8mb3, utf8, latin1 or ascii")
    return text


_READERS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("connect_timeout", "connection_timeout", "read_timeout", "write_timeout"), positive),
    **dict.fromkeys(
        ("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"), _whole
    ),
    **dict.fromkeys(("port", "max_allowed_packet", "client_flag"), _whole),
    **dict.fromkeys(
        (
            "allow_local_infile",
            "binary_prefix",
            "compress",
            "consume_results",
            "dns_srv",
            "force_ipv6",
            "get_warnings",
            "local_infile",
            "named_pipe",
            "raise_on_warnings",
            "ssl_check_hostname",
            "ssl_context",
            "ssl_disabled",
            "ssl_verify_cert",
            "ssl_verify_identity",
            "tcp_keepalive",
            "use_pure",
        ),
        yes_no,
    ),
    **dict.fromkeys(
        ("ssl_ca", "ssl_capath", "ssl_cert", "ssl_key", "sslcert", "sslcrl", "sslkey", "sslrootcert"), _file
    ),
    "charset": _charset,
}

_LEAVE_OUT = {
    **dict.fromkeys(
        ("autocommit", "isolation_level", "raw", "buffered", "use_unicode", "client_flags", "defer_connect"),
        "the store sets it itself",
    ),
    **dict.fromkeys(
        (
            "auth_plugin_map",
            "connection_factory",
            "context",
            "conv",
            "converter_class",
            "cursor_factory",
            "cursorclass",
            "failover",
            "row_factory",
            "sock",
            "source_address",
            "startup_params",
        ),
        "it is an object, which no URL can hold; make an engine with it and give that to SQLAlchemyStore(engine)",
    ),
    **dict.fromkeys(("conninfo", "dsn"), "the URL says it all"),
    "prepare_threshold": "the store prepares no statement by name, with or without a pooler",
}
_TLS = {
    "psycopg": "write sslmode=require, or sslmode=verify-full with sslrootcert=/path/of/ca.pem",
    "psycopg2": "write sslmode=require, or sslmode=verify-full with sslrootcert=/path/of/ca.pem",
    "pg8000": "write ssl_context=true, which checks the server's certificate by the system's list",
}
_TLS_OF_MYSQL = "write ssl_ca=/path/of/ca.pem"
_SOCKETS: dict[str, dict[str, Any]] = {
    "psycopg": {"host": _NOWHERE},
    "psycopg2": {"host": _NOWHERE},
    "pg8000": {"unix_sock": _NOWHERE, "timeout": 1},
    # It does not close the socket when it finds nothing; but it can be told not to connect yet.
    "pymysql": {"defer_connect": True},
    # By any other host it would connect.
    "mysqldb": {"host": "localhost", "unix_socket": _NOWHERE},
    "mysqlconnector": {"unix_socket": _NOWHERE},
}
# How each of them says that there is no such socket.
_FOUND_NOTHING = re.compile(rf"{_NOWHERE}|\b200[23]\b|communication error")


def driver_arguments(url: URL, timeout: float) -> dict[str, Any]:
    """The arguments for the driver that the URL does not give, or gives as a text of something else.

    Args:
        url: Without our own options.
        timeout: How long a call may take. The driver is told as far as it can, so that a connection that
            nobody waits for any more is given up soon; :mod:`.deadline` is what bounds a call.

    Raises:
        ConfigurationError: An option cannot be given in a URL, or has a bad value.
    """
    driver = _driver(url)
    found = _limits(driver, timeout)
    for name, given in url.query.items():
        _refuse(url, name, given)
        if name in _READERS and isinstance(given, str) and url.get_backend_name() != "sqlite":
            try:
                found[name] = _READERS[name](given)
            except ValueError as problem:
                raise ConfigurationError(f"the option {name!r} in the store's URL: {given!r} {problem}") from None
    return found


def check(engine: Engine, arguments: Mapping[str, Any]) -> None:
    """Refuse what the driver would refuse at the first connection, and load what it would load then.

    Raises:
        ConfigurationError: It does.
    """
    if engine.driver not in _SOCKETS:
        return
    if engine.driver == "mysqlconnector":
        # An import in a request, broken off by an exception from outside, can leave CPython's import lock taken.
        for way in ("mysql_native_password", "caching_sha2_password"):
            with suppress(ImportError):
                import_module(f"mysql.connector.plugins.{way}")
    positional, named = engine.dialect.create_connect_args(engine.url)
    named = {**named, **arguments, **_SOCKETS[engine.driver]}
    if engine.dialect.name == "postgresql":
        for name in ("hostaddr", "port", "service") if "host" in _SOCKETS[engine.driver] else ("host", "port"):
            named.pop(name, None)
    try:
        with warnings.catch_warnings():
            # told again, if at all, where it connects
            warnings.simplefilter("ignore")
            engine.dialect.connect(*positional, **named).close()
    except Exception as error:  # noqa: BLE001 - drivers refuse with errors of any type
        said = errors.words(error, errors.secrets_of(engine.url))
        if not _FOUND_NOTHING.search(str(error)) or isinstance(error, FileNotFoundError):
            # Some drivers name the option, others quote only its value.
            guilty = [name for name in engine.url.query if name in str(error)]
            guilty += [name for name, value in engine.url.query.items() if value and str(value) in str(error)]
            hint = f"the option {guilty[0]!r} in the store's URL: " if guilty else ""
            errors.scrub(error)
            raise ConfigurationError(f"{hint}{engine.driver} does not take the store's URL: {said}") from None


def _driver(url: URL) -> str:
    return str(url.get_dialect().driver)


def _limits(driver: str, timeout: float) -> dict[str, Any]:
    whole = max(math.ceil(timeout), 1)
    if driver == "psycopg":
        # never by name: see connections
        return {"connect_timeout": whole, "prepare_threshold": None}
    if driver == "psycopg2":
        return {"connect_timeout": whole}
    if driver == "pg8000":
        return {"timeout": timeout}
    if driver in ("pymysql", "mysqldb"):
        return {"connect_timeout": whole, "read_timeout": whole, "write_timeout": whole}
    if driver == "mysqlconnector":
        limits = {"connection_timeout": whole, "read_timeout": whole, "write_timeout": whole}
        return {name: value for name, value in limits.items() if name in _known_to_mysqlconnector()}
    return {}


def _known_to_mysqlconnector() -> Mapping[str, Any]:
    """Its arguments. From 9.2 on it has limits for reading and writing, which its variant in C needs."""
    try:
        return import_module("mysql.connector.constants").DEFAULT_CONFIGURATION  # type: ignore[no-any-return]
    except ImportError:
        # SQLAlchemy will say so
        return {}


def _refuse(url: URL, name: str, given: str | tuple[str, ...]) -> None:
    problem = _LEAVE_OUT.get(name)
    if url.get_backend_name() == "sqlite":
        problem = None if name in _SQLITE else f"sqlite3 does not know it; {nearest(name, _SQLITE)}"
    elif name == "prepare_threshold" and given in ("", "None"):
        problem = None
    elif name == "ssl":
        problem = _TLS.get(_driver(url), _TLS_OF_MYSQL)
    elif not isinstance(given, str) and name != "host":
        problem = "it is given twice"
    if problem:
        raise ConfigurationError(f"the option {name!r} in the store's URL is to be left out: {problem}")
