"""A clock that tests move."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Clock:
    """What ``time.time()`` says."""

    now: float

    def advance(self, seconds: float) -> None:
        self.now += seconds
