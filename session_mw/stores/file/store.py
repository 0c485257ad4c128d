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
from session_mw.stores import options
from session_mw.stores.file import records
from session_mw.stores.file.directory import Directory
from session_mw.stores.file.listing import Listing
from session_mw.stores.file.locks import StripedLocks
from session_mw.stores.owners import rights_of
from session_mw.stores.session_ids import KEY, is_key

logger = logging.getLogger("session_mw")

# On average five records are looked at for each one that is created, so at most about a fifth of many is expired.
SWEEP_ONE_IN = 20
LOOKED_AT_AT_ONCE = 100
_ROUNDS = 16


class FileStore:
    """Sessions in the files of a directory, for several processes on one machine.

    Sessions survive a restart and a killed process; a power cut may take back the last
    writes. A session id that is not 64 lower-case hexadecimal digits never reaches the file system.
    Symlinks and files that the store did not write are never followed, replaced or removed.
    :meth:`keys_of` reads the first line of every record, which takes seconds for a hundred thousand;
    others can write meanwhile. Expired records are removed little by little as new ones are created, and
    all at once by :meth:`sweep`. If another directory is put in the place of the store's, all processes
    use the new one from then on; if the directory is removed, that is an error. Files that root makes
    are given to the owner of the directory.
    Needs a POSIX system (flock).

    Args:
        directory: The directory; made, with mode 0700, if it does not exist. Its parent must exist.
        timeout: Seconds to wait for other writers.
        create: Whether to make the directory; with False it is an error if it does not exist.

    Raises:
        ConfigurationError: The directory cannot be made or used, or others may write to it.
    """

    def __init__(self, directory: str | os.PathLike[str], *, timeout: float = 5.0, create: bool = True) -> None:
        if sys.platform == "win32":
            raise ConfigurationError("FileStore needs flock, which Windows lacks; use 'sqlite:///sessions.db'")
        self._directory = Directory(os.path.abspath(os.fspath(directory)), create)
        self._locks = StripedLocks(self._directory.path, timeout)
        # A random start: from 0 every new process would sweep at once, from 1 short-lived ones would never do it.
        self._turns = itertools.count(secrets.randbelow(SWEEP_ONE_IN))

    def __repr__(self) -> str:
        return f"<FileStore {self._directory.path!r}>"

    @classmethod
    def from_url(cls, url: str, *, create: bool = True) -> FileStore:
        """Make the store of ``file:///var/lib/app/sessions``; the option is ``timeout``.

        Args:
            url: The URL.
            create: As for the constructor.

        Raises:
            ConfigurationError: The URL is wrong, or as from the constructor.
        """
        path, given = _parsed(url)
        return cls(path, create=create, **given)

    @classmethod
    def location_of(cls, url: str) -> Location:
        """Where the store of a URL would be; opens and makes nothing. Raises ``ConfigurationError``."""
        return Location("file", options.without_password(url), path=os.path.abspath(_parsed(url)[0]))

    def describe(self) -> Location:
        """As :meth:`session_mw.protocols.LocatedStore.describe`."""
        return Location("file", repr(self), path=self._directory.path)

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
            ValueError: The key is not a session id.
        """
        if not is_key(key):
            raise ValueError("a session's key is 64 lower-case hexadecimal digits")
        ends = self._locks.deadline()
        if next(self._turns) % SWEEP_ONE_IN == 0:
            self._sweep_a_little()

        def write_if_free() -> bool:
            if self._directory.is_taken(key):
                return False
            self._directory.write(key, data, ttl, principal)
            return True

        with _FAILURES:
            return self._locks.run(key, write_if_free, ends)

    def update(self, key: str, data: bytes, ttl: int, version: Any, principal: str | None = None) -> bool:
        """As :meth:`session_mw.protocols.IndexedStore.update`."""
        if not is_key(key):
            return False

        def write_if_unchanged() -> bool:
            stored = self._directory.live(key)
            if stored is None or stored.version != version:
                return False
            self._directory.write(key, data, ttl, principal)
            return True

        with _FAILURES:
            return self._locks.run(key, write_if_unchanged)

    def touch(self, key: str, ttl: int) -> bool:
        """As :meth:`session_mw.protocols.Store.touch`."""
        if not is_key(key):
            return False

        def write_new_end() -> bool:
            stored = self._directory.live(key)
            if stored is None:
                return False
            records.write(self._directory.path_of(key), stored._replace(expires=int(time.time()) + ttl))
            return True

        with _FAILURES:
            return self._locks.run(key, write_new_end)

    def delete(self, key: str) -> None:
        """As :meth:`session_mw.protocols.Store.delete`."""
        if is_key(key):
            with _FAILURES:
                self._locks.run(key, lambda: self._directory.remove(key))

    def keys_of(self, principal: str) -> Iterator[str]:
        """As :meth:`session_mw.protocols.IndexedStore.keys_of`; reads every record's first line.

        The directory is listed again until no new record belongs to the principal, or has gone by now. When an id
        is regenerated, the record under the new id is written before the one under the old id is deleted. But it may
        be written after the directory was listed, and the old one deleted before it is read: neither would be found.
        """
        listing = Listing(self._directory, self._locks)
        seen: set[str] = set()
        with _FAILURES:
            for _ in range(_ROUNDS):
                new = listing.keys() - seen
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
        """As :meth:`session_mw.protocols.SweepableStore.sweep`; removes files that killed processes left, too."""
        with _FAILURES:
            self._directory.remove_abandoned()
            expired = (key for key, stored in self._directory.headers() if stored.expires <= time.time())
            while keys := list(itertools.islice(expired, batch)):
                yield sum(map(self._remove_if_expired, keys))

    def close(self) -> None:
        """Nothing is held open."""

    def _remove_if_expired(self, key: str, ends: float | None = None) -> bool:
        return self._locks.run(key, lambda: self._directory.remove(key, only_expired=True), ends)

    def _sweep_a_little(self) -> None:
        # It must leave time for what it is done beside.
        ends = self._locks.deadline(share=0.25)
        try:
            with _FAILURES:
                for key, stored in self._directory.some_headers(LOOKED_AT_AT_ONCE):
                    if stored.expires <= time.time():
                        self._remove_if_expired(key, ends)
        except StoreError as error:
            logger.warning("expired sessions were not removed: %s", error)


def _parsed(url: str) -> tuple[str, dict[str, Any]]:
    parsed = options.parse_url(url, {"timeout": options.seconds})
    if parsed.hosts not in ([], [("localhost", None)]) or not parsed.path.strip("/"):
        raise ConfigurationError(
            f"{options.without_password(url)!r} names no directory: write 'file:///var/lib/app/sessions', "
            "with three slashes"
        )
    return unquote(parsed.path), parsed.options


class _Failures:
    """Turns an ``OSError`` into a ``StoreError``."""

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, OSError):
            text = f"the session directory failed: {error.strerror}"
            if isinstance(error, PermissionError) and error.filename:
                # The file, or if it does not exist, the folder that it would be in.
                refused = rights_of(error.filename) or rights_of(os.path.dirname(error.filename))
                # A message shows only as much of a session id as a log line does.
                refused = KEY.sub(lambda key: f"{key[0][:8]}…", refused)
                text = f"{text}; {refused}" if refused else text
            raise StoreError(text) from error


_FAILURES = _Failures()
