"""Sessions in a dict."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any

from session_mw.exceptions import ConfigurationError
from session_mw.protocols import Location, Record
from session_mw.stores import fork
from session_mw.stores.options import parse_url, without_password

# Two records are looked at for each one that is created, so expired records cannot outnumber the live ones for long.
LOOKED_AT_PER_CREATE = 2


class MemoryStore:
    """Sessions in this process's memory, for tests, development and one-process sites.

    Nothing survives a restart. A forked process has a copy of its own from then on, so with
    several worker processes only one of them knows a session. Expired records are removed
    little by little, as new ones are created.
    """

    # Each method takes the lock by a `with` statement on the lock itself. An exception that another thread sets
    # (PyThreadState_SetAsyncExc) is never raised between taking the lock and the first line of the body, where the lock
    # would stay taken. But CPython 3.12 and 3.13 leave the jump back of some loops out of the body's exception table,
    # and raise it there without releasing the lock. Therefore no body has a loop of its own.
    # The exception may be raised between any two steps of a write. Therefore the steps are in an order in which
    # an interrupted write leaves at most a key that is listed for a principal and has no record.

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}
        self._principals: dict[str, str] = {}
        self._keys: dict[str, set[str]] = {}
        self._versions = itertools.count(1)
        self._to_look_at: list[str] = []
        self._locks = fork.PerProcess(threading.RLock)
        fork.watch(self)

    def __repr__(self) -> str:
        return f"<MemoryStore of {len(self._records)} records>"

    @classmethod
    def from_url(cls, url: str, *, create: bool = True) -> MemoryStore:
        """Make the store of ``memory://``.

        Args:
            url: The URL.
            create: Without effect; all stores accept it.

        Raises:
            ConfigurationError: The URL has a host, a path or an option.
        """
        cls.location_of(url)
        return cls()

    @classmethod
    def location_of(cls, url: str) -> Location:
        """Where the store of a URL would be. Raises ``ConfigurationError`` as :meth:`from_url`."""
        parsed = parse_url(url, {})
        if parsed.hosts or parsed.path:
            raise ConfigurationError(f"{without_password(url)!r}: memory has no place; write 'memory://'")
        return Location("memory", "memory://")

    def describe(self) -> Location:
        """As :meth:`session_mw.protocols.LocatedStore.describe`."""
        return Location("memory", "MemoryStore")

    def load(self, key: str) -> Record | None:
        """As :meth:`session_mw.protocols.Store.load`."""
        record = self._records.get(key)
        return None if record is None or record.expires <= time.time() else record

    def create(self, key: str, data: bytes, ttl: int, principal: str | None = None) -> bool:
        """As :meth:`session_mw.protocols.IndexedStore.create`."""
        with self._locks.get():
            self._remove_some_expired()
            if self.load(key) is not None:
                return False
            self._put(key, data, ttl, principal)
            return True

    def update(self, key: str, data: bytes, ttl: int, version: Any, principal: str | None = None) -> bool:
        """As :meth:`session_mw.protocols.IndexedStore.update`."""
        with self._locks.get():
            record = self.load(key)
            if record is None or record.version != version:
                return False
            self._put(key, data, ttl, principal)
            return True

    def touch(self, key: str, ttl: int) -> bool:
        """As :meth:`session_mw.protocols.Store.touch`."""
        with self._locks.get():
            record = self.load(key)
            if record is None:
                return False
            self._records[key] = record._replace(expires=int(time.time()) + ttl)
            return True

    def delete(self, key: str) -> None:
        """As :meth:`session_mw.protocols.Store.delete`."""
        with self._locks.get():
            self._records.pop(key, None)
            self._unlist(key)

    def keys_of(self, principal: str) -> list[str]:
        """As :meth:`session_mw.protocols.IndexedStore.keys_of`."""
        with self._locks.get():
            listed = list(self._keys.get(principal, ()))
        return [key for key in listed if self._principals.get(key) == principal and self.load(key) is not None]

    def close(self) -> None:
        """Forget every session."""
        with self._locks.get():
            self._records.clear()
            self._principals.clear()
            self._keys.clear()
            self._to_look_at.clear()

    def before_fork(self) -> None:
        """Called by :mod:`session_mw.stores.fork`."""
        self._locks.get().acquire()

    def after_fork(self) -> None:
        """Called by :mod:`session_mw.stores.fork`."""
        fork.release(self._locks.get())

    def _remove_some_expired(self) -> None:
        if not self._to_look_at:
            self._to_look_at = list(self._records)
        for _ in range(min(LOOKED_AT_PER_CREATE, len(self._to_look_at))):
            candidate = self._to_look_at.pop()
            if self.load(candidate) is None:
                self.delete(candidate)

    def _put(self, key: str, data: bytes, ttl: int, principal: str | None) -> None:
        if self._principals.get(key) != principal:
            self._unlist(key)
            if principal is not None:
                self._principals[key] = principal
                self._keys.setdefault(principal, set()).add(key)
        self._records[key] = Record(data, next(self._versions), int(time.time()) + ttl)

    def _unlist(self, key: str) -> None:
        principal = self._principals.get(key)
        if principal is not None:
            listed = self._keys.get(principal, set())
            listed.discard(key)
            if not listed:
                self._keys.pop(principal, None)
            self._principals.pop(key, None)
