"""What ``session-mw audit`` says of stores: who else can read or change the records."""

from __future__ import annotations

import ipaddress
import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

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
_KINDS_OF_REVOCATIONS = {
    "memory": (WARN, "one process only, and forgotten when it ends: others go on to accept what has ended"),
    "memcached": (WARN, "forgotten when the server restarts or is full: ended sessions come back then"),
    "redis": (OK, "several machines; the server has to persist and may evict nothing, or ended sessions come back"),
    "sql": (OK, "several machines"),
    "other": (WARN, "a store of your own; nothing is known of who can change it, and of what it forgets"),
}
_FILES = "ASVS 13.2.2, 14.2.4"
_NETWORK = "ASVS 12.3.1"
_TRUST = "ASVS 12.3.2"
_LOG_IN = "ASVS 13.2.1"


class _Kept(NamedTuple):
    """What is kept in a store, and what others could do with it."""

    setting: str
    """The setting that names the store: what findings begin with."""
    is_secret: bool
    """Whether who reads it learns what is in sessions."""
    changed: str
    """What others could do who change it."""
    listened: str
    """What somebody could do on the way to the server."""


_REVOCATIONS = _Kept("revocations", False, "undo log-outs", "can undo log-outs, or end sessions")


def judge_store(settings: Settings) -> Iterator[Finding]:
    """Judge where sessions are kept; nothing where they are in the cookie."""
    if settings.store is None:
        return
    places = list(_places(settings.store))
    sessions = _Kept("store", not settings.store_encryption, "read, change or end sessions", "reads every session")
    for place in places:
        yield from _judged(place, sessions, _KINDS)
    in_memory = all(place.kind == "memory" for place in places)
    on = settings.store_encryption or in_memory
    why = "whoever copies the store or a backup of it reads every session"
    standard = "ASVS 11.3.2, 14.2.4" if settings.store_encryption else "ASVS 14.2.4"
    if on:
        why = "no copy is made of a process's memory" if in_memory else "a copy of the store tells nothing"
    yield Finding("store_encryption", str(settings.store_encryption), OK if on else WARN, why, standard)


def judge_revocations(settings: Settings) -> Iterator[Finding]:
    """Judge where it is remembered which sessions in cookies have ended."""
    if settings.revocations is None:
        return
    for place in _places(settings.revocations):
        yield from _judged(place, _REVOCATIONS, _KINDS_OF_REVOCATIONS)


def _judged(place: Location, kept: _Kept, kinds: dict[str, tuple[str, str]]) -> Iterator[Finding]:
    here = OK, "several processes on one machine" if place.path else "several machines"
    yield Finding(kept.setting, place.shown, *kinds.get(place.kind, here), "")
    yield from _rights(place, kept)
    yield from _connection(place, kept)


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


def _rights(place: Location, kept: _Kept) -> Iterator[Finding]:
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
            verdict, why = FAIL, f"others may {kept.changed}; chmod {700 if is_directory else 600}"
        elif mode & 0o077 and is_directory:
            verdict, why = WARN, "others see how many sessions there are, and when they change; chmod 700"
        elif mode & 0o077 and kept.is_secret:
            verdict, why = FAIL, "others may read the sessions; chmod 600"
        elif mode & 0o077:
            verdict, why = WARN, "others may read the file, which tells them little; chmod 600"
        else:
            verdict, why = OK, "its owner's alone"
        yield Finding(name, f"mode {mode:04o}", verdict, why, _FILES)


def _connection(place: Location, kept: _Kept) -> Iterator[Finding]:
    """Who can listen on the way to the server, and who can log in to it."""
    if not place.hosts:
        return
    far = [host for host in place.hosts if not _is_here(host)]
    worst = FAIL if kept.is_secret and place.kind != "sql" else WARN
    attribute = f"{kept.setting}: connection"
    if not far:
        yield Finding(attribute, "this machine", OK, "nobody else is on the way", _NETWORK)
    elif place.tls and not place.verified:
        yield Finding(attribute, "TLS, unverified", worst, "anybody on the way can be the server", _TRUST)
    elif place.tls:
        yield Finding(attribute, "TLS", OK, "nobody on the way can read or change what is kept there", _NETWORK)
    else:
        why = f"whoever is on the way to {far[0]} {kept.listened}"
        yield Finding(attribute, "no TLS", worst, why, _NETWORK)

    why = f"whoever reaches the server can {kept.changed}"
    if place.kind == "memcached" and far:
        yield Finding(f"{kept.setting}: log-in", "none", worst, why, _LOG_IN)
    elif place.kind in ("redis", "sql") and place.password:
        yield Finding(f"{kept.setting}: password", "set", OK, "only who knows it gets in", _LOG_IN)
    elif place.kind in ("redis", "sql"):
        verdict = FAIL if far and place.kind == "redis" else WARN
        yield Finding(f"{kept.setting}: password", "none", verdict, why, _LOG_IN)


def _is_here(host: str) -> bool:
    if host in ("localhost", "") or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
