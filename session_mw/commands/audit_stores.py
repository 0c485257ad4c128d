"""What ``session-mw audit`` says of stores: who else can read or change the records."""

from __future__ import annotations

import ipaddress
import os
import re
import stat
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import unquote

from session_mw.commands.findings import FAIL, OK, WARN, Finding
from session_mw.exceptions import ConfigurationError
from session_mw.protocols import Store
from session_mw.settings import Settings
from session_mw.stores.options import nearest, scheme_of, without_password
from session_mw.stores.urls import STORES

_FILES = "ASVS 13.2.2, 14.2.4"
_NETWORK = "ASVS 12.3.1"
_TRUST = "ASVS 12.3.2"
_LOG_IN = "ASVS 13.2.1"
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


def judge_store(settings: Settings, store: Store | None) -> Iterator[Finding]:
    """Judge where sessions are kept; nothing where they are in the cookie."""
    if settings.store is None:
        return
    found = settings.store if isinstance(settings.store, str) else store or settings.store
    for place in map(place_of, _parts(found)):
        why, verdict = _KINDS[place.kind]
        yield Finding("store", place.shown, verdict, why, "")
        yield from _rights(place, settings.store_encryption)
        yield from _connection(place, settings.store_encryption)
    in_memory = found == "memory://"
    on = settings.store_encryption or in_memory
    why = "whoever copies the store or a backup of it reads every session"
    if on:
        why = "no copy is made of a process's memory" if in_memory else "a copy of the store tells nothing"
    yield Finding("store_encryption", str(settings.store_encryption), OK if on else WARN, why, "ASVS 11.3.2, 14.2.4")


def _parts(store: Any) -> list[Store | str]:
    """The two stores of one that moves sessions from the old to the new, or the store itself."""
    return [store._new, store._old] if type(store).__name__.endswith("MigratingStore") else [store]


_KINDS = {
    "memory": ("one process only, and gone when it ends; for tests and development", WARN),
    "file": ("several processes on one machine", OK),
    "sqlite": ("several processes on one machine", OK),
    "redis": ("several machines; what survives a restart is what the server persists", OK),
    "memcached": ("several machines; nothing survives a restart of the server", OK),
    "sql": ("several machines; expired sessions stay until they are swept", OK),
    "other": ("a store of your own; nothing is known of who can read it", WARN),
}


def place_of(store: Store | str) -> Place:
    """What a URL or an open store tells of its place."""
    return _place_in_url(store) if isinstance(store, str) else _place_of_object(store)


def _place_in_url(url: str) -> Place:
    scheme, shown = _known_scheme(url), without_password(url)
    server = scheme.partition("+")[0]
    head, _, query = url.partition("://")[2].partition("?")
    netloc, slash, path = head.partition("/")
    user, _, listed = netloc.rpartition("@")
    hosts = tuple(_host(part) for part in listed.split(",") if part) or ("localhost",)
    if server in ("memory", "memcached"):
        return Place(server, shown, hosts=() if server == "memory" else hosts)
    if server in ("file", "sqlite"):
        return Place(server, shown, os.path.abspath(unquote(slash + path) if server == "file" else path))
    # without_password leaves three stars of a user and password
    password = ":" in user or user == "***" or re.search(r"(^|&)passw(or)?d=", query) is not None
    if server in ("redis", "rediss", "valkey", "valkeys"):
        trusts_all = "ssl_cert_reqs=none" in query or "ssl_check_hostname=false" in query.lower()
        return Place("redis", shown, "", hosts, server in ("rediss", "valkeys"), not trusts_all, password)
    return Place("sql", shown, "", hosts, *_tls_of_sql(query), password)


def _known_scheme(url: str) -> str:
    scheme = scheme_of(url)
    if scheme not in STORES and scheme.partition("+")[0] not in STORES:
        raise ConfigurationError(f"no store has the URL scheme {scheme!r}; {nearest(scheme, STORES)}")
    return scheme


def _host(text: str) -> str:
    return text[1:].partition("]")[0] if text.startswith("[") else text.partition(":")[0]


def _tls_of_sql(query: str) -> tuple[bool, bool]:
    """Whether PostgreSQL's or MySQL's driver refuses a connection without TLS, and checks the certificate."""
    options = dict(part.partition("=")[::2] for part in query.lower().split("&"))
    mode = options.get("sslmode") or options.get("ssl_mode") or ""
    authority = "ssl_ca" in options
    return mode in _REFUSES_PLAIN or authority, mode in _VERIFIED or authority


def _place_of_object(store: Any) -> Place:
    """The package's own stores by what they hold; their modules are not imported, since each needs its driver."""
    readers = {
        "MemoryStore": lambda: Place("memory", "MemoryStore"),
        "FileStore": lambda: Place("file", repr(store), path=store._directory.path),
        "SQLiteStore": lambda: Place("sqlite", repr(store), path=store._path),
        "MemcachedStore": lambda: Place("memcached", repr(store), hosts=tuple(_host(h.name) for h in store._hosts)),
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
    return Place(
        "redis", repr(store), "", hosts, tls, arguments.get("ssl_cert_reqs") != "none", bool(arguments.get("password"))
    )


def _place_of_sql(store: Any) -> Place:
    return _place_in_url(store._engine.url.render_as_string(hide_password=False))._replace(shown=repr(store))


def _rights(place: Place, encrypted: bool) -> Iterator[Finding]:
    if not place.path or os.name != "posix":
        return
    for path in (place.path, place.path + "-wal") if place.kind == "sqlite" else (place.path,):
        if os.path.exists(path):
            mode = stat.S_IMODE(os.stat(path).st_mode)
            yield Finding(os.path.basename(path), f"mode {mode:04o}", *_mode(place.kind, mode, encrypted), _FILES)
        elif path == place.path:
            yield Finding(os.path.basename(path), "not made yet", OK, "it will be its owner's alone", _FILES)


def _mode(kind: str, mode: int, encrypted: bool) -> tuple[str, str]:
    right = "700" if kind == "file" else "600"
    if mode & 0o022:
        return FAIL, f"others may change sessions, or end them; chmod {right}"
    if mode & 0o077 and kind == "file":
        return WARN, "others see how many sessions there are, and when they change; chmod 700"
    if mode & 0o077:
        return WARN if encrypted else FAIL, "others may read the sessions; chmod 600"
    return OK, "its owner's alone"


def _connection(place: Place, encrypted: bool) -> Iterator[Finding]:
    far = [host for host in place.hosts if not _is_here(host)]
    worst = WARN if encrypted or place.kind == "sql" else FAIL
    if not place.hosts:
        return
    if not far:
        yield Finding("store: connection", "this machine", OK, "nobody else is on the way", _NETWORK)
    elif place.tls and not place.verified:
        yield Finding("store: connection", "TLS, unverified", worst, "anybody on the way can be the server", _TRUST)
    elif place.tls:
        yield Finding("store: connection", "TLS", OK, "nobody on the way can read or change sessions", _NETWORK)
    else:
        yield Finding(
            "store: connection", "no TLS", worst, f"whoever is on the way to {far[0]} reads every session", _NETWORK
        )
    if place.kind == "memcached" and far:
        yield Finding("store: log-in", "none", worst, "whoever reaches the server can read and end sessions", _LOG_IN)
    elif place.kind in ("redis", "sql"):
        bad = FAIL if far and place.kind == "redis" else WARN
        why = "only who knows it gets in" if place.password else "whoever reaches the server can read and end sessions"
        yield Finding(
            "store: password", "set" if place.password else "none", OK if place.password else bad, why, _LOG_IN
        )


def _is_here(host: str) -> bool:
    if host in ("localhost", "") or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
