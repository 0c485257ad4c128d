"""How many calls go on at once."""

from __future__ import annotations

import threading
import time
import weakref

# A place given back by the garbage collector wakes nobody.
_LOOKS_AGAIN = 0.1


class Place:
    """Held by a call while it goes on."""

    __slots__ = ("__weakref__",)


class Gate:
    """Lets a number of calls in at once; the others wait.

    A place is free again when it is given back, and also when its holder is gone: what interrupts
    a call (an exception set from outside, a killed greenlet) between two instructions loses no place.
    A semaphore, or the count of SQLAlchemy's own pool, would be one short from then on.

    Args:
        places: How many.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._held: weakref.WeakSet[Place] = weakref.WeakSet()
        self._change = threading.Condition(threading.Lock())

    def enter(self, ends: float) -> Place | None:
        """Wait for a place, until ``ends`` on the clock of :func:`time.monotonic`; None if there was none."""
        place = Place()
        with self._change:
            while len(self._held) >= self._places:
                left = ends - time.monotonic()
                if left <= 0:
                    return None
                self._change.wait(min(left, _LOOKS_AGAIN))
            self._held.add(place)
        return place

    def leave(self, place: Place) -> None:
        """Give a place back."""
        with self._change:
            self._held.discard(place)
            self._change.notify()
