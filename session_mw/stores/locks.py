"""A lock that is never lost, whatever interrupts its holder."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from session_mw.exceptions import StoreError

T = TypeVar("T")


def run_holding(lock: threading.RLock, timeout: float, busy: str, work: Callable[[], T]) -> T:
    """Call ``work`` while holding a lock.

    An exception can be set in a thread from outside (``PyThreadState_SetAsyncExc``, as tools do that end slow
    requests), and a signal's handler can raise. CPython raises it when a call has returned: also when
    ``acquire`` has, and before its result could be looked at. So the lock is released whether this thread is known
    to hold it or not, and nothing is called between; a context manager written in Python would leave the same gap.

    Args:
        lock: One made by ``threading.RLock``: it alone knows its holder, and refuses to be released by another.
        timeout: Seconds to wait for it.
        busy: What the ``StoreError`` says if others held it for longer.
        work: What to do.

    Raises:
        StoreError: Others held the lock for too long.
    """
    try:
        if not lock.acquire(timeout=timeout):
            raise StoreError(busy)
        return work()
    finally:
        try:  # noqa: SIM105 (this thread may not have got it; a call of contextlib.suppress would be a gap)
            lock.release()
        except RuntimeError:
            pass
