"""Turns for requests that save one session at the same time, and an end to their tries.

A store's compare-and-set decides who wins. Turns only keep the threads of one process from
overtaking each other for ever: without them, whoever has lost a race has more to do before
the next one than those who come fresh.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from session_mw.exceptions import StoreError
from session_mw.stores.fork import PerProcess, release

SECONDS_FOR_TRIES = 5.0
_LONGEST_PAUSE = 0.002
_COURTESY = 0.05
_STRIPES = 64


class _Turn:
    """What the threads that try again to save one session, or one of the same stripe, take in turns."""

    __slots__ = ("ends", "lock")

    def __init__(self) -> None:
        self.lock = threading.RLock()
        # when the holder's budget ends (monotonic time); 0.0 when nobody holds the lock
        self.ends = 0.0


_turns: PerProcess[dict[int, _Turn]] = PerProcess(dict)
"""By stripe; made when they are needed."""


def give_way(key: str) -> None:
    """Wait a moment for another thread that tries again to save the session under ``key``: it was overtaken before."""
    turn = _turns.get().get(_stripe(key))
    if turn is not None and turn.ends > time.monotonic():
        try:
            turn.lock.acquire(timeout=_COURTESY)
        finally:
            release(turn.lock)


def _stripe(key: str) -> int:
    return int(key[:8], 16) % _STRIPES


class Tries:
    """The budget of a save that others keep getting ahead of."""

    def __init__(self) -> None:
        self._end = time.monotonic() + SECONDS_FOR_TRIES

    @contextmanager
    def turn(self, key: str) -> Iterator[None]:
        """Wait until no other thread tries again to save the session under ``key``.

        An exception that is set in a thread from outside can keep its turn from being given back. So a turn is void
        when its holder's budget has ended, and whoever has waited for all of its own makes place for a new one.

        Raises:
            StoreError: The budget is used up.
        """
        turns, stripe = _turns.get(), _stripe(key)
        turn = turns.get(stripe) or turns.setdefault(stripe, _Turn())
        try:
            if not turn.lock.acquire(timeout=max(0.0, self._end - time.monotonic())):
                if turns.get(stripe) is turn:
                    turns.pop(stripe, None)
                raise self._used_up()
            turn.ends = self._end
            yield
        finally:
            if release(turn.lock):
                turn.ends = 0.0

    def pause(self) -> None:
        """Wait a moment of random length: another process has got ahead.

        Raises:
            StoreError: The budget is used up.
        """
        if time.monotonic() > self._end:
            raise self._used_up()
        time.sleep(random.uniform(0, _LONGEST_PAUSE))  # noqa: S311 (spreads load, keeps no secret)

    @staticmethod
    def _used_up() -> StoreError:
        return StoreError(f"the session kept changing for {SECONDS_FOR_TRIES:g} s while it was saved; try again")
