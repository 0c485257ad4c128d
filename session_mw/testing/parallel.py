"""Threads that start together, and forked children."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from session_mw.protocols import Store
from session_mw.testing.fixtures import loaded

THREADS = 8
SECONDS_FOR_A_CHILD = 60
# From Python 3.13 on the hook for a child insists on the one before the fork.
TOLD_AFTERWARDS = sys.version_info < (3, 13)

T = TypeVar("T")


def add(store: Store, key: str, times: int) -> None:
    """Add 1 to the number that is a record's data; each time again until it is written."""
    for _ in range(times):
        while True:
            record = loaded(store, key)
            if store.update(key, b"%d" % (int(record.data) + 1), 60, record.version):
                break


def at_once(work: Callable[[int], T]) -> list[T]:
    """Call ``work`` with 0, 1, 2… in threads that start together; what they returned, in order."""
    start = threading.Barrier(THREADS)

    def run(number: int) -> T:
        start.wait()
        return work(number)

    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(run, range(THREADS)))


def forked(check: Callable[[], bool], *, told: bool = True) -> bool:
    """What ``check`` says in a forked child; False too if it raises, or takes longer than a minute.

    Args:
        check: Called in the child.
        told: False: fork in C, as uWSGI does, so that Python hears of it only afterwards, in the child.
    """
    with warnings.catch_warnings():
        # Python 3.12 warns of a fork beside other threads; a store has to bear it
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork() if told else ctypes.PyDLL(None).fork()
    if child == 0:
        code = 1
        try:
            if not told and TOLD_AFTERWARDS:
                ctypes.pythonapi.PyOS_AfterFork_Child()
            code = 0 if check() else 1
        finally:
            os._exit(code)
    return _code_of(child) == 0


def _code_of(child: int) -> int:
    deadline = time.monotonic() + SECONDS_FOR_A_CHILD
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
