"""Move from one store to another while the site runs.

A record is in the old store until it is next written. That write goes through these steps,
so that no two writers and no log-out can cross each other unseen:

    1  reserve  new.create(key, a marker)              there is one marker; readers pass over it
    2  check    old.load(key)                          gone: logged out or moved meanwhile; another version: written
    3  open     new.update(key, data, the marker's)    one wins, unless a log-out removed the marker
    4  clear    old.delete(key)                        by the one who won, or the next writing or touch

Until step 3 the old record is in force: a writer that is killed or fails loses no more than its
own changes, and the next one goes on from the marker. Until step 4 the new record lives as
long as the old one, which would come back after it. A log-out deletes in the old store first,
then in the new one. A reader looks at the new, the old, and once more at the new, because the
record may move in between.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from session_mw.exceptions import ConfigurationError, StoreError, kind_of
from session_mw.protocols import LocatedStore, Location, Record, Store, is_indexed, is_store

logger = logging.getLogger("session_mw")

# a session's record begins with digits, and one that has ended is a word
MARKER = b"\x00session_mw moves\x00"


class MigratingStore:
    """Reads the new store, then the old one; writes the new one.

    Put it in every process at once: one that still uses the old store alone would not see
    what has moved. A record moves when its session is next written, not when it is only read
    and its end moved: who it belongs to is told by a writing alone. So one that is only read
    stays in the old store for as long as it is in use. When few are left there, use the new
    store alone; their visitors begin anew.
    With a new store that is indexed this one is too, but it lists what is still in the old
    one only if that has an index as well.

    Args:
        new: Where records go.
        old: Where they are now. Both are closed by :meth:`close`.

    Raises:
        ConfigurationError: One of them is no store, or the new one is itself a MigratingStore.
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
        """As :meth:`session_mw.protocols.Store.touch`; what was left of a moved record in the old one goes."""
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
            return self._write_moved(key, data, ttl, known, principal)
        return place == "old" and self._move(key, data, ttl, known, principal)

    def _write_moved(self, key: str, data: bytes, ttl: int, version: Any, principal: str | None) -> bool:
        # here and in a touch: what a killed writer could not clear would come back when the new record ends
        self._old.delete(key)
        return self._update_new(key, data, ttl, version, principal)

    def _move(self, key: str, data: bytes, ttl: int, version: Any, principal: str | None) -> bool:
        self._create_new(key, MARKER, ttl, None)
        marker = self._marker(key)
        if marker is None:
            return False
        # The marker was there before this look: one that comes after a log-out has another version.
        found = self._old.load(key)
        if found is None:
            # Logged out, if nobody has opened the marker meanwhile.
            self._update_new(key, MARKER, 1, marker.version, None)
        if found is None or found.version != version:
            return False
        left = found.expires - int(time.time())
        opened = self._update_new(key, data, max(ttl, left), marker.version, principal)
        if opened:
            self._clear(key, data, ttl, principal, lives_longer=ttl < left)
        return opened

    def _clear(self, key: str, data: bytes, ttl: int, principal: str | None, *, lives_longer: bool) -> None:
        """Remove the old record; after that the new one may end when its writer said."""
        try:
            self._old.delete(key)
            moved = self._new.load(key) if lives_longer else None
            if moved is not None and moved.data == data:
                self._update_new(key, data, ttl, moved.version, principal)
        except StoreError:
            logger.warning("the session %s… has moved, but its old record could not be removed", key[:8], exc_info=True)

    def _touch_moved(self, key: str, ttl: int) -> bool:
        if self._from_new(key) is None:
            return False
        self._old.delete(key)
        return self._new.touch(key, ttl)

    def _marker(self, key: str) -> Record | None:
        record = self._new.load(key)
        return record if record is not None and record.data == MARKER else None

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
        # the old one first: what moves in between is then found in the new one
        for store in (self._indexed_old, self._indexed_new):
            if store is not None:
                listed.update(store.keys_of(principal))
        return listed


def _location_of(store: Store) -> Location:
    return store.describe() if isinstance(store, LocatedStore) else Location("other", type(store).__name__)
