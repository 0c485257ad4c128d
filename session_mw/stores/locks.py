"""A lock that is never lost, whatever interrupts its holder."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from session_mw.exceptions import StoreError

T = TypeVar("T")


def run_holding(
    lock: threading.RLock, timeout: float, busy: str, work: Callable[[], T], error: type[StoreError] = StoreError
) -> T:
    """Call ``work`` while holding a lock.

    Another thread can set an exception in this one (``PyThreadState_SetAsyncExc``, as tools do that end slow
    requests), and a signal's handler can raise. CPython may raise such an exception as soon as a call has returned. If
    the call was ``acquire``, the lock is held, but its result is lost. So the lock is always released in ``finally``,
    without knowing whether this thread holds it. No other call may come between, because it would be a point where the
    exception can be raised with the lock held; for the same reason this is not a context manager written in Python.

    Args:
        lock: Made by ``threading.RLock``, since only this kind knows its holder and refuses a release by others.
        timeout: Seconds to wait for it.
        busy: What the ``StoreError`` says if others held it for longer.
        work: Called while the lock is held.
        error: The kind of ``StoreError`` that is raised then.

    Raises:
        StoreError: Others held the lock for too long.
    """
    try:
        if not lock.acquire(timeout=timeout):
            raise error(busy)
        return work()
    finally:
        try:  # noqa: SIM105 (this thread may not hold it; contextlib.suppress would be a call more)
            lock.release()
        except RuntimeError:
            pass
