"""The directory of :class:`session_mw.stores.file.FileStore`: who may use it, and the records in it.

Records lie in 256 folders named after the first two digits of their session ids. A file that has
another name, or is not a plain file, is never opened.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import stat
import time
from collections.abc import Iterator

from session_mw.exceptions import ConfigurationError
from session_mw.stores.file import records
from session_mw.stores.file.records import BROKEN, NotOurs, Stored
from session_mw.stores.owners import make_directory, rights_of
from session_mw.stores.session_ids import KEY, warn_of_foreign

SHARDS = [f"{number:02x}" for number in range(256)]
SECONDS_A_WRITE_MAY_TAKE = 3600

_TEMPORARY = re.compile(r"\.[0-9a-f]{64}\.[0-9a-f]{16}\.tmp")


class Directory:
    """A directory that nobody else may write to.

    Args:
        path: Where, absolute.
        create: Whether to make it if it does not exist.

    Raises:
        ConfigurationError: It does not exist, cannot be made or used, or others may write to it.
    """

    def __init__(self, path: str, create: bool) -> None:
        self.path = path
        try:
            if create:
                try:
                    make_directory(path, 0o700)
                except FileExistsError:
                    # An empty one was perhaps made by hand for the store, with the usual umask.
                    if os.path.isdir(path) and os.stat(path).st_mode & 0o077 and not os.listdir(path):
                        os.chmod(path, 0o700)
            elif not os.path.exists(path):
                raise ConfigurationError(f"there is no {path!r}, so nothing was looked at; is the path right?")
            _check_private(path)
        except PermissionError as error:
            problem = f"the session directory {path!r} cannot be used: {error.strerror}"
            raise ConfigurationError(f"{problem}; {rights_of(os.path.dirname(path))}") from error
        except OSError as error:
            problem = f"the session directory {path!r} cannot be used: {error.strerror}"
            raise ConfigurationError(f"{problem}; does its parent exist?") from error

    def path_of(self, key: str) -> str:
        """Where the record of ``key`` is; the caller has checked the key.

        Raises:
            NotOurs: A symlink or file stands in the place of the folder.
        """
        folder = f"{self.path}/{key[:2]}"
        try:
            if not stat.S_ISDIR(os.lstat(folder).st_mode):
                raise NotOurs
        except FileNotFoundError:
            pass
        return f"{folder}/{key}"

    def live(self, key: str) -> Stored | None:
        """A record that has not expired, or None.

        Raises:
            FileNotFoundError: The directory is gone: it was moved, or its file system is not mounted.
        """
        try:
            stored = records.read(self.path_of(key))
        except NotOurs:
            stored = BROKEN
        if stored is None:
            os.stat(self.path)
        elif stored is BROKEN:
            warn_of_foreign(key)
        return None if stored is None or stored.expires <= time.time() else stored

    def is_taken(self, key: str) -> bool:
        """Whether the place of ``key`` is taken by a live record, or by something that is not a record."""
        try:
            stored = records.read_header(self.path_of(key))
        except NotOurs:
            return True
        return stored is not None and stored.expires > time.time()

    def write(self, key: str, data: bytes, ttl: int, principal: str | None) -> None:
        """Write a record that ends ``ttl`` seconds from now."""
        folder = f"{self.path}/{key[:2]}"
        if not os.path.isdir(folder):
            # Another process may be faster.
            with contextlib.suppress(FileExistsError):
                make_directory(folder, 0o700)
        stored = Stored(data, records.new_version(), int(time.time()) + ttl, principal)
        records.write(self.path_of(key), stored)

    def remove(self, key: str, *, only_expired: bool = False) -> bool:
        """Remove a record, but no other file; whether there was one."""
        stored = self.header(key)
        if stored is None or (only_expired and stored.expires > time.time()):
            return False
        os.unlink(self.path_of(key))
        return True

    def header(self, key: str) -> Stored | None:
        """The header of a record; None if there is no record."""
        try:
            return records.read_header(self.path_of(key))
        except NotOurs:
            return None

    def headers(self) -> Iterator[tuple[str, Stored]]:
        """Key and header of every record, a folder at a time. Raises as :meth:`live`."""
        os.stat(self.path)
        for shard in SHARDS:
            yield from self._headers_of(self.keys_in(shard))

    def some_headers(self, at_most: int) -> Iterator[tuple[str, Stored]]:
        """Key and header of some records of a folder, both taken at random."""
        names = self.keys_in(random.choice(SHARDS))  # noqa: S311 - not a secret
        return self._headers_of(random.sample(names, min(at_most, len(names))))

    def keys_in(self, shard: str) -> list[str]:
        """The keys of the records in one folder."""
        return self._names(shard, KEY)

    def remove_abandoned(self) -> None:
        """Remove temporary files that killed processes left an hour ago or earlier."""
        before = time.time() - SECONDS_A_WRITE_MAY_TAKE
        for shard in SHARDS:
            for name in self._names(shard, _TEMPORARY):
                # Another sweep may be faster.
                with contextlib.suppress(FileNotFoundError):
                    path = f"{self.path}/{shard}/{name}"
                    if records.is_abandoned(path, before):
                        os.unlink(path)

    def _headers_of(self, keys: list[str]) -> Iterator[tuple[str, Stored]]:
        for key in keys:
            header = self.header(key)
            if header is not None:
                yield key, header

    def _names(self, shard: str, shape: re.Pattern[str]) -> list[str]:
        folder = f"{self.path}/{shard}"
        if not os.path.isdir(folder) or os.path.islink(folder):
            return []
        with os.scandir(folder) as entries:
            return [
                entry.name for entry in entries if shape.fullmatch(entry.name) and entry.is_file(follow_symlinks=False)
            ]


def _check_private(path: str) -> None:
    status = os.stat(path)
    if not stat.S_ISDIR(status.st_mode):
        raise ConfigurationError(f"the session directory {path!r} is not a directory; name another")
    if status.st_mode & 0o022:
        raise ConfigurationError(f"others may write to the session directory {path!r}: chmod 700 it, or name another")
    if os.geteuid() not in (0, status.st_uid):
        problem = f"the session directory {path!r} belongs to another user: chown it, or name another"
        raise ConfigurationError(f"{problem} ({rights_of(path)})")
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise ConfigurationError(f"the session directory {path!r} cannot be used: {rights_of(path)}")
