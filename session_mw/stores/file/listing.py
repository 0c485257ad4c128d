"""All keys of a directory as they were at one moment, without stopping its writers for long."""

from __future__ import annotations

import os
import time
from typing import NamedTuple

from session_mw.stores.file.directory import SHARDS, Directory
from session_mw.stores.file.locks import StripedLocks

# A folder's time of change is only as fine as the file system's clock: of two changes in a row the second may not be
# seen by it. Seconds for which a folder counts as changed: finer than 50 ms is every clock that has parts of a second.
_FINE, _COARSE = 0.05, 2.0
# Folders that may be left to be read while nobody writes, and how often it is tried to have no more.
FEW = 16
_PASSES = 8


class _Folder(NamedTuple):
    changed_at: int
    """The folder's time of change, in nanoseconds, before it was read; 0 where there is no folder."""
    read_at: int
    keys: frozenset[str]


class Listing:
    """What is in the folders of a directory, read as often as needed.

    Folders are read one after the other while others write, so a session that is given another key meanwhile could be
    missed under both: the folder of its new key is read before that is there, and the folder of its old key after that
    was removed. So folders that have changed since they were read are read again, until they are few; and these
    once more, or those that have then changed, while nobody writes: for a few milliseconds.

    Args:
        directory: Where the records are.
        locks: Those of its writers.
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
        return [shard for shard in SHARDS if self._has_changed(shard)]

    def _has_changed(self, shard: str) -> bool:
        known = self._folders.get(shard)
        if known is None or known.changed_at != self._changed_at(shard):
            return True
        granularity = _FINE if known.changed_at % 1_000_000_000 else _COARSE
        return known.changed_at > 0 and known.read_at - known.changed_at < granularity * 1e9

    def _read(self, shards: list[str]) -> None:
        for shard in shards:
            changed_at, read_at = self._changed_at(shard), time.time_ns()
            self._folders[shard] = _Folder(changed_at, read_at, frozenset(self._records.keys_in(shard)))

    def _changed_at(self, shard: str) -> int:
        try:
            return os.stat(f"{self._records.path}/{shard}").st_mtime_ns
        except FileNotFoundError:
            return 0
