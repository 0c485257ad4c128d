"""Locks between the processes, and the threads, that write to one directory."""

from __future__ import annotations

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

    def run(self, key: str, work: Callable[[], T]) -> T:
        """Call ``work`` while holding the lock of ``key``, 64 hexadecimal digits.

        Raises:
            StoreError: Others held it for too long.
            OSError: The lock file cannot be used.
        """
        number = int(key[-2:], 16) % STRIPES
        deadline = time.monotonic() + self._timeout

        def with_file() -> T:
            # A file object, not a descriptor: Python closes it, which releases the lock, wherever this is interrupted.
            lock_file = self._open(self._paths[number])
            try:
                _lock(lock_file, deadline)
                return work()
            finally:
                _unlock(lock_file)

        return run_holding(self._threads.get()[number], self._timeout, _BUSY, with_file)

    def run_alone(self, work: Callable[[], T]) -> T:
        """Call ``work`` while holding all locks: nobody writes. Raises as :meth:`run`."""
        end = time.monotonic() + self._timeout
        while True:
            attempt_ends = min(end, time.monotonic() + PATIENCE_FOR_ALL)
            # The files exclude this process's threads as well. They are closed when Python drops its last reference to
            # them, wherever this is interrupted.
            held: list[FileIO] = []
            try:
                for path in self._paths:
                    held.append(self._open(path))
                    _lock(held[-1], attempt_ends)
                return work()
            except StoreError:
                if time.monotonic() > end:
                    raise
            finally:
                for lock_file in held:
                    _unlock(lock_file)
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

    def _open(self, path: str) -> FileIO:
        def open_descriptor(path: str, _flags: int) -> int:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            # Root may have made the lock file, for example in a `session-mw sweep` that cron starts.
            give_to_owner_of(self._directory, descriptor)
            return descriptor

        return FileIO(path, "ab", opener=open_descriptor)


def _lock(lock_file: FileIO, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise StoreError(_BUSY) from error
        time.sleep(random.uniform(0.0002, 0.002))  # noqa: S311 - jitter, not a secret


def _unlock(lock_file: FileIO) -> None:
    # A child that was forked in C meanwhile has the file open too, so closing it here would not release the lock.
    fcntl.flock(lock_file, fcntl.LOCK_UN)
    lock_file.close()
