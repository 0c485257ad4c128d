"""Which sessions have ended: asked by every request, looked up in the store once a second, written at a log-out."""

from __future__ import annotations

import logging
import math
import threading
import time
import weakref
from collections.abc import Callable
from typing import Final

from session_mw.backends.contention import Tries
from session_mw.backends.record_format import companion_key
from session_mw.backends.revocations.entries import (
    EVERYONE,
    ID,
    MICROSECONDS,
    NO_DIGEST,
    PRINCIPAL,
    PUBLIC_ID,
    Entry,
    Facts,
    digest_of_companion,
    digest_of_id,
    digest_of_principal,
)
from session_mw.backends.revocations.journal import Head, Journal, read_head
from session_mw.backends.revocations.ledger import Ledger
from session_mw.exceptions import StoreError
from session_mw.protocols import Record, Store
from session_mw.state import MAX_OWN_LIFETIME
from session_mw.stores.fork import PerProcess
from session_mw.stores.locks import run_holding

logger = logging.getLogger("session_mw")

SECONDS_BETWEEN_LOOKS: Final = 1.0
_STALE = 1.4
_PATIENCE = 2.0
"""Seconds for which a request waits for another's look where what is known is older than ``_STALE``.

Within that time most stores have answered or failed; while they fail, nobody waits.
"""
_LONGEST_WAIT = 10.0
_SECONDS_BETWEEN_WARNINGS = 60.0
_LOOKS = 8
_MARKS = 1000
_BUSY_LOOKING = "another request is asking the store which sessions have ended"
_BUSY_WRITING = "which sessions have ended could not be written: others were busy for too long"

_followers: list[weakref.ref[Revocations]] = []
"""All of this process. A list changes in one step, so no lock is needed that a fork could copy."""


class Revocations:
    """Knows which sessions have ended, and ends them.

    Args:
        store: Where that is kept.
        name: Tells apart the applications that share a store.
        idle: Seconds for which a token is valid after it was written.
        absolute: Seconds for which a session is valid after it began; None: no limit.
        leeway: Seconds by which the clocks of servers may differ.
        max_age: Seconds for which what is known holds while the store does not answer.

    Attributes:
        ledger: What this process knows.
        fresh_from: When the store was last asked (Unix time); a clock that was set back is before it.
        fresh_until: When it is to be asked again.
    """

    def __init__(
        self, store: Store, name: bytes, *, idle: int, absolute: int | None, leeway: int, max_age: int
    ) -> None:
        self.ledger = Ledger(leeway)
        self._journal = Journal(store, name)
        self._idle, self._absolute, self._leeway, self._max_age = idle, absolute, leeway, max_age
        # Made late in each process: see PerProcess. A child that was forked goes on with what its parent knew.
        self._locks = PerProcess(threading.RLock)
        self._read = b""
        # When the store was last asked, and did answer: what time.time() and time.monotonic() said. The one stands
        # still while a test says so, the other while a computer sleeps; the first may also be set back.
        self._known: tuple[float, float] | None = None
        self.fresh_from = self.fresh_until = 0.0
        self._failed: tuple[float, float] | None = None
        self._failure: StoreError | None = None
        self._warned = -math.inf
        self._looks = 0
        self._last_mark = 0
        self._own_marks: dict[int, float] = {}
        # Whether another one of this process has written since the store was last asked.
        self._is_behind = False
        _followers.append(weakref.ref(self, _followers.remove))

    # What requests ask

    def has_ended(self, facts: Facts) -> bool:
        """Whether a session has ended. The store is asked at most once a second, by one request while others go on.

        Raises:
            StoreError: What is known is too old, and the store does not answer.
        """
        if not self.fresh_from <= time.time() < self.fresh_until:
            self.follow()
        return self.ledger.has_ended(facts)

    def has_ended_with_everyone(self, mark: int) -> bool:
        """Whether a stored session has ended since it began: by :meth:`end_everyone`, the rest its record tells.

        A session that began here a moment ago has not ended yet; so a process asks when it meets another one, and
        then once a second, also when another manager of this process has ended any.

        Args:
            mark: That of its beginning.

        Raises:
            StoreError: As from :meth:`has_ended`.
        """
        ticks = time.monotonic()
        known = self._own_marks.get(mark, -math.inf) if self._known is None else self._known[1]
        if self._is_behind or ticks - known >= SECONDS_BETWEEN_LOOKS:
            self.follow()
        return self.ledger.everyone > mark

    def is_late(self, digest: int) -> bool:
        """Whether the session with this id got another one a short time ago."""
        return self.ledger.is_late(digest, _now())

    # Since when sessions are

    def mark(self) -> int:
        """The mark of a session that begins now, by the clock."""
        self._last_mark = max(_now(), self.ledger.newest, self._last_mark)
        return self._last_mark

    def own_mark(self) -> int:
        """The mark of a stored session that begins now: by the clock, and by what this process has ended."""
        if self._is_behind:
            self.follow_if_possible()
        mark = self.mark()
        if self._known is None and len(self._own_marks) < _MARKS:
            self._own_marks[mark] = time.monotonic()
        return mark

    def follow_if_possible(self) -> None:
        """Know what the store knows, as :meth:`has_ended`; where it does not answer, what is known has to do."""
        try:
            if not self.fresh_from <= time.time() < self.fresh_until:
                self.follow()
        except StoreError:
            logger.info("a session begins while it is not known which have ended")

    def exact_mark(self) -> int:
        """The mark of a session that becomes somebody's now: what the store knows has come before.

        The store is asked each time, for then the order of a log-in and of an ``end_all`` elsewhere depends on no
        clock. Where it does not answer, the clock decides.
        """
        try:
            looked = self._looked(wait=_LONGEST_WAIT, exact=True)
            if looked is None or looked[0] is None:
                # From here on there is a newest ending that all servers agree on.
                self.append(list, begin=True)
                return self.ledger.newest
        except StoreError:
            return self.mark()
        return self.ledger.newest

    # What ends sessions

    def expires(self, longest: int = MAX_OWN_LIFETIME) -> int:
        """Unix time from which on no token can be valid that was written until now.

        Args:
            longest: The longest lifetime of its own that the session has had, in seconds.
        """
        age = max(self._idle, longest)
        if self._absolute is not None:
            age = min(age, self._absolute)
        return self._after(age)

    def end_id(self, session_id: str) -> None:
        """End a session in a cookie, also under the id that it has got a short time ago; and its companion.

        Args:
            session_id: Its :attr:`Session.id`; what is no id ends nothing.

        Raises:
            StoreError: It could not be written.
        """
        found = PUBLIC_ID.fullmatch(session_id)
        if found is None:
            return
        digest, companion = digest_of_id(found[1]), found[2]
        if companion:
            self.forget_companion(companion)

        def entries() -> list[Entry]:
            digests = {digest, self.ledger.latest_id(digest)}
            if companion:
                digests.add(digest_of_companion(companion))
            return [self.ended(one) for one in digests if not self.ledger.is_ended_id(one)]

        self.append(entries)

    def end_companion(self, name: str) -> None:
        """End a companion, and all sessions in cookies that end with it.

        Raises:
            StoreError: It could not be written.
        """
        self.forget_companion(name)
        digest = digest_of_companion(name)
        self.append(lambda: [] if self.ledger.is_ended_id(digest) else [self.ended(digest)])

    def forget_companion(self, name: str) -> None:
        """Delete a companion. Before its end is written: what is written is forgotten when no session can be that old.

        Raises:
            StoreError: The store does not answer.
        """
        try:
            self._journal.store.delete(companion_key(name))
        except StoreError:
            raise
        except Exception as error:
            raise StoreError(f"the store failed: {type(error).__name__}") from error

    def end_principal(self, principal: str, kept: Facts | None, companion: str | None) -> tuple[int, bool]:
        """End all sessions and companions that a principal has now, but one of each.

        Args:
            principal: Whose they are.
            kept: The session's that goes on; None: none does, or it is not saved yet.
            companion: The name of the one that goes on.

        Returns:
            The time of the ending, in microseconds: what has this mark is not touched by it. And whether the one
            that is to be kept had not ended before.

        Raises:
            StoreError: It could not be written.
        """
        digest, written, lives = digest_of_principal(principal), 0, True

        def entries() -> list[Entry]:
            nonlocal written, lives
            written, others = self._next_time(), set[int]()
            facts = None if kept is None else kept._replace(id=self.ledger.latest_id(kept.id))
            lives = facts is None or not self.ledger.has_ended(facts)
            if lives:
                others |= {NO_DIGEST if facts is None else facts.id}
                others |= {NO_DIGEST if companion is None else digest_of_companion(companion)}
            expires = self._after(self._longest())
            return [Entry(PRINCIPAL, digest, written, expires, other) for other in others - {NO_DIGEST} or [NO_DIGEST]]

        self.append(entries)
        return written, lives

    def end_everyone(self) -> None:
        """End all sessions that there are.

        Raises:
            StoreError: It could not be written.
        """
        self.append(lambda: [Entry(EVERYONE, 0, self._next_time(), self._after(self._longest()))])

    def ended(self, digest: int, longest: int = MAX_OWN_LIFETIME, *, kind: int = ID, other: int = 0) -> Entry:
        """What is written of a session that ends now."""
        return Entry(kind, digest, _now(), self.expires(longest), other)

    def append(self, entries: Callable[[], list[Entry]], *, begin: bool = False) -> None:
        """Write endings.

        Args:
            entries: Called when all is known that the store knows, again where another process was faster;
                what it returns is written, if nothing was written in between.
            begin: Write a head also where there is nothing to say.

        Raises:
            StoreError: They could not be written.
        """
        run_holding(self._locks.get(), _LONGEST_WAIT, _BUSY_WRITING, lambda: self._append(entries, begin))

    def _append(self, entries: Callable[[], list[Entry]], begin: bool) -> None:
        tries = Tries()
        while True:
            record, head = self._look()
            new = entries()
            if not new and not (begin and record is None):
                return
            if record is None:
                # Later than all marks of sessions, also where the store was emptied.
                head = head._replace(newest=max(head.newest, self.mark()))
            if self._write(record, head, new):
                return
            tries.pause()

    def _write(self, record: Record | None, head: Head, new: list[Entry]) -> bool:
        try:
            written = self._journal.replace(record, head, new, int(time.time()))
        except StoreError:
            raise
        except Exception as error:
            raise StoreError(f"the store failed: {type(error).__name__}") from error
        if written is None:
            return False
        tell_others(self, self._journal.key)
        self._take(written)
        return True

    def fall_behind(self, key: str) -> None:
        """Ask the store before the next answer: another one of this process has written the endings at ``key``."""
        if key == self._journal.key:
            self._is_behind, self.fresh_until = True, 0.0

    def _longest(self) -> int:
        # No absolute lifetime bounds companions: a device is remembered for longer than its sessions last.
        return max(self._idle, MAX_OWN_LIFETIME)

    def _after(self, age: int) -> int:
        return int(time.time()) + age + 2 * self._leeway + 2

    def _next_time(self) -> int:
        return max(_now(), self.ledger.newest, self._last_mark) + 1

    # How the store is followed

    def follow(self, *, exact: bool = False) -> None:
        """Ask the store, if no other request does: to be called outside of ``fresh_from`` and ``fresh_until``.

        Args:
            exact: As for :meth:`exact_mark`, whether what another thread has just learned is not enough.

        Raises:
            StoreError: What is known is too old, and the store does not answer.
        """
        age = self._age(self._known)
        if self._age(self._failed) < SECONDS_BETWEEN_LOOKS and age <= self._max_age:
            return
        is_worth_waiting = exact or self._is_behind or age > _STALE
        wait = _PATIENCE if is_worth_waiting and self._failure is None else 0.0
        try:
            self._looked(wait=_LONGEST_WAIT if age > self._max_age else wait, exact=exact)
        except StoreError as error:
            if self._age(self._known) > self._max_age:
                raise StoreError(f"it is not known which sessions have ended: {error}") from error
            self._warn(error)

    def _looked(self, wait: float, *, exact: bool) -> tuple[Record | None, Head] | None:
        """Look, unless another thread does so at the same time.

        Args:
            wait: Seconds to wait for the other thread.
            exact: Whether the answer of another thread, which may have asked before, is not enough.
        """
        looks = self._looks

        def look() -> tuple[Record | None, Head] | None:
            if self._looks != looks and self._failure is not None:
                # The one that was waited for has failed; others that waited are not to wait for the store too.
                raise StoreError(str(self._failure)) from self._failure
            if not exact and not self._is_behind and self._age(self._known) < SECONDS_BETWEEN_LOOKS:
                return None
            return self._look()

        return run_holding(self._locks.get(), wait, _BUSY_LOOKING, look, _BusyError)

    def _look(self) -> tuple[Record | None, Head]:
        """Ask the store what has ended, and know it; this thread holds the lock."""
        started, was_behind = (time.time(), time.monotonic()), self._is_behind
        self._is_behind = False
        try:
            record, head = self._load()
        except BaseException as error:
            self._is_behind |= was_behind
            if isinstance(error, StoreError):
                self._failed, self._failure = (time.time(), time.monotonic()), error
            raise
        finally:
            self._looks += 1
        self._known = started
        self._failed = self._failure = None
        if not self._is_behind:
            self.fresh_from, self.fresh_until = started[0], started[0] + SECONDS_BETWEEN_LOOKS
        return (record, head) if not self.ledger.lost else self._write_again(record, head)

    def _load(self) -> tuple[Record | None, Head]:
        before: bytes | None = None
        for _ in range(_LOOKS):
            record = self._journal.load()
            head = read_head(record)
            data = b"" if record is None else record.data
            if data == self._read and self._known is not None:
                return record, head
            if self.ledger.take(head, self._journal.entries_of, int(time.time())):
                self._read = data
                return record, head
            if data == before:
                return self._without_missing(record, head)
            before = data
        raise StoreError("endings of sessions were written faster than they could be read")

    def _without_missing(self, record: Record | None, head: Head) -> tuple[Record | None, Head]:
        """Go on though the store has lost a segment, as one does that evicts: all ends that may have been in it."""
        missing = self.ledger.missing
        doubts = [self.ledger.doubt(segment) for segment in missing]
        logger.error(
            "the store has lost %d endings of sessions; all sessions end that began before the last of them",
            sum(segment.size for segment in missing),
        )
        kept = head._replace(segments=tuple(one for one in head.segments if one not in missing))
        if self._write(record, kept, doubts):
            return self._load()
        raise StoreError("the store has lost endings of sessions, and is being written by others")

    def _write_again(self, record: Record | None, head: Head) -> tuple[Record | None, Head]:
        """Write what the store has lost and this process still knows: it was emptied, or an older state came back."""
        lost = self.ledger.lost
        logger.error("the store has lost %d endings of sessions that are known here; they are written again", len(lost))
        if record is None:
            head = head._replace(newest=max(self.ledger.newest, self.mark()))
        if self._write(record, head, lost):
            return self._load()
        # Another process was faster; what it did not write is written at the next look.
        return record, head

    def _take(self, head: Head) -> None:
        self.ledger.take(head, self._journal.entries_of, int(time.time()))
        self._read = b"?"

    def _age(self, then: tuple[float, float] | None) -> float:
        return math.inf if then is None else max(abs(time.time() - then[0]), time.monotonic() - then[1])

    def _warn(self, error: StoreError) -> None:
        if isinstance(error, _BusyError) or time.monotonic() - self._warned < _SECONDS_BETWEEN_WARNINGS:
            return
        self._warned = time.monotonic()
        problem = "the store does not say which sessions have ended; what is known holds for %d s"
        logger.warning(problem, self._max_age, exc_info=error)


def tell_others(writer: Revocations, key: str) -> None:
    """Tell all others of this process that one has written the endings at ``key``."""
    for reference in [*_followers]:
        other = reference()
        if other is not None and other is not writer:
            other.fall_behind(key)


class _BusyError(StoreError):
    """Another thread of this process is asking the store."""


def _now() -> int:
    return int(time.time() * MICROSECONDS)
