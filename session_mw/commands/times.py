"""Times as a person reads them."""

from __future__ import annotations

from datetime import UTC, datetime

from session_mw.commands.findings import UNITS


def date(at: int) -> str:
    """A Unix time: ``2026-11-24 04:01:29 UTC``."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return f"{at} seconds after 1970, which no calendar holds"


def ago(seconds: int) -> str:
    """How long ago something was, in its largest unit: ``2 hours ago``; ``3 days in the future``."""
    size, unit = next((unit for unit in UNITS if abs(seconds) >= unit[0]), UNITS[-1])
    count = abs(seconds) // size
    return f"{count} {unit}{'' if count == 1 else 's'} {'ago' if seconds >= 0 else 'in the future'}"
