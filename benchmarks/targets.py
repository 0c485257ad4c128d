"""What session_mw promises beside its peers, and what a run says of it."""

from __future__ import annotations

from typing import NamedTuple

from reports import Table, times


class Promise(NamedTuple):
    """A ratio of times, and its bound."""

    what: str
    bound: float
    at_least: bool
    """True: the ratio has to be as high as the bound; False: it may not be higher."""

    def holds(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value <= self.bound


class Verdict(NamedTuple):
    """A promise and the ratio that was measured."""

    promise: Promise
    value: float
    floor: float | None = None
    """The same ratio for the floor: what can be reached at all."""

    def row(self) -> list[str]:
        sign = "≥" if self.promise.at_least else "≤"
        kept = "yes" if self.promise.holds(self.value) else "NO"
        return [self.promise.what, times(self.value), f"{sign} {self.promise.bound:g}", kept, times(self.floor)]


def table(title: str, verdicts: list[Verdict]) -> Table:
    """All promises, kept or not."""
    return Table(title, ("promise", "measured", "bound", "kept", "the floor"), [v.row() for v in verdicts])


# (scenario, size): how many times as fast as Flask's interface
BEATS_FLASK = {
    ("no cookie", "100 B"): 30.0,
    ("untouched", "100 B"): 15.0,
    ("untouched, refresh off", "100 B"): 75.0,
    ("read", "100 B"): 10.0,
    ("write", "100 B"): 8.5,
    ("refresh", "100 B"): 17.0,
    ("forged", "100 B"): 13.0,
    ("read", "3 KB"): 5.5,
    ("write", "3 KB"): 6.5,
}
BEATS_STARLETTE = 2.0
ABOVE_FLOOR = 1.3
ABOVE_BARE_REDIS = 1.15
ABOVE_BARE_SQLITE = 1.5
OF_FLASK_SESSION_ON_REDIS = 0.67
OF_BEAKER_ON_REDIS = 0.6
OF_BEAKER_IN_MEMORY = 0.1
OF_BARE_SERVER = {"untouched": 0.92, "read": 0.80, "write": 0.75}
BEATS_FLASK_SERVER = 2.2
HOSTILE_TOKEN = 4 * 1024 * 1024
"""Bytes that a request with a hostile token may take."""
LEAK = 4096
"""Bytes by which memory may differ after many requests: dates and log records that are kept."""
