"""Turns for requests that save one session at the same time, and an end to their tries.

A store's compare-and-set decides who wins. Turns only keep the threads of one process from
overtaking each other for ever: without them, whoever has lost a race has more to do before
the next one than those who come fresh.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from session_mw.exceptions import StoreError

SECONDS_FOR_TRIES = 5.0
_LONGEST_PAUSE = 0.002
_COURTESY = 0.05
_STRIPES = 64
_locks: dict[int, threading.Lock] = {}
"""Made when they are needed: a worker of gunicorn's makes threads greenlets after it has loaded the application."""

if hasattr(os, "register_at_fork"):
    # one that another thread held at a fork would stay locked in the child for ever
    os.register_at_fork(after_in_child=_locks.clear)


def give_way(key: str) -> None:
    """Wait a moment for another thread that tries again to save the session under ``key``: it was overtaken before."""
    lock = _lock_of(key)
    if lock.locked() and lock.acquire(timeout=_COURTESY):
        lock.release()


def _lock_of(key: str) -> threading.Lock:
    stripe = int(key[:8], 16) % _STRIPES
    return _locks.get(stripe) or _locks.setdefault(stripe, threading.Lock())


class Tries:
    """The budget of a save that others keep getting ahead of."""

    def __init__(self) -> None:
        self._end = time.monotonic() + SECONDS_FOR_TRIES

    @contextmanager
    def turn(self, key: str) -> Iterator[None]:
        """Wait until no other thread tries again to save the session under ``key``.

        Raises:
            StoreError: The budget is used up.
        """
        lock = _lock_of(key)
        if not lock.acquire(timeout=max(0.0, self._end - time.monotonic())):
            raise self._used_up()
        try:
            yield
        finally:
            lock.release()

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
