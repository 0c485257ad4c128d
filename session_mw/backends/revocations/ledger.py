"""What one process knows of the endings, held in memory for each request to ask."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from session_mw.backends.revocations.entries import (
    EVERYONE,
    ID,
    MICROSECONDS,
    NO_DIGEST,
    PRINCIPAL,
    RENEWED,
    Entry,
    Facts,
)
from session_mw.backends.revocations.journal import Head, Segment

LATE: Final = 60
"""Seconds for which requests are recognized that were sent before their session got another id."""
_DOUBT = 3 * MICROSECONDS // 2
"""A session that began so much later than an ending, and did not know of it, has a clock that is ahead."""


class _Part:
    """The entries of a segment, or of the head. An ending of one session takes 12 bytes."""

    __slots__ = ("digests", "ends", "groups")

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.digests = array("Q")
        self.ends = array("I")
        self.groups: list[Entry] = []
        for entry in entries:
            if entry.kind in (ID, RENEWED):
                self.digests.append(entry.key)
                self.ends.append(entry.expires)
            else:
                self.groups.append(entry)


class Ended(NamedTuple):
    """When all sessions of a principal ended."""

    time: int
    kept: tuple[int, ...]
    """The digests of the session that goes on, and of its companion."""


class Ledger:
    """The endings that one process knows.

    Attributes:
        newest: The time of the newest ending of several sessions, in microseconds.
        lost: Endings that are known here and have gone from the store before their time.
        everyone: When all sessions ended, in microseconds; 0: never.
        missing: Segments that the store does not have any more, with what was in them unknown here.
    """

    def __init__(self, leeway: int) -> None:
        self._leeway = leeway
        self._ids: set[int] = set()
        self._principals: dict[int, Ended] = {}
        self._renewed: dict[int, tuple[int, int]] = {}
        self._parts: dict[int, _Part] = {}
        self._recent = _Part(())
        self.everyone = 0
        self.newest = 0
        self.lost: list[Entry] = []
        self.missing: list[Segment] = []

    def __len__(self) -> int:
        return len(self._ids) + len(self._principals)

    def has_ended(self, facts: Facts) -> bool:
        """Whether a session has ended, as far as is known."""
        digest, principal, begun, seen, owned, companion = facts
        if digest in self._ids or (companion and companion in self._ids):
            return True
        everyone = self.everyone
        if everyone and (
            begun < everyone
            or owned < everyone
            or (seen < everyone and _DOUBT < begun - everyone <= self._leeway * MICROSECONDS)
        ):
            return True
        if not self._principals:
            return False
        ended = self._principals.get(principal)
        return ended is not None and owned < ended.time and digest not in ended.kept

    def kept_from(self, facts: Facts) -> int:
        """The time of the ending of its principal's sessions that left this one; 0: there was none."""
        ended = self._principals.get(facts.principal)
        return 0 if ended is None or facts.id not in ended.kept else ended.time

    def is_ended_id(self, digest: int) -> bool:
        """Whether the session with this id has ended by itself."""
        return digest in self._ids

    def is_late(self, digest: int, now: int) -> bool:
        """Whether a session got another id a short time ago (``now`` in microseconds)."""
        renewed = self._renewed.get(digest)
        return renewed is not None and abs(now - renewed[1]) < LATE * MICROSECONDS

    def renewed_at(self, facts: Facts) -> int | None:
        """When a session got another id a short time ago (microseconds); None: it did not, or has ended since."""
        renewed = self._renewed.get(facts.id)
        if renewed is None or self.has_ended(facts._replace(id=self.latest_id(facts.id))):
            return None
        return renewed[1]

    def latest_id(self, digest: int) -> int:
        """The id that a session has now that had this one a short time ago."""
        for _ in range(len(self._renewed)):
            renewed = self._renewed.get(digest)
            if renewed is None:
                break
            digest = renewed[0]
        return digest

    def take(self, head: Head, load: Callable[[Segment], list[Entry] | None], now: int) -> bool:
        """Know what a head names.

        What is new is known before anything that is outdated is forgotten, and a call that is broken off does
        no harm: the next one does it again.

        Args:
            load: Fetches the entries of a segment; None: the store does not have it.
            now: Unix time.

        Returns:
            False where a segment is gone. Another process may have replaced it: the head is to be read again.
        """
        parts: dict[int, _Part] = {}
        added: list[_Part] = []
        missing: list[Segment] = []
        for segment in head.segments:
            part = self._parts.get(segment.name)
            if part is None:
                entries = load(segment)
                if entries is None:
                    missing.append(segment)
                    continue
                part = _Part(entries)
                self._add(entries, now)
                added.append(part)
            parts[segment.name] = part
        recent = _Part(head.recent)
        self._add(head.recent, now)
        removed = [part for name, part in self._parts.items() if name not in parts]
        self._forget([*removed, self._recent], [*added, recent], now)
        self._parts, self._recent = parts, recent
        self.newest = max(self.newest, head.newest)
        self.missing = missing
        return not missing

    def doubt(self, segment: Segment) -> Entry:
        """What stands for a segment that is gone: all sessions that are older than its last ending."""
        return Entry(EVERYONE, 0, segment.newest, segment.last_end)

    def _add(self, entries: Iterable[Entry], now: int) -> None:
        recently = (now - LATE - self._leeway) * MICROSECONDS
        ended: dict[int, Ended] = {}
        for kind, key, time, _, other in entries:
            if kind == PRINCIPAL:
                known = ended.get(key) or self._principals.get(key, Ended(0, ()))
                if known.time <= time:
                    kept = known.kept if known.time == time else ()
                    ended[key] = Ended(time, tuple({*kept, other} - {NO_DIGEST}))
            elif kind == EVERYONE:
                self.everyone = max(self.everyone, time)
            elif kind in (ID, RENEWED):
                self._ids.add(key)
                if kind == RENEWED and time > recently:
                    self._renewed[key] = other, time
        # Only now, with all that was kept: a companion that seemed to have ended would be deleted.
        self._principals.update(ended)
        if self._renewed:
            self._renewed = {key: renewed for key, renewed in self._renewed.items() if renewed[1] > recently}

    def _forget(self, removed: list[_Part], added: list[_Part], now: int) -> None:
        """Forget what is of no use any more; what has gone before its time was lost, and stays known."""
        still = {digest for part in added for digest in part.digests}
        groups = {entry for part in added for entry in part.groups}
        for part in removed:
            for digest, end in zip(part.digests, part.ends, strict=True):
                if digest in still:
                    continue
                if end > now + self._leeway:
                    self.lost.append(Entry(ID, digest, now * MICROSECONDS, end))
                else:
                    self._ids.discard(digest)
            for entry in part.groups:
                if entry in groups:
                    continue
                if entry.expires > now + self._leeway:
                    self.lost.append(entry)
                elif self._principals.get(entry.key, Ended(0, ())).time == entry.time:
                    self._principals.pop(entry.key, None)
        if self.lost:
            self.lost = [entry for entry in self.lost if entry.key not in still and entry not in groups]
