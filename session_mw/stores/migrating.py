"""Move from one store to another while the site runs.

A record is in the old store until it is next written. That write goes through these steps,
so that two writers, or a writer and a log-out, always notice each other:

    1  reserve  new.create(key, a marker)              only one marker can exist; readers ignore it
    2  check    old.load(key)                          gone: logged out or moved; another version: written meanwhile
    3  fill     new.update(key, data, the marker's)    one writer succeeds, or none if a log-out removed the marker
    4  clear    old.delete(key)                        by that writer, or by the next write or touch

Until step 3 the old record counts: a writer that is killed or fails loses only its own changes,
and the next one finds the marker and continues. Until step 4 the new record must not expire
before the old one, because readers would then see the old one again. A log-out deletes in the old
store first, then in the new one. A reader looks at the new store, the old one, and once more at
the new one, because the record may move in between.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from session_mw.exceptions import ConfigurationError, StoreError, kind_of
from session_mw.protocols import LocatedStore, Location, Record, Store, is_indexed, is_store

logger = logging.getLogger("session_mw")

# Cannot be a session's record: those begin with a digit, and the mark of an ended session is a word.
MARKER = b"\x00session_mw moves\x00"


class MigratingStore:
    """Reads the new store, then the old one; writes the new one.

    All processes must begin to use it at the same time: one that uses the old store alone does
    not see the records that have moved. A record moves when its session is next written. It does not
    move when the session is only read and touched, because only a write tells the principal. So
    a session that is only read stays in the old store for as long as it is in use. When few records are
    left there, use the new store alone; visitors with the remaining ones start with new sessions.
    If the new store is indexed, this one is too. It lists records of the old store only if that is
    indexed as well.

    Args:
        new: Where records go.
        old: Where they are now. Both are closed by :meth:`close`.

    Raises:
        ConfigurationError: One of them is not a store, or the new one is itself a MigratingStore.
    """

    def __new__(cls, new: Store, old: Store) -> MigratingStore:
        """Make one with ``keys_of`` where the new store has it."""
        listed = cls is MigratingStore and is_indexed(new)
        return object.__new__(IndexedMigratingStore if listed else cls)

    def __init__(self, new: Store, old: Store) -> None:
        for store in (new, old):
            if not is_store(store):
                raise ConfigurationError(f"two stores are needed, not {kind_of(store)}; open_store(url) makes one")
        if isinstance(new, MigratingStore):
            raise ConfigurationError(
                "the new store is itself moving; write MigratingStore(newest, MigratingStore(new, old))"
            )
        self._new = new
        self._old = old
        self._indexed_new = new if is_indexed(new) else None
        self._indexed_old = old if is_indexed(old) else None

    def describe(self) -> Location:
        """As :meth:`session_mw.protocols.LocatedStore.describe`; its parts are the new store and the old one."""
        parts = (_location_of(self._new), _location_of(self._old))
        return Location("migrating", repr(self), parts=parts)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} new={self._new!r} old={self._old!r}>"

    def load(self, key: str) -> Record | None:
        """As :meth:`session_mw.protocols.Store.load`."""
        return self._from_new(key) or self._from_old(key) or self._from_new(key)

    def create(self, key: str, data: bytes, ttl: int) -> bool:
        """As :meth:`session_mw.protocols.Store.create`."""
        return self._write_new(key, data, ttl, None)

    def update(self, key: str, data: bytes, ttl: int, version: Any) -> bool:
        """As :meth:`session_mw.protocols.Store.update`."""
        return self._write_over(key, data, ttl, version, None)

    def touch(self, key: str, ttl: int) -> bool:
        """As :meth:`session_mw.protocols.Store.touch`; if the record has moved, the old one is removed."""
        if self._touch_moved(key, ttl):
            return True
        in_old = self._old.touch(key, ttl)
        return self._touch_moved(key, ttl) or in_old

    def delete(self, key: str) -> None:
        """As :meth:`session_mw.protocols.Store.delete`, in both stores."""
        try:
            self._old.delete(key)
        finally:
            self._new.delete(key)

    def close(self) -> None:
        """Close both stores."""
        try:
            self._new.close()
        finally:
            self._old.close()

    def _from_new(self, key: str) -> Record | None:
        record = self._new.load(key)
        return record and (None if record.data == MARKER else record._replace(version=("new", record.version)))

    def _from_old(self, key: str) -> Record | None:
        record = self._old.load(key)
        return record and record._replace(version=("old", record.version))

    def _write_new(self, key: str, data: bytes, ttl: int, principal: str | None) -> bool:
        return self._old.load(key) is None and self._create_new(key, data, ttl, principal)

    def _write_over(self, key: str, data: bytes, ttl: int, version: Any, principal: str | None) -> bool:
        if not isinstance(version, tuple) or len(version) != 2:
            return False
        place, known = version
        if place == "new":
            # Here and in a touch: an old record that a killed writer could not remove would be seen again when the new
            # one expires.
            self._old.delete(key)
            return self._update_new(key, data, ttl, known, principal)
        return place == "old" and self._move(key, data, ttl, known, principal)

    def _move(self, key: str, data: bytes, ttl: int, version: Any, principal: str | None) -> bool:
        """Take the four steps that the module's docstring describes; whether this writer succeeded."""
        # Fails if another writer has created the marker, which is then used here as well.
        self._create_new(key, MARKER, ttl, None)
        marker = self._new.load(key)
        if marker is None or marker.data != MARKER:
            return False
        # The old record is loaded after the marker. So a log-out that deletes the old record later deletes this marker
        # too. A marker that somebody creates after that has another version, so that step 3 fails.
        found = self._old.load(key)
        if found is None:
            # Logged out, or moved by another writer. In the latter case the marker's version has changed, and this does
            # nothing; in the former it lets the marker expire.
            self._update_new(key, MARKER, 1, marker.version, None)
        if found is None or found.version != version:
            return False
        left = found.expires - int(time.time())
        if not self._update_new(key, data, max(ttl, left), marker.version, principal):
            return False
        try:
            self._old.delete(key)
            # The old record is gone, so the new one may expire when its writer wants, unless it was written again.
            moved = self._new.load(key) if ttl < left else None
            if moved is not None and moved.data == data:
                self._update_new(key, data, ttl, moved.version, principal)
        except StoreError as error:
            logger.warning("the session %s… has moved, but its old record could not be removed: %s", key[:8], error)
        return True

    def _touch_moved(self, key: str, ttl: int) -> bool:
        if self._from_new(key) is None:
            return False
        self._old.delete(key)
        return self._new.touch(key, ttl)

    def _update_new(self, key: str, data: bytes, ttl: int, version: Any, principal: str | None) -> bool:
        if self._indexed_new is not None:
            return self._indexed_new.update(key, data, ttl, version, principal)
        return self._new.update(key, data, ttl, version)

    def _create_new(self, key: str, data: bytes, ttl: int, principal: str | None) -> bool:
        if self._indexed_new is not None:
            return self._indexed_new.create(key, data, ttl, principal)
        return self._new.create(key, data, ttl)


class IndexedMigratingStore(MigratingStore):
    """What :class:`MigratingStore` makes where the new store is an ``IndexedStore``."""

    def create(self, key: str, data: bytes, ttl: int, principal: str | None = None) -> bool:
        """As :meth:`session_mw.protocols.IndexedStore.create`."""
        return self._write_new(key, data, ttl, principal)

    def update(self, key: str, data: bytes, ttl: int, version: Any, principal: str | None = None) -> bool:
        """As :meth:`session_mw.protocols.IndexedStore.update`."""
        return self._write_over(key, data, ttl, version, principal)

    def keys_of(self, principal: str) -> set[str]:
        """As :meth:`session_mw.protocols.IndexedStore.keys_of`, from both stores."""
        listed: set[str] = set()
        # The old store first: a record that moves in between is then found in the new one.
        for store in (self._indexed_old, self._indexed_new):
            if store is not None:
                listed.update(store.keys_of(principal))
        return listed


def _location_of(store: Store) -> Location:
    return store.describe() if isinstance(store, LocatedStore) else Location("other", type(store).__name__)
