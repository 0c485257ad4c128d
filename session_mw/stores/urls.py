"""Makes the store that a URL names, or tells only where it is.

A store of the package is its module or folder, a row in :data:`STORES`, and a line of the contract tests.
Besides the methods of a store and :meth:`~session_mw.protocols.LocatedStore.describe` its class
has two class methods: ``from_url(url, *, create=True)``, and ``location_of(url)``, which opens nothing.
"""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

from session_mw.exceptions import ConfigurationError, not_loaded
from session_mw.protocols import Location, Store
from session_mw.stores.options import nearest, scheme_of


class _Row(NamedTuple):
    module: str
    """In this folder; also the name of the extra that installs the package."""
    name: str
    """The class in the module."""
    package: str = ""
    """The package that the module imports and that may not be installed."""


_REDIS = _Row("redis", "RedisStore", "redis")
_SQLALCHEMY = _Row("sqlalchemy", "SQLAlchemyStore", "sqlalchemy")

STORES = {
    "memory": _Row("memory", "MemoryStore"),
    "file": _Row("file", "FileStore"),
    "sqlite": _Row("sqlite", "SQLiteStore"),
    "memcached": _Row("memcached", "MemcachedStore", "pymemcache"),
    **{
        f"{server}{kind}": _REDIS
        for server in ("redis", "rediss", "valkey", "valkeys")
        for kind in ("", "+sentinel", "+cluster")
    },
    "redis+unix": _REDIS,
    "valkey+unix": _REDIS,
    **dict.fromkeys(("postgresql", "postgres", "mysql", "mariadb", "oracle", "mssql"), _SQLALCHEMY),
}
"""The store for each URL scheme. ``postgresql+driver``, ``sqlite+driver`` and so on belong to SQLAlchemy."""

_WITH_DRIVERS = {"sqlite", *(scheme for scheme, store in STORES.items() if store == _SQLALCHEMY)}


def open_store(url: str, *, create: bool = True) -> Store:
    """Make the store that a URL names.

    - ``memory://``: this process's memory
    - ``file:///var/lib/app/sessions``: a directory
    - ``sqlite:///sessions.db``, ``sqlite:////abs/path.db``: an SQLite file
    - ``redis://``, ``rediss://``, ``redis+sentinel://``, ``redis+cluster://``, also ``valkey``: Redis or Valkey
    - ``memcached://host:11211,host2:11211``: memcached
    - ``postgresql+psycopg://``, ``mysql+pymysql://``, ``sqlite+pysqlite://`` …: a table, by SQLAlchemy

    Args:
        url: The URL.
        create: Whether to make a missing directory, file or table. With False a missing one is an error.

    Raises:
        ConfigurationError: Something in the URL is wrong, a package is missing or cannot be loaded, or
            with ``create=False`` a directory, file or table is missing. The message never shows the
            URL's password.
        StoreError: Another process holds an SQLite file for too long.
    """
    store: Store = class_for(url).from_url(url, create=create)
    return store


def location_of(url: str) -> Location:
    """Where the store is that a URL names. It does not open, make or connect to anything.

    Raises:
        ConfigurationError: Something in the URL is wrong, or a package is missing or cannot be loaded.
    """
    location: Location = class_for(url).location_of(url)
    return location


def class_for(url: str) -> Any:
    """The class of the store that a URL names.

    Raises:
        ConfigurationError: The URL has no scheme of a store, or a package is missing or cannot be loaded.
    """
    scheme = scheme_of(url)
    server, plus, _ = scheme.partition("+")
    if scheme in STORES:
        row = STORES[scheme]
    elif plus and server in _WITH_DRIVERS:
        row = _SQLALCHEMY
    else:
        raise ConfigurationError(f"no store has the URL scheme {scheme!r}; {nearest(scheme, STORES)}")
    try:
        module = importlib.import_module(f"session_mw.stores.{row.module}")
    except Exception as error:
        if not row.package:
            raise
        raise not_loaded(error, row.package, row.module) from error
    return getattr(module, row.name)
