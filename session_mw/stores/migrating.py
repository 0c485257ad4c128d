"""Move from one store to another while the site runs.

A record is in the old store until it is next written. That write goes through these steps,
so that no two writers and no log-out can cross each other unseen:

    1  seal    old.update(key, sealed, version)        one writer wins; nobody updates a sealed record
    2  copy    new.create(key, sealed)                 no reader believes a copy that is still sealed
    3  check   old.load(key)                           gone: logged out meanwhile, so the copy goes
    4  open    new.update(key, data, version)          one wins, unless a log-out removed that copy
    5  clear   old.delete(key)                         by the one who won, or by the next writer

Whoever finds a sealed record goes on with step 2, so whose it is stands in the seal. A log-out
deletes in the old store first, then in the new one. A reader looks at the new, the old, and
once more at the new, because the record may move in between.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from session_mw.protocols import Record, Store, is_indexed

# no serializer of ours begins so: what is sealed can be told from what is not
SEAL = b"\x00session_mw moved\x00"


def sealed(data: bytes, principal: str | None) -> bytes:
    """Data and whose they are, as they stand in a record that moves."""
    owner = (principal or "").encode("utf-8", "surrogatepass")
    return b"%s%d:%s%s" % (SEAL, len(owner), owner, data)


def unsealed(data: bytes) -> tuple[bytes, str | None]:
    """What :func:`sealed` was given; nothing where it is damaged."""
    length, _, rest = data[len(SEAL) :].partition(b":")
    try:
        end = int(length)
        return rest[end:], rest[:end].decode("utf-8", "surrogatepass") or None
    except ValueError:
        return b"", None


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
    """

    def __new__(cls, new: Store, old: Store) -> MigratingStore:
        """Make one with ``keys_of`` where the new store has it."""
        listed = cls is MigratingStore and is_indexed(new)
        return object.__new__(IndexedMigratingStore if listed else cls)

    def __init__(self, new: Store, old: Store) -> None:
        self._new = new
        self._old = old
        self._indexed_new = new if is_indexed(new) else None
        self._indexed_old = old if is_indexed(old) else None

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
        """As :meth:`session_mw.protocols.Store.touch`; the record stays in the store that has it."""
        # Both, as a sealed one may be in either. The old one first: what moves in between is then in the new one.
        in_old = self._old.touch(key, ttl)
        return self._new.touch(key, ttl) or in_old

    def delete(self, key: str) -> None:
        """As :meth:`session_mw.protocols.Store.delete`, in both stores."""
        self._old.delete(key)
        self._new.delete(key)

    def close(self) -> None:
        """Close both stores."""
        try:
            self._new.close()
        finally:
            self._old.close()

    def _from_new(self, key: str) -> Record | None:
        record = self._new.load(key)
        if record is None or record.data.startswith(SEAL):
            return None
        return record._replace(version=("new", record.version))

    def _from_old(self, key: str) -> Record | None:
        record = self._old.load(key)
        if record is None or not record.data.startswith(SEAL):
            return record and record._replace(version=("old", record.version))
        return record._replace(data=unsealed(record.data)[0], version=("sealed", record.version))

    def _write_new(self, key: str, data: bytes, ttl: int, principal: str | None) -> bool:
        return self._old.load(key) is None and self._create_new(key, data, ttl, principal)

    def _write_over(self, key: str, data: bytes, ttl: int, version: Any, principal: str | None) -> bool:
        steps: dict[str, Callable[[str, bytes, int, Any, str | None], bool]] = {
            "new": self._write_moved,
            "old": self._write_and_move,
            "sealed": self._write_moving,
        }
        if not isinstance(version, tuple) or len(version) != 2 or version[0] not in steps:
            return False
        return steps[version[0]](key, data, ttl, version[1], principal)

    def _write_moved(self, key: str, data: bytes, ttl: int, version: Any, principal: str | None) -> bool:
        # What a killed writer could not clear would come back when the new record ends.
        self._old.delete(key)
        return self._update_new(key, data, ttl, version, principal)

    def _write_and_move(self, key: str, data: bytes, ttl: int, version: Any, principal: str | None) -> bool:
        if not self._seal(key, sealed(data, principal), ttl, version, principal):
            return False
        self._copy(key, data, ttl, principal)
        return True

    def _write_moving(self, key: str, data: bytes, ttl: int, version: Any, principal: str | None) -> bool:
        """Another writer sealed the record and may have been killed: do its copy, then write over that."""
        found = self._old.load(key)
        if found is not None and found.version == version:
            left = max(1, found.expires - int(time.time()))
            of_other, its_principal = unsealed(found.data)
            self._copy(key, of_other, left, its_principal)
        return False

    def _copy(self, key: str, data: bytes, ttl: int, principal: str | None) -> None:
        self._create_new(key, sealed(data, principal), ttl, principal)
        copy = self._sealed_in_new(key)
        if copy is None:
            return
        # This copy was there before the old record is looked at: one that comes after a log-out has another version.
        if self._old.load(key) is not None:
            if self._update_new(key, data, ttl, copy.version, principal):
                self._old.delete(key)
        elif self._sealed_in_new(key) is not None:
            # It was not cleared, which comes after the opening: it was logged out.
            self._new.delete(key)

    def _sealed_in_new(self, key: str) -> Record | None:
        record = self._new.load(key)
        return record if record is not None and record.data.startswith(SEAL) else None

    def _update_new(self, key: str, data: bytes, ttl: int, version: Any, principal: str | None) -> bool:
        if self._indexed_new is not None:
            return self._indexed_new.update(key, data, ttl, version, principal)
        return self._new.update(key, data, ttl, version)

    def _create_new(self, key: str, data: bytes, ttl: int, principal: str | None) -> bool:
        if self._indexed_new is not None:
            return self._indexed_new.create(key, data, ttl, principal)
        return self._new.create(key, data, ttl)

    def _seal(self, key: str, data: bytes, ttl: int, version: Any, principal: str | None) -> bool:
        if self._indexed_old is not None:
            return self._indexed_old.update(key, data, ttl, version, principal)
        return self._old.update(key, data, ttl, version)


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
