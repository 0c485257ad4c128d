"""The endings in a store: a head with the newest ones, and segments with those before.

Everything that changes is in the head, one record, which is replaced only where it still is as it was read. So an
ending is written wholly or not at all, and all endings of a store are in one order. A segment is written once, under a
random name, before a head names it; it is removed after no head names it any more.
"""

from __future__ import annotations

import hashlib
import secrets
import struct
from typing import Final, NamedTuple

from session_mw.backends.revocations.entries import Entry, pack_entries, unpack_entries
from session_mw.exceptions import StoreError
from session_mw.protocols import Record, Store

_MAGIC = b"session_mw revocations 1\n"
_FIXED = struct.Struct(">QH")
_ROW = struct.Struct(">QHQII")

MAX_RECENT: Final = 64
"""Entries in a head, at most: 1.9 KB, which each process fetches once a second at most."""
MAX_SEGMENT: Final = 1600
"""Entries in a segment: 46 KB. A BLOB of MySQL holds 64 KiB, an item of memcached 1 MiB."""
_DAY = 86400


class Segment(NamedTuple):
    """What a head says of a segment."""

    name: int
    """Random; its key is made of it."""
    size: int
    newest: int
    """The time of its newest entry, in microseconds."""
    first_end: int
    """Unix time at which the first of its entries is of no use any more."""
    last_end: int
    """Unix time at which none is of use any more."""


class Head(NamedTuple):
    """What the head holds."""

    newest: int
    """No ending that is written from now on has an earlier time or this one (microseconds)."""
    segments: tuple[Segment, ...] = ()
    """In the order in which they were written."""
    recent: tuple[Entry, ...] = ()
    """The entries that are in no segment yet."""


class Journal:
    """Reads and writes the endings of one application.

    Args:
        store: Where they are.
        name: Tells apart the applications that share a store.
    """

    def __init__(self, store: Store, name: bytes) -> None:
        self.store = store
        self.key = hashlib.sha256(_MAGIC + name).hexdigest()

    def load(self) -> Record | None:
        """The head's record; None where nothing has ended yet.

        Raises:
            StoreError: The store does not answer.
        """
        return self._loaded(self.key)

    def entries_of(self, segment: Segment) -> list[Entry] | None:
        """The entries of a segment; None where the store does not have it.

        Raises:
            StoreError: The store does not answer, or what it has is damaged.
        """
        record = self._loaded(self._key_of(segment.name))
        if record is None:
            return None
        if not record.data.startswith(_MAGIC):
            raise StoreError("what is stored as endings of sessions is something else")
        return unpack_entries(record.data[len(_MAGIC) :])

    def replace(self, former: Record | None, head: Head, entries: list[Entry], now: int) -> Head | None:
        """Add entries to the head that was read.

        Args:
            former: The head's record, as it was read; None: there is none.
            head: What it holds.
            entries: What is new.
            now: Unix time.

        Returns:
            The head as it is now; None where another process was faster, and nothing was written.

        Raises:
            StoreError: The store does not answer. The entries may be written all the same.
        """
        newest = max([head.newest, *(entry.time for entry in entries)])
        recent = (*head.recent, *entries)
        made: list[Segment] = []
        replaced: list[Segment] = []
        kept = [segment for segment in head.segments if segment.last_end >= now]
        if len(recent) > MAX_RECENT:
            made, replaced = self._spill(recent, kept, now)
            recent = ()
        segments = tuple(segment for segment in kept if segment not in replaced)
        written = Head(newest, (*segments, *made), recent)
        if not self._write(former, written, now):
            if made:
                # A driver that tries again by itself may have been refused by its own first try.
                named = read_head(self.load()).segments
                self._remove([segment for segment in made if segment not in named])
            return None
        self._remove([segment for segment in head.segments if segment not in written.segments])
        return written

    def _spill(self, recent: tuple[Entry, ...], kept: list[Segment], now: int) -> tuple[list[Segment], list[Segment]]:
        """Write the recent entries into segments; which were made, and which of those there were they replace.

        The last segment is filled up, and of one other the entries are left out that are of no use any more.
        """
        pool, replaced = list(recent), list[Segment]()
        outdated = min((one for one in kept if one.first_end < now), key=lambda one: one.first_end, default=None)
        for segment in {*kept[-1:], outdated} - {None}:
            if segment is None or (segment is not outdated and segment.size + len(recent) > MAX_SEGMENT):
                continue
            entries = self.entries_of(segment)
            if entries is not None:
                pool += entries
                replaced.append(segment)
        pool = sorted({entry for entry in pool if entry.expires >= now}, key=lambda entry: entry.time)
        made = []
        for first in range(0, len(pool), MAX_SEGMENT):
            made.append(self._write_segment(pool[first : first + MAX_SEGMENT], now))
        return made, replaced

    def _write_segment(self, entries: list[Entry], now: int) -> Segment:
        ends = [entry.expires for entry in entries]
        segment = Segment(secrets.randbits(64), len(entries), entries[-1].time, min(ends), max(ends))
        data = _MAGIC + pack_entries(entries)
        if not self.store.create(self._key_of(segment.name), data, segment.last_end - now + _DAY):
            raise StoreError("the store says that a new random key is taken")
        return segment

    def _write(self, former: Record | None, head: Head, now: int) -> bool:
        data = _MAGIC + _FIXED.pack(head.newest, len(head.segments))
        data += b"".join(_ROW.pack(*segment) for segment in head.segments) + pack_entries(head.recent)
        last = max([now, *(one.last_end for one in head.segments), *(entry.expires for entry in head.recent)])
        # It outlives its entries, so that the next ending has a later time than the last.
        ttl = last - now + 400 * _DAY
        if former is None:
            return self.store.create(self.key, data, ttl)
        return self.store.update(self.key, data, ttl, former.version)

    def _loaded(self, key: str) -> Record | None:
        try:
            return self.store.load(key)
        except StoreError:
            raise
        except Exception as error:
            # A store of others may let its driver's errors through; what is known must not pass for all there is.
            raise StoreError(f"the store failed: {type(error).__name__}") from error

    def _remove(self, segments: list[Segment]) -> None:
        for segment in segments:
            try:
                self.store.delete(self._key_of(segment.name))
            except Exception:  # noqa: BLE001  each driver has its own errors
                # Nothing names it any more, and it expires by itself.
                return

    def _key_of(self, name: int) -> str:
        return hashlib.sha256(b"%b %016x" % (self.key.encode(), name)).hexdigest()


def read_head(record: Record | None) -> Head:
    """What a head's record holds.

    Raises:
        StoreError: It is no head, or one of a later release.
    """
    if record is None:
        return Head(0)
    try:
        if not record.data.startswith(_MAGIC):
            raise ValueError
        newest, count = _FIXED.unpack_from(record.data, len(_MAGIC))
        start = len(_MAGIC) + _FIXED.size
        end = start + count * _ROW.size
        segments = tuple(Segment(*row) for row in _ROW.iter_unpack(record.data[start:end]))
        if len(segments) != count:
            raise ValueError
        return Head(newest, segments, tuple(unpack_entries(record.data[end:])))
    except (ValueError, struct.error):
        raise StoreError("what is stored as endings of sessions is something else, or of a later release") from None
