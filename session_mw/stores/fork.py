"""Keep stores whole across a fork (gunicorn's ``--preload``, multiprocessing).

A lock held by another thread at the fork would stay locked in the child for ever, and an
SQLite connection must not be carried over at all (https://www.sqlite.org/howtocorrupt.html,
section 2.6). Before a fork each watched object therefore comes to rest.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol


class Forkable(Protocol):
    """Something that has to be at rest while the process forks."""

    def before_fork(self) -> None:
        """Wait for other threads, take the locks, let go of what cannot be shared."""

    def after_fork(self) -> None:
        """Release the locks, in the parent as in the child."""


_watching = threading.RLock()
_watched: weakref.WeakSet[Forkable] = weakref.WeakSet()
_resting: list[Forkable] = []
_forks: list[None] = []
"""One for each fork under way that was told of beforehand."""


def watch(thing: Forkable) -> None:
    """Bring ``thing`` to rest before each fork, for as long as it lives."""
    with _watching:
        _watched.add(thing)


def _before_fork() -> None:
    _watching.acquire()
    _forks.append(None)
    for thing in list(_watched):
        thing.before_fork()
        _resting.append(thing)


def _after_fork() -> None:
    if not _forks:
        # uWSGI tells only of what comes after a fork; all that is open then is what was used before it.
        return
    _forks.pop()
    while _resting:
        _resting.pop().after_fork()
    _watching.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
