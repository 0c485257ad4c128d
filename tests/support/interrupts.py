"""Exceptions that are set in a thread from outside, as tools do that end requests which take too long."""

from __future__ import annotations

import ctypes
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

MAY_LAND_IN_A_FINALIZER = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""For tests with :func:`interrupted`: where an exception comes while a finalizer runs, Python can only tell of it."""


class TooSlow(BaseException):
    """What such a tool sets."""


def interrupt(thread: threading.Thread) -> None:
    """Let the thread raise :class:`TooSlow` at its next step of Python."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(TooSlow))


@contextmanager
def interrupted(work: Callable[[], object], times: int) -> Iterator[None]:
    """Interrupt a thread that does ``work`` again and again, at random moments; inside of the block it still lives."""
    stop, stay = threading.Event(), threading.Event()
    begun = []

    def run_once() -> None:
        # Not contextlib.suppress, whose end is Python code in which the exception may come as well.
        try:
            begun.append(None)
            while not stop.is_set():
                work()
        except TooSlow:
            pass

    def run() -> None:
        while not stop.is_set():
            try:
                while not stop.is_set():
                    run_once()
            except TooSlow:
                begun.append(None)
        stay.wait()

    def wait_until_begun(number: int) -> None:
        deadline = time.monotonic() + 10
        while len(begun) < number:
            assert time.monotonic() < deadline, "the thread does not go on"
            time.sleep(0.0001)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        for number in range(1, times + 1):
            # one at a time, and only while it is at work: the next one comes when this one has arrived
            wait_until_begun(number)
            time.sleep(random.uniform(0, 0.001))
            interrupt(thread)
        wait_until_begun(times + 1)
        stop.set()
        assert thread.is_alive()
        yield
    finally:
        stop.set()
        stay.set()
        thread.join(20)
