"""Locks between the processes, and the threads, that write to one directory."""

from __future__ import annotations

import contextlib
import os
import random
import sys
import threading
import time
from collections.abc import Iterator

from session_mw.exceptions import StoreError
from session_mw.stores import fork

if sys.platform != "win32":
    import fcntl

STRIPES = 64


class StripedLocks:
    """A fixed number of locks; each key has one of them, and lock files never pile up.

    A file lock (flock) goes with the process that holds it, also when it is killed.

    Args:
        directory: Where the lock files are made.
        timeout: Seconds to wait for a lock.
    """

    def __init__(self, directory: str, timeout: float) -> None:
        self._directory = directory
        self._paths = [os.path.join(directory, f".lock-{number:02x}") for number in range(STRIPES)]
        # a forked child shares its parent's open lock files, so no thread may hold one during a fork
        self._threads = [threading.RLock() for _ in range(STRIPES)]
        self._timeout = timeout
        fork.watch(self)

    def held(self, key: str) -> contextlib.AbstractContextManager[None]:
        """Hold the lock of ``key``, 64 hexadecimal digits.

        Raises:
            StoreError: Others held it for too long.
            OSError: The lock file cannot be used.
        """
        return self._held(int(key[-2:], 16) % STRIPES)

    @contextlib.contextmanager
    def all_held(self) -> Iterator[None]:
        """Hold all locks: nobody writes. Raises as :meth:`held`."""
        with contextlib.ExitStack() as stack:
            for number in range(STRIPES):
                stack.enter_context(self._held(number))
            yield

    @contextlib.contextmanager
    def _held(self, number: int) -> Iterator[None]:
        deadline = time.monotonic() + self._timeout
        if not self._threads[number].acquire(timeout=self._timeout):
            raise _busy()
        try:
            descriptor = os.open(self._paths[number], os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                if os.geteuid() == 0:
                    self._give_to_owner(descriptor)
                _lock(descriptor, deadline)
                yield
            finally:
                os.close(descriptor)
        finally:
            self._threads[number].release()

    def _give_to_owner(self, descriptor: int) -> None:
        """Let the application use a lock that root made, in a ``session-mw sweep`` by cron, say."""
        owner = os.stat(self._directory)
        if os.fstat(descriptor).st_uid != owner.st_uid:
            os.fchown(descriptor, owner.st_uid, owner.st_gid)

    def before_fork(self) -> None:
        """Called by :mod:`session_mw.stores.fork`."""
        for lock in self._threads:
            lock.acquire()

    def after_fork(self) -> None:
        """Called by :mod:`session_mw.stores.fork`."""
        for lock in self._threads:
            lock.release()


def _lock(descriptor: int, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise _busy() from error
        time.sleep(random.uniform(0.0002, 0.002))  # noqa: S311 - jitter, not a secret


def _busy() -> StoreError:
    return StoreError("the session directory was locked by others for too long; try again, or wait longer: ?timeout=10")
