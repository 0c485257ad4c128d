"""What the sections of the page are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from xml.etree.ElementTree import Element

from session_mw.backends.explanation import Explanation
from session_mw.commands.report import date
from session_mw.inspector.html import Child, element, plural
from session_mw.manager import SessionManager

_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


@dataclass(frozen=True)
class Request:
    """What all sections are about."""

    sessions: SessionManager
    environ: Mapping[str, Any]
    explanation: Explanation
    now: int
    """Unix time."""

    @property
    def https(self) -> bool:
        """Whether the request came over https."""
        return self.environ.get("wsgi.url_scheme") == "https"


def card(title: str, *children: Child, name: str, level: int, note: str = "") -> Element:
    """A section with a heading.

    Args:
        name: Its id in the page.
        level: The heading's.
        note: What stands under the heading.
    """
    return element(
        "section",
        element(f"h{level}", title, id=name),
        element("p", note, class_="note") if note else None,
        *children,
        class_="card",
        aria_labelledby=name,
    )


def table(caption: str, heads: Sequence[str], body: Sequence[Element], class_: str) -> Element:
    """A table with a head for each column; the caption is for those who do not see where it stands.

    The roles are those that the elements have anyway. Browsers take them away from a table that is laid out as a
    grid, as this one is on narrow screens.
    """
    columns = [element("th", head, scope="col", role="columnheader") for head in heads]
    return element(
        "table",
        element("caption", caption, class_="unseen"),
        element("thead", element("tr", *columns, role="row"), role="rowgroup"),
        element("tbody", *body, role="rowgroup"),
        class_=class_,
        role="table",
    )


def row(head: Child, *cells: Child, class_: str | None = None) -> Element:
    """A row of a table, with its head."""
    return element(
        "tr",
        element("th", head, scope="row", role="rowheader"),
        *(element("td", cell, role="cell") for cell in cells),
        class_=class_,
        role="row",
    )


def code(text: str) -> Element:
    """A name or a value, kept apart from the text around it whatever its direction of writing."""
    return element("code", element("bdi", text))


def moment(at: int) -> Element:
    """A time in UTC, as people and as programs read it."""
    text = date(at).removesuffix(" UTC")
    try:
        machine = datetime.fromtimestamp(at, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        machine = None
    return element("time", text, datetime=machine) if machine else element("span", text)


def duration(seconds: int) -> str:
    """A duration in its two largest units: ``30 days 23 hours``."""
    left, words = abs(seconds), []
    for size, unit in _UNITS:
        count, rest = divmod(left, size)
        if count:
            words.append(plural(count, unit))
            left = rest
        if len(words) == 2 or (words and not count):
            break
    return " ".join(words) or "0 seconds"


def from_now(at: int, now: int) -> str:
    """``in 5 minutes``, ``now`` or ``2 hours 1 minute ago``."""
    if at == now:
        return "now"
    return f"in {duration(at - now)}" if at > now else f"{duration(now - at)} ago"
