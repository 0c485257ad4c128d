"""Turns for requests that save one session at the same time, and an end to their tries.

A store's compare-and-set decides who wins. Turns only keep the threads of one process from
overtaking each other for ever: without them, whoever has lost a race has more to do before
the next one than those who come fresh.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from session_mw.exceptions import StoreError
from session_mw.stores.fork import PerProcess
from session_mw.stores.locks import run_holding

T = TypeVar("T")

SECONDS_FOR_TRIES = 5.0
_LONGEST_PAUSE = 0.002
_COURTESY = 0.05
_STRIPES = 64
_USED_UP = f"the session kept changing for {SECONDS_FOR_TRIES:g} s while it was saved; try again"


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
        with suppress(StoreError):
            run_holding(turn.lock, _COURTESY, _USED_UP, lambda: None)


def _stripe(key: str) -> int:
    return int(key[:8], 16) % _STRIPES


class Tries:
    """The budget of a save that others keep getting ahead of."""

    def __init__(self) -> None:
        self._end = time.monotonic() + SECONDS_FOR_TRIES

    def in_turn(self, key: str, work: Callable[[], T]) -> T:
        """Call ``work`` when no other thread tries again to save the session under ``key``.

        Raises:
            StoreError: The budget is used up.
        """
        turns, stripe = _turns.get(), _stripe(key)
        turn = turns.get(stripe) or turns.setdefault(stripe, _Turn())

        def alone() -> T:
            turn.ends = self._end
            try:
                return work()
            finally:
                turn.ends = 0.0

        return run_holding(turn.lock, max(0.0, self._end - time.monotonic()), _USED_UP, alone)

    def pause(self) -> None:
        """Wait a moment of random length: another process has got ahead.

        Raises:
            StoreError: The budget is used up.
        """
        if time.monotonic() > self._end:
            raise StoreError(_USED_UP)
        time.sleep(random.uniform(0, _LONGEST_PAUSE))  # noqa: S311 (spreads load, keeps no secret)
