"""Keep stores whole across a fork, whether Python is told of it or not.

gunicorn's ``--preload`` and multiprocessing fork with ``os.fork``, which calls the hooks below; they bring
each watched object to rest before the fork. uWSGI, and any other program that calls fork in C, does not call
them. There a child finds locks that threads of its parent held, and its parent's connections. So objects that
cannot be shared are kept in a :class:`PerProcess`, which compares the process's id whenever it is used.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")


class PerProcess(Generic[T]):
    """An object of which every process has its own, made when it is first asked for.

    A child neither uses nor frees the object that it inherits: a lock may be held by a thread that the child does
    not have, and an SQLite connection must not be closed in the child
    (https://www.sqlite.org/howtocorrupt.html, section 2.6).

    gevent is another reason to make it late: gunicorn's gevent worker patches ``threading`` after it has loaded the
    application, and a lock that was made before would block all greenlets of the process.

    Args:
        make: Makes the object, without waiting for anything.
        inherit: Called in a child with each object that it has inherited, when its own one is made.
    """

    def __init__(self, make: Callable[[], T], inherit: Callable[[T], None] | None = None) -> None:
        self._make = make
        self._inherit = inherit
        self._made: dict[int, T] = {}

    def get(self) -> T:
        """The object of this process."""
        process = os.getpid()
        try:
            return self._made[process]
        except KeyError:
            inherited = list(self._made.values())
            # If two threads come here at once, both get the object of the first one.
            own = self._make()
            made = self._made.setdefault(process, own)
            if made is own and self._inherit is not None:
                for former in inherited:
                    self._inherit(former)
            return made

    def replace(self, former: T, by: T) -> None:
        """Put another object in the place of ``former``, if no other thread has done so already."""
        process = os.getpid()
        if self._made.get(process) is former:
            self._made[process] = by


class Forkable(Protocol):
    """Something that has to be at rest while the process forks."""

    def before_fork(self) -> None:
        """Wait for other threads, take the locks, and close what cannot be shared."""

    def after_fork(self) -> None:
        """Release the locks, in the parent as in the child; also where :meth:`before_fork` was interrupted."""


_watching = PerProcess(threading.RLock)
_watched: weakref.WeakSet[Forkable] = weakref.WeakSet()
_resting: list[Forkable] = []


def watch(thing: Forkable) -> None:
    """Bring ``thing`` to rest before each fork that Python is told of, for as long as it lives."""
    with _watching.get():
        _watched.add(thing)


def release(lock: threading.RLock) -> bool:
    """Release a lock, if this thread holds it; whether it did."""
    try:
        lock.release()
    except RuntimeError:
        return False
    return True


def _before_fork() -> None:
    _watching.get().acquire()
    for thing in list(_watched):
        _resting.append(thing)
        thing.before_fork()


def _after_fork() -> None:
    # The list is empty if _before_fork was not called: uWSGI calls only the hooks for after a fork.
    while _resting:
        _resting.pop().after_fork()
    release(_watching.get())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
