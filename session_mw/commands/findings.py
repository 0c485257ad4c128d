"""What ``session-mw audit`` finds."""

from __future__ import annotations

from typing import NamedTuple

OK, WARN, FAIL = "ok", "warn", "FAIL"


class Finding(NamedTuple):
    """One attribute, judged."""

    attribute: str
    """The setting, or what it leads to."""
    value: str
    """What it is; of a key only its length."""
    verdict: str
    """:data:`OK`, :data:`WARN` or :data:`FAIL`."""
    why: str
    """Why it matters."""
    standard: str
    """Items of standards that ask for it."""
