"""Sessions in the files of a directory."""

from __future__ import annotations

import itertools
import logging
import os
import secrets
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from session_mw.exceptions import ConfigurationError, StoreError
from session_mw.protocols import Location, Record
from session_mw.stores import options, stand_in
from session_mw.stores.file import records
from session_mw.stores.file.directory import Directory
from session_mw.stores.file.locks import StripedLocks
from session_mw.stores.session_ids import is_key

logger = logging.getLogger("session_mw")

# five looked at for each one created: at most about a fifth of many records is ever expired
SWEEP_ONE_IN = 20
LOOKED_AT_AT_ONCE = 100
_ROUNDS = 16


class FileStore:
    """Sessions in the files of a directory, for several processes on one machine.

    Sessions survive a restart and a killed process; a power cut may take back the last
    writes. A key that is not 64 lower-case hexadecimal digits never reaches the file system.
    Symlinks and files that the store did not write are never followed, replaced or removed.
    :meth:`keys_of` reads the first line of every record: seconds for a hundred thousand.
    Expired records are removed little by little as new ones are created, and all at once by
    :meth:`sweep`. Needs a POSIX system (flock).

    Args:
        directory: Made, with mode 0700, if it does not exist; its parent must exist.
        timeout: Seconds to wait for other writers.

    Raises:
        ConfigurationError: The directory cannot be made or used, or others may write to it.
    """

    def __init__(self, directory: str | os.PathLike[str], *, timeout: float = 5.0) -> None:
        if sys.platform == "win32":
            raise ConfigurationError("FileStore needs flock, which Windows lacks; use 'sqlite:///sessions.db'")
        self._directory = Directory(os.path.abspath(os.fspath(directory)))
        self._locks = StripedLocks(self._directory.path, timeout)
        # not from 0, or processes that make few records would never sweep
        self._turns = itertools.count(secrets.randbelow(SWEEP_ONE_IN))

    def __repr__(self) -> str:
        return f"<FileStore {self._directory.path!r}>"

    @classmethod
    def from_url(cls, url: str, *, create: bool = True) -> FileStore:
        """Make the store of ``file:///var/lib/app/sessions``; the option is ``timeout``.

        Raises:
            ConfigurationError: The URL is wrong, or as from the constructor.
        """
        parsed = options.parse_url(url, {"timeout": options.seconds})
        if parsed.hosts not in ([], [("localhost", None)]) or not parsed.path.strip("/"):
            raise ConfigurationError(
                f"{options.without_password(url)!r} names no directory: write 'file:///var/lib/app/sessions', "
                "with three slashes"
            )
        stand_in.refuse_missing(url, create)
        return cls(unquote(parsed.path), **parsed.options)

    @classmethod
    def location_of(cls, url: str) -> Location:
        """Where the store is that a URL names."""
        return stand_in.in_url(url)

    def describe(self) -> Location:
        """As :meth:`session_mw.protocols.LocatedStore.describe`."""
        return Location("file", repr(self), self._directory.path)

    def load(self, key: str) -> Record | None:
        """As :meth:`session_mw.protocols.Store.load`."""
        if not is_key(key):
            return None
        with _FAILURES:
            stored = self._directory.live(key)
        return None if stored is None else Record(stored.data, stored.version, stored.expires)

    def create(self, key: str, data: bytes, ttl: int, principal: str | None = None) -> bool:
        """As :meth:`session_mw.protocols.IndexedStore.create`.

        Raises:
            ValueError: The key is not one.
        """
        if not is_key(key):
            raise ValueError("a session's key is 64 lower-case hexadecimal digits")
        if next(self._turns) % SWEEP_ONE_IN == 0:
            self._sweep_a_little()
        with _FAILURES, self._locks.held(key):
            if self._directory.is_taken(key):
                return False
            self._directory.write(key, data, ttl, principal)
        return True

    def update(self, key: str, data: bytes, ttl: int, version: Any, principal: str | None = None) -> bool:
        """As :meth:`session_mw.protocols.IndexedStore.update`."""
        if not is_key(key):
            return False
        with _FAILURES, self._locks.held(key):
            stored = self._directory.live(key)
            if stored is None or stored.version != version:
                return False
            self._directory.write(key, data, ttl, principal)
        return True

    def touch(self, key: str, ttl: int) -> bool:
        """As :meth:`session_mw.protocols.Store.touch`."""
        if not is_key(key):
            return False
        with _FAILURES, self._locks.held(key):
            stored = self._directory.live(key)
            if stored is None:
                return False
            records.write(self._directory.path_of(key), stored._replace(expires=int(time.time()) + ttl))
        return True

    def delete(self, key: str) -> None:
        """As :meth:`session_mw.protocols.Store.delete`."""
        if is_key(key):
            with _FAILURES, self._locks.held(key):
                self._directory.remove(key)

    def keys_of(self, principal: str) -> Iterator[str]:
        """As :meth:`session_mw.protocols.IndexedStore.keys_of`; reads every record's first line.

        New records are looked for until none is the principal's: a session that is given another key
        has a record under it before that under the old one ends, but perhaps after it was looked for.
        """
        seen: set[str] = set()
        with _FAILURES:
            for _ in range(_ROUNDS):
                with self._locks.all_held():
                    new = self._directory.keys() - seen
                has_moved = False
                seen |= new
                for key in new:
                    stored = self._directory.header(key)
                    has_moved |= stored is None or stored.principal == principal
                    if stored is not None and stored.principal == principal and stored.expires > time.time():
                        yield key
                if not has_moved:
                    return

    def count_expired(self) -> int:
        """As :meth:`session_mw.protocols.SweepableStore.count_expired`."""
        with _FAILURES:
            return sum(stored.expires <= time.time() for _, stored in self._directory.headers())

    def sweep(self, batch: int = 1000) -> Iterator[int]:
        """As :meth:`session_mw.protocols.SweepableStore.sweep`; also what killed processes left half written."""
        with _FAILURES:
            self._directory.remove_abandoned()
            expired = (key for key, stored in self._directory.headers() if stored.expires <= time.time())
            while keys := list(itertools.islice(expired, batch)):
                yield sum(map(self._remove_if_expired, keys))

    def close(self) -> None:
        """Nothing is held open."""

    def _remove_if_expired(self, key: str) -> bool:
        with self._locks.held(key):
            return self._directory.remove(key, only_expired=True)

    def _sweep_a_little(self) -> None:
        try:
            with _FAILURES:
                for key, stored in self._directory.some_headers(LOOKED_AT_AT_ONCE):
                    if stored.expires <= time.time():
                        self._remove_if_expired(key)
        except StoreError as error:
            logger.warning("expired sessions were not removed: %s", error)


class _Failures:
    """What the operating system refuses is a failure of the store."""

    def __enter__(self) -> None:
        """Nothing yet."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, OSError):
            raise StoreError(f"the session directory failed: {error.strerror}") from error


_FAILURES = _Failures()
