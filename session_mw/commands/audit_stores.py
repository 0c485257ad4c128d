"""What ``session-mw audit`` says of stores: who else can read or change the records."""

from __future__ import annotations

import ipaddress
import os
import stat
from collections.abc import Iterator

from session_mw.commands.report import FAIL, OK, WARN, Finding
from session_mw.protocols import LocatedStore, Location, Store
from session_mw.settings import Settings
from session_mw.stores.urls import location_of

_KINDS = {
    "memory": (WARN, "one process only, and gone when it ends; for tests and development"),
    "redis": (OK, "several machines; what survives a restart is what the server persists"),
    "memcached": (OK, "several machines; nothing survives a restart of the server"),
    "sql": (OK, "several machines; expired sessions stay until they are swept"),
    "other": (WARN, "a store of your own; nothing is known of who can read it"),
}
_FILES = "ASVS 13.2.2, 14.2.4"
_NETWORK = "ASVS 12.3.1"
_TRUST = "ASVS 12.3.2"
_LOG_IN = "ASVS 13.2.1"


def judge_store(settings: Settings) -> Iterator[Finding]:
    """Judge where sessions are kept; nothing where they are in the cookie."""
    if settings.store is None:
        return
    places = list(_places(settings.store))
    for place in places:
        here = OK, "several processes on one machine" if place.path else "several machines"
        yield Finding("store", place.shown, *_KINDS.get(place.kind, here), "")
        yield from _rights(place, settings.store_encryption)
        yield from _connection(place, settings.store_encryption)
    in_memory = all(place.kind == "memory" for place in places)
    on = settings.store_encryption or in_memory
    why = "whoever copies the store or a backup of it reads every session"
    standard = "ASVS 11.3.2, 14.2.4" if settings.store_encryption else "ASVS 14.2.4"
    if on:
        why = "no copy is made of a process's memory" if in_memory else "a copy of the store tells nothing"
    yield Finding("store_encryption", str(settings.store_encryption), OK if on else WARN, why, standard)


def _places(store: Store | str) -> Iterator[Location]:
    """Where the store keeps its records: several places, where it stands in front of others."""
    if isinstance(store, str):
        place = location_of(store)
    else:
        said = store.describe() if isinstance(store, LocatedStore) else None
        place = said if isinstance(said, Location) else Location("other", type(store).__name__)
    waiting = [place]
    while waiting:
        place = waiting.pop(0)
        if not place.parts:
            yield place
        waiting[:0] = place.parts


def _rights(place: Location, encrypted: bool) -> Iterator[Finding]:
    """Who may read and change the store's files."""
    if not place.path or os.name != "posix":
        return
    for path in (place.path, place.path + "-wal") if place.kind == "sqlite" else (place.path,):
        name = os.path.basename(path)
        if not os.path.exists(path):
            if path == place.path:
                yield Finding(name, "not made yet", OK, "it will be its owner's alone", _FILES)
            continue
        mode, is_directory = stat.S_IMODE(os.stat(path).st_mode), os.path.isdir(path)
        if mode & 0o022:
            verdict, why = FAIL, f"others may change sessions, or end them; chmod {700 if is_directory else 600}"
        elif mode & 0o077 and is_directory:
            verdict, why = WARN, "others see how many sessions there are, and when they change; chmod 700"
        elif mode & 0o077:
            verdict, why = WARN if encrypted else FAIL, "others may read the sessions; chmod 600"
        else:
            verdict, why = OK, "its owner's alone"
        yield Finding(name, f"mode {mode:04o}", verdict, why, _FILES)


def _connection(place: Location, encrypted: bool) -> Iterator[Finding]:
    """Who can listen on the way to the server, and who can log in to it."""
    if not place.hosts:
        return
    far = [host for host in place.hosts if not _is_here(host)]
    worst = WARN if encrypted or place.kind == "sql" else FAIL
    if not far:
        yield Finding("store: connection", "this machine", OK, "nobody else is on the way", _NETWORK)
    elif place.tls and not place.verified:
        yield Finding("store: connection", "TLS, unverified", worst, "anybody on the way can be the server", _TRUST)
    elif place.tls:
        yield Finding("store: connection", "TLS", OK, "nobody on the way can read or change sessions", _NETWORK)
    else:
        why = f"whoever is on the way to {far[0]} reads every session"
        yield Finding("store: connection", "no TLS", worst, why, _NETWORK)

    why = "whoever reaches the server can read and end sessions"
    if place.kind == "memcached" and far:
        yield Finding("store: log-in", "none", worst, why, _LOG_IN)
    elif place.kind in ("redis", "sql") and place.password:
        yield Finding("store: password", "set", OK, "only who knows it gets in", _LOG_IN)
    elif place.kind in ("redis", "sql"):
        yield Finding("store: password", "none", FAIL if far and place.kind == "redis" else WARN, why, _LOG_IN)


def _is_here(host: str) -> bool:
    if host in ("localhost", "") or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
