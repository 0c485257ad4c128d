"""What the commands print: findings as a table, durations and times."""

from __future__ import annotations

import shutil
import textwrap
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

OK, WARN, FAIL = "ok", "warn", "FAIL"
_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


class Finding(NamedTuple):
    """One attribute of a configuration, judged."""

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


def as_table(findings: Sequence[Finding]) -> str:
    """The findings for a person to read, as wide as the terminal."""
    rows = [Finding("attribute", "value", "verdict", "why it matters", ""), *findings]
    widths = [min(24, max(len(row[column]) for row in rows)) for column in range(3)]
    widths.append(max(30, shutil.get_terminal_size((120, 24)).columns - sum(widths) - 6))
    lines = []
    for row in rows:
        texts = (*row[:3], f"{row.why} [{row.standard}]" if row.standard else row.why)
        cells = [textwrap.wrap(text, width, break_on_hyphens=False) for text, width in zip(texts, widths, strict=True)]
        for number in range(max(map(len, cells))):
            parts = [cell[number] if number < len(cell) else "" for cell in cells]
            lines.append("  ".join(f"{part:{width}}" for part, width in zip(parts, widths, strict=True)).rstrip())
    return "\n".join(lines)


def summary(findings: Sequence[Finding], not_judged: Sequence[str]) -> str:
    """How many findings have each verdict, which ones fail, and which items of ASVS only the application can answer."""
    counts = Counter(finding.verdict for finding in findings)
    failed = ", ".join(finding.attribute for finding in findings if finding.verdict == FAIL)
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in (OK, WARN, FAIL))
    text = f"{len(findings)} judged: {told}{f' ({failed})' if failed else ''}."
    text += f" Not judged, the application's own: ASVS {', '.join(not_judged)}."
    return textwrap.fill(text, max(60, shutil.get_terminal_size((120, 24)).columns), break_on_hyphens=False)


def span(seconds: int) -> str:
    """A duration in words, exactly: ``31 days``, ``90 minutes``."""
    size, unit = next(unit for unit in _UNITS if seconds % unit[0] == 0)
    return f"{seconds // size} {unit}{'' if seconds == size else 's'}"


def date(at: int) -> str:
    """A Unix time: ``2026-11-24 04:01:29 UTC``."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return f"{at} seconds after 1970, which no calendar holds"


def ago(seconds: int) -> str:
    """How long ago something was, in its largest unit: ``2 hours ago``; ``3 days in the future``."""
    size, unit = next((unit for unit in _UNITS if abs(seconds) >= unit[0]), _UNITS[-1])
    count = abs(seconds) // size
    return f"{count} {unit}{'' if count == 1 else 's'} {'ago' if seconds >= 0 else 'in the future'}"
