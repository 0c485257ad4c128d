"""Whose sessions there are: for a page "your devices", and to end them from elsewhere."""

from __future__ import annotations

import time
from typing import NamedTuple

from session_mw.backends.record_format import created_of
from session_mw.exceptions import ConfigurationError, StoreError
from session_mw.protocols import IndexedStore, Store, is_indexed

_ROUNDS = 16


class SessionInfo(NamedTuple):
    """One of a principal's sessions."""

    id: str
    """What :attr:`Session.id` says in it, and ``end(id)`` takes."""
    created: int
    """Unix time at which it began."""
    last_used: int
    """Unix time of its last use, to a tenth of the lifetime.

    It is reckoned from the time at which the record ends. So it is too early where an
    absolute lifetime cuts that short, or the setting ``lifetime`` has grown since.
    """


def indexed(store: Store | None) -> IndexedStore:
    """The store, if it lists sessions by principal.

    Raises:
        ConfigurationError: It does not, or there is none.
    """
    if is_indexed(store):
        return store
    kind = "in the cookie" if store is None else f"in {type(store).__name__}, which has no index"
    raise ConfigurationError(
        f"the sessions of a principal cannot be listed: sessions are {kind}; "
        "use SQLite, Redis, SQLAlchemy, files or memory"
    )


def list_sessions(store: IndexedStore, principal: str, lifetime: int) -> list[SessionInfo]:
    """The principal's live sessions, the last used first; ``lifetime`` is in seconds."""
    records = [(key, store.load(key)) for key in store.keys_of(principal)]
    sessions, now = [], int(time.time())
    for key, record in records:
        if record is not None and (created := created_of(record)) is not None:
            sessions.append(SessionInfo(key, created, max(created, min(now, record.expires - lifetime))))
    return sorted(sessions, key=lambda session: session.last_used, reverse=True)


def end_sessions(store: IndexedStore, principal: str, kept: str | None) -> int:
    """End all sessions of the principal but the one with the id ``kept``; how many that were.

    Raises:
        StoreError: New ones keep coming.
    """
    ended: set[str] = set()
    # A session that is just given a new id is listed under it before the old one ends.
    for _ in range(_ROUNDS):
        keys = {key for key in store.keys_of(principal) if key != kept}
        if not keys:
            return len(ended)
        for key in keys:
            store.delete(key)
        ended |= keys
    raise StoreError(
        f"a principal's sessions were listed anew after each of {_ROUNDS} times they were ended; "
        "does something log them in again?"
    )
