"""The ids of all sessions in a directory at one moment, without stopping its writers for long."""

from __future__ import annotations

import os
import time
from typing import NamedTuple

from session_mw.stores.file.directory import SHARDS, Directory
from session_mw.stores.file.locks import StripedLocks

# A file system's clock is coarse, so a second change shortly after the first one may leave a folder's modification time
# as it was. So a folder that was changed shortly before it was read counts as changed since. How shortly, in seconds:
# a clock that shows fractions of a second is finer than 50 ms; one that does not may count in steps of two seconds.
_FINE, _COARSE = 0.05, 2.0
# How many folders may be left for the reading that stops writers, and how many passes are made to get there.
FEW = 16
_PASSES = 8


class _Folder(NamedTuple):
    changed_at: int
    """The folder's modification time, in nanoseconds, before it was read; 0 if there is no folder."""
    read_at: int
    keys: frozenset[str]


class Listing:
    """What is in the folders of a directory, read as often as needed.

    Folders are read one after the other while others write. So a session whose id is regenerated meanwhile could be
    missed under both ids: the folder of the new id was read before the new record was there, and the folder of the old
    id is read after the old record was removed. Therefore folders that have changed since they were read are read
    again, until few are left. These, and those that have changed by then, are read while the locks of all writers are
    held, for a few milliseconds.

    Args:
        directory: Where the records are.
        locks: The locks that writers hold.
    """

    def __init__(self, records: Directory, locks: StripedLocks) -> None:
        self._records = records
        self._locks = locks
        self._folders: dict[str, _Folder] = {}

    def keys(self) -> set[str]:
        """The key of every record there is now.

        Raises:
            StoreError: Others held a lock for too long.
            OSError: The directory is gone, or cannot be read.
        """
        os.stat(self._records.path)
        for _ in range(_PASSES):
            changed = self._changed()
            if len(changed) <= FEW:
                break
            self._read(changed)
        self._locks.run_alone(lambda: self._read(self._changed()))
        return {key for folder in self._folders.values() for key in folder.keys}

    def _changed(self) -> list[str]:
        """The folders that were not read yet, or may have changed since."""
        changed = []
        for shard in SHARDS:
            known = self._folders.get(shard)
            if known is None or known.changed_at != self._changed_at(shard):
                changed.append(shard)
            elif known.changed_at > 0:
                granularity = _FINE if known.changed_at % 1_000_000_000 else _COARSE
                if known.read_at - known.changed_at < granularity * 1e9:
                    changed.append(shard)
        return changed

    def _read(self, shards: list[str]) -> None:
        for shard in shards:
            changed_at, read_at = self._changed_at(shard), time.time_ns()
            self._folders[shard] = _Folder(changed_at, read_at, frozenset(self._records.keys_in(shard)))

    def _changed_at(self, shard: str) -> int:
        try:
            return os.stat(f"{self._records.path}/{shard}").st_mtime_ns
        except FileNotFoundError:
            return 0
