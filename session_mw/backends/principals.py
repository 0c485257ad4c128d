"""Whose sessions there are: for a page "your devices", and to end them from elsewhere."""

from __future__ import annotations

import time
from typing import NamedTuple, Protocol

from session_mw.backends.record_format import companion_key, is_marker
from session_mw.codecs.records import Records
from session_mw.exceptions import ConfigurationError, StoreError
from session_mw.protocols import IndexedStore, Record, Store, is_indexed
from session_mw.state import COMPANION, SessionState

_ROUNDS = 16


class SessionInfo(NamedTuple):
    """One of a principal's sessions."""

    id: str
    """What :attr:`session_mw.Session.id` says in it, and ``end(id)`` takes."""
    created: int
    """Unix time at which it began."""
    last_used: int
    """Unix time of its last use, to a tenth of the lifetime.

    It is reckoned from the time at which the record ends. So it is too early where an
    absolute lifetime cuts that short, or the setting ``lifetime`` has grown since.
    """
    label: str | None = None
    """What :attr:`session_mw.Session.label` says in it: for the user, to tell devices apart."""
    device_bound: bool = False
    """Whether the session is bound to a device's key."""


class ListingBackend(Protocol):
    """What is needed of a backend whose sessions are listed."""

    store: Store
    records: Records

    def info(self, key: str, record: Record, now: int) -> SessionInfo | None:
        """What a list says of a record; None where no visitor could use it."""

    def companion(self, key: str, record: Record) -> str | None:
        """The key of the record that ends with a session; None where there is none."""


def indexed(store: Store | None) -> IndexedStore:
    """The store, if it lists sessions by principal.

    Raises:
        ConfigurationError: It does not, or there is none.
    """
    if is_indexed(store):
        return store
    kind, others = f"in {type(store).__name__}, which has no index", ""
    if store is None:
        kind, others = "in the cookie", ". To end them, revocations='sqlite:///ended.db' is enough"
    raise ConfigurationError(
        f"the sessions of a principal cannot be listed: sessions are {kind}; "
        f"use SQLite, Redis, SQLAlchemy, files or memory{others}"
    )


def list_sessions(backend: ListingBackend, principal: str) -> list[SessionInfo]:
    """The principal's sessions that a visitor could use, the last used first."""
    store, now, sessions = indexed(backend.store), int(time.time()), []
    for key in _keys_of(store, backend.records.index_names(principal)):
        record = store.load(key)
        info = None if record is None else backend.info(key, record, now)
        if info is not None:
            sessions.append(info)
    return sorted(sessions, key=lambda session: session.last_used, reverse=True)


def end_session(backend: ListingBackend, key: str) -> None:
    """End one session, and before it the record that ends with it: a failure in between leaves nothing behind."""
    record = backend.store.load(key)
    companion = None if record is None else backend.companion(key, record)
    if companion is not None:
        backend.store.delete(companion)
    backend.store.delete(key)


def end_sessions_with(backend: ListingBackend, principal: str, companion: str) -> None:
    """End those sessions of a principal that end with the record ``companion``."""
    store = indexed(backend.store)
    for name in backend.records.index_names(principal):
        for key in store.keys_of(name):
            record = store.load(key)
            if record is not None and backend.companion(key, record) == companion:
                store.delete(key)


def end_sessions(backend: ListingBackend, principal: str, kept: SessionState | None) -> int:
    """End all sessions of the principal but ``kept``; how many that were.

    What is listed under the principal beside sessions, and ends with them, goes too; but for what ends with ``kept``,
    which may not be saved yet.

    Raises:
        StoreError: New ones keep coming.
    """
    store, now = indexed(backend.store), int(time.time())
    names, seen, ended = backend.records.index_names(principal), set[str](), 0
    if kept is not None:
        seen.add(kept.saved_id)
        if COMPANION in kept.metadata:
            seen.add(companion_key(kept.metadata[COMPANION]))
    # A session that is just given a new id is listed under it before the old one ends; what is left under the
    # old one counts for nothing, but says that there is another one to be found.
    for _ in range(_ROUNDS):
        new = _keys_of(store, names) - seen
        if not new:
            return ended
        for key in new:
            record = store.load(key)
            if record is None or is_marker(record):
                continue
            ended += backend.info(key, record, now) is not None
            companion = backend.companion(key, record)
            if companion is not None and companion not in seen:
                store.delete(companion)
            store.delete(key)
        seen |= new
    raise StoreError(
        f"a principal's sessions were listed anew after each of {_ROUNDS} times they were ended; "
        "does something log them in again?"
    )


def _keys_of(store: IndexedStore, names: list[str]) -> set[str]:
    """The keys under all names, of which the first is the current one.

    That one comes last: a session that moves to it meanwhile, from an older one, is found in either place.
    """
    return {key for name in reversed(names) for key in store.keys_of(name)}
