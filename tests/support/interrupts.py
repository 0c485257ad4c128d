"""Exceptions that are set in a thread from outside, as tools do that end requests which take too long."""

from __future__ import annotations

import ctypes
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class TooSlow(BaseException):
    """What such a tool sets."""


def interrupt(thread: threading.Thread) -> None:
    """Let the thread raise :class:`TooSlow` at its next step of Python."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(TooSlow))


@contextmanager
def interrupted(work: Callable[[], object], times: int) -> Iterator[None]:
    """Interrupt a thread that does ``work`` again and again, at random moments; inside of the block it still lives."""
    stop, stay = threading.Event(), threading.Event()
    seen = []

    def run_once() -> None:
        try:
            while not stop.is_set():
                work()
        except TooSlow:
            seen.append(None)

    def run() -> None:
        while not stop.is_set():
            run_once()
        stay.wait()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    for number in range(times):
        time.sleep(random.uniform(0, 0.001))
        interrupt(thread)
        deadline = time.monotonic() + 10
        while len(seen) <= number and time.monotonic() < deadline:
            time.sleep(0.0001)
    stop.set()
    try:
        assert thread.is_alive()
        assert len(seen) == times
        yield
    finally:
        stay.set()
        thread.join(20)
