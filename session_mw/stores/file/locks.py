"""Locks between the processes, and the threads, that write to one directory."""

from __future__ import annotations

import itertools
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from io import FileIO
from typing import TypeVar

from session_mw.exceptions import StoreError
from session_mw.stores import fork
from session_mw.stores.locks import run_holding
from session_mw.stores.opening import open_file
from session_mw.stores.owners import give_to_owner_of

if sys.platform != "win32":
    import fcntl

T = TypeVar("T")

STRIPES = 64
# Seconds for which one attempt to get all locks may keep writers waiting.
PATIENCE_FOR_ALL = 0.05

_BUSY = "the session directory was locked by others for too long; try again, or wait longer: ?timeout=10"


class StripedLocks:
    """A fixed number of locks; each key has one of them, and lock files never pile up.

    The system releases a file lock (flock) when the process that holds it ends, also when it is killed.

    Args:
        directory: Where the lock files are made.
        timeout: Seconds to wait for a lock.
    """

    def __init__(self, directory: str, timeout: float) -> None:
        self._directory = directory
        self._paths = [os.path.join(directory, f".lock-{number:02x}") for number in range(STRIPES)]
        # For the threads of one process, which could wait for a file lock only by trying again and again.
        self._threads = fork.PerProcess(lambda: [threading.RLock() for _ in range(STRIPES)])
        self._timeout = timeout
        fork.watch(self)

    def deadline(self, share: float = 1) -> float:
        """When an operation has to end that begins now, on the clock of :func:`time.monotonic`.

        Args:
            share: How much of the timeout it may take.
        """
        return time.monotonic() + share * self._timeout

    def run(self, key: str, work: Callable[[], T], ends: float | None = None) -> T:
        """Call ``work`` while holding the lock of ``key``, 64 hexadecimal digits.

        Args:
            key: A session id.
            work: What to do.
            ends: When to give up waiting; None: after the timeout.

        Raises:
            StoreError: Others held it for too long.
            OSError: The lock file cannot be used.
        """
        number = int(key[-2:], 16) % STRIPES
        deadline = self.deadline() if ends is None else ends
        return run_holding(
            self._threads.get()[number],
            max(deadline - time.monotonic(), 0),
            _BUSY,
            lambda: self._holding_files([self._paths[number]], deadline, work),
        )

    def run_alone(self, work: Callable[[], T]) -> T:
        """Call ``work`` while holding all locks: nobody writes. Raises as :meth:`run`."""
        end = self.deadline()
        while True:
            try:
                # The files exclude this process's threads as well.
                return self._holding_files(self._paths, min(end, time.monotonic() + PATIENCE_FOR_ALL), work)
            except StoreError:
                if time.monotonic() > end:
                    raise
            # A writer may have been stopped while it held its lock. Other writers should not wait for it too, so this
            # attempt has given up its locks, and the next one comes after a pause.
            time.sleep(random.uniform(0, PATIENCE_FOR_ALL))  # noqa: S311 - jitter, not a secret

    def before_fork(self) -> None:
        """Called by :mod:`session_mw.stores.fork`; no thread is in the middle of a writing while the process forks."""
        for lock in self._threads.get():
            lock.acquire()

    def after_fork(self) -> None:
        """Called by :mod:`session_mw.stores.fork`; a child has locks of its own, which it does not hold."""
        for lock in self._threads.get():
            fork.release(lock)

    def _holding_files(self, paths: list[str], deadline: float, work: Callable[[], T]) -> T:
        held: list[FileIO] = []
        # What is done at the end, by one call in C: an exception that is set from outside can come before the next one.
        # Closing would release a lock, but not where a child that was forked in C meanwhile has the file open too.
        ending = itertools.chain(map(fcntl.flock, held, itertools.repeat(fcntl.LOCK_UN)), map(FileIO.close, held))
        try:
            for path in paths:
                held.append(open_file(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, "ab"))
                # Root may have made the lock file, for example in a `session-mw sweep` that cron starts.
                give_to_owner_of(self._directory, held[-1].fileno())
                _lock(held[-1], deadline)
            return work()
        finally:
            any(ending)


def _lock(lock_file: FileIO, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise StoreError(_BUSY) from error
        time.sleep(random.uniform(0.0002, 0.002))  # noqa: S311 - jitter, not a secret
