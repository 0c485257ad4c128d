"""Where a store is, as far as its URL or the open store tells."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote

from session_mw.config import BOOLEANS
from session_mw.exceptions import ConfigurationError
from session_mw.protocols import Store
from session_mw.stores.migrating import MigratingStore
from session_mw.stores.options import nearest, scheme_of, without_password
from session_mw.stores.urls import STORES

_VERIFIED = ("verify-full", "verify-ca", "verify_identity", "verify_ca")
_REFUSES_PLAIN = ("require", "required", *_VERIFIED)


class Place(NamedTuple):
    """Where a store is."""

    kind: str
    """``memory``, ``file``, ``sqlite``, ``redis``, ``memcached``, ``sql`` or ``other``."""
    shown: str
    """The store, without a password."""
    path: str = ""
    hosts: tuple[str, ...] = ()
    tls: bool = False
    verified: bool = True
    password: bool = False


def places_of(store: Store | str) -> list[Place]:
    """What a URL or an open store tells of its place; all places, where one moves sessions to another."""
    if isinstance(store, MigratingStore):
        return [*places_of(store._new), *places_of(store._old)]
    return [_place_in_url(store) if isinstance(store, str) else _place_of_object(store)]


def _place_in_url(url: str) -> Place:
    scheme, shown = _known_scheme(url), without_password(url)
    server = scheme.partition("+")[0]
    head, _, query = url.partition("://")[2].partition("?")
    netloc, slash, path = head.partition("/")
    user, _, listed = netloc.rpartition("@")
    options = dict(parse_qsl(query.lower(), keep_blank_values=True))
    hosts = tuple(_host(part) for part in listed.split(",") if part) or ("localhost",)
    if server in ("memory", "memcached"):
        return Place(server, shown, hosts=() if server == "memory" else hosts)
    if server in ("file", "sqlite"):
        return Place(server, shown, os.path.abspath(unquote(slash + path) if server == "file" else path))
    # without_password leaves three stars of a user and password
    password = ":" in user or user == "***" or not options.keys().isdisjoint(("password", "passwd"))
    if server in ("redis", "rediss", "valkey", "valkeys"):
        checks = BOOLEANS.get(options.get("ssl_check_hostname", "true"), False)
        verified = checks and options.get("ssl_cert_reqs") != "none"
        return Place("redis", shown, "", hosts, server in ("rediss", "valkeys"), verified, password)
    return Place("sql", shown, "", _hosts_of_sql(query) or hosts, *_tls_of_sql(options), password)


def _known_scheme(url: str) -> str:
    scheme = scheme_of(url)
    if scheme not in STORES and scheme.partition("+")[0] not in STORES:
        raise ConfigurationError(f"no store has the URL scheme {scheme!r}; {nearest(scheme, STORES)}")
    return scheme


def _host(text: str) -> str:
    return text[1:].partition("]")[0] if text.startswith("[") else text.partition(":")[0]


def _hosts_of_sql(query: str) -> tuple[str, ...]:
    """The hosts that a query names, which go before the URL's own; a path is a socket on this machine."""
    named = [host for name, value in parse_qsl(query) if name == "host" for host in value.split(",") if host]
    return tuple("localhost" if host.startswith("/") else _host(host) for host in named)


def _tls_of_sql(options: Mapping[str, str]) -> tuple[bool, bool]:
    """Whether PostgreSQL's or MySQL's driver refuses a connection without TLS, and checks the certificate."""
    mode = options.get("sslmode") or options.get("ssl_mode") or ""
    authority = "ssl_ca" in options
    return mode in _REFUSES_PLAIN or authority, mode in _VERIFIED or authority


def _place_of_object(store: Any) -> Place:
    """The package's own stores by what they hold; their modules are not imported, since each needs its driver."""
    readers = {
        "MemoryStore": lambda: Place("memory", "MemoryStore"),
        "FileStore": lambda: Place("file", repr(store), path=store._directory.path),
        "SQLiteStore": lambda: Place("sqlite", repr(store), path=store._path),
        "MemcachedStore": lambda: Place("memcached", repr(store), hosts=tuple(h.address[0] for h in store._hosts)),
        "RedisStore": lambda: _place_of_redis(store),
        "SQLAlchemyStore": lambda: _place_of_sql(store),
    }
    kind = type(store)
    if kind.__module__.startswith("session_mw.stores.") and kind.__name__ in readers:
        return readers[kind.__name__]()
    return Place("other", kind.__name__)


def _place_of_redis(store: Any) -> Place:
    if "://" in store._shown:
        return _place_in_url(store._shown)
    client = store._server._client
    return Place("other", repr(store)) if client is None else _place_of_client(store, client)


def _place_of_client(store: Any, client: Any) -> Place:
    pool = getattr(client, "connection_pool", None)
    arguments = dict(getattr(pool, "connection_kwargs", {}))
    nodes = getattr(getattr(client, "nodes_manager", None), "startup_nodes", {})
    hosts = tuple(node.host for node in nodes.values()) or (str(arguments.get("host", "localhost")),)
    tls = bool(arguments.get("ssl")) or "SSL" in getattr(getattr(pool, "connection_class", None), "__name__", "")
    trusts_all = arguments.get("ssl_cert_reqs", "required") in ("none", None, ssl.CERT_NONE)
    verified = not trusts_all and bool(arguments.get("ssl_check_hostname", True))
    return Place("redis", repr(store), "", hosts, tls, verified, bool(arguments.get("password")))


def _place_of_sql(store: Any) -> Place:
    return _place_in_url(store._engine.url.render_as_string(hide_password=False))._replace(shown=repr(store))
