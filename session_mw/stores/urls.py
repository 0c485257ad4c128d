"""A store from its URL."""

from __future__ import annotations

import importlib

from session_mw.exceptions import ConfigurationError
from session_mw.protocols import Store
from session_mw.stores.options import nearest, scheme_of

_REDIS = "redis:RedisStore"
_SQLALCHEMY = "sqlalchemy:SQLAlchemyStore"

STORES = {
    "memory": "memory:MemoryStore",
    "file": "file:FileStore",
    "sqlite": "sqlite:SQLiteStore",
    "memcached": "memcached:MemcachedStore",
    **{
        f"{server}{kind}": _REDIS
        for server in ("redis", "rediss", "valkey", "valkeys")
        for kind in ("", "+sentinel", "+cluster")
    },
    "redis+unix": _REDIS,
    "valkey+unix": _REDIS,
    **dict.fromkeys(("postgresql", "postgres", "mysql", "mariadb", "oracle", "mssql"), _SQLALCHEMY),
}
"""Scheme to module and class. ``postgresql+driver``, ``sqlite+driver`` and so on are SQLAlchemy's."""

_WITH_DRIVERS = {"sqlite", *(scheme for scheme, store in STORES.items() if store == _SQLALCHEMY)}


def open_store(url: str) -> Store:
    """Make the store that a URL names.

    | URL | store |
    |---|---|
    | ``memory://`` | this process's memory |
    | ``file:///var/lib/app/sessions`` | a directory |
    | ``sqlite:///sessions.db``, ``sqlite:////abs/path.db`` | an SQLite file |
    | ``redis://``, ``rediss://``, ``redis+sentinel://``, ``redis+cluster://``, also ``valkey`` | Redis or Valkey |
    | ``memcached://host:11211,host2:11211`` | memcached |
    | ``postgresql+psycopg://``, ``mysql+pymysql://``, ``sqlite+pysqlite://`` … | a table, by SQLAlchemy |

    Raises:
        ConfigurationError: Something in the URL is wrong, or a package is missing. The
            message never shows the URL's password.
        StoreError: An SQLite file is held by another process for too long.
    """
    module, _, name = _place(scheme_of(url)).partition(":")
    try:
        store_class = getattr(importlib.import_module(f"session_mw.stores.{module}"), name)
    except ModuleNotFoundError as error:
        raise _missing(module, error) from error
    store: Store = store_class.from_url(url)
    return store


def _place(scheme: str) -> str:
    server, plus, _ = scheme.partition("+")
    if scheme in STORES:
        return STORES[scheme]
    if plus and server in _WITH_DRIVERS:
        return _SQLALCHEMY
    raise ConfigurationError(f"no store has the URL scheme {scheme!r}; {nearest(scheme, STORES)}")


def _missing(module: str, error: ModuleNotFoundError) -> Exception:
    package = (error.name or "").partition(".")[0]
    if package == "session_mw":
        return error
    return ConfigurationError(f'the package {package!r} is missing: pip install "session_mw[{module}]"')
