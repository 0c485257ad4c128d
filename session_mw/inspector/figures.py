"""Two figures, in SVG: how full the cookie is, and where on its time line a session stands.

Both only repeat what a text or table beside them says, so they are hidden from screen readers. They are as wide as
there is place: positions are percentages, which the strict Content-Security-Policy leaves to attributes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element

from session_mw.cookies import MAX_COOKIE
from session_mw.inspector.html import element
from session_mw.notices import LARGE_COOKIE

_EDGE = 2.0
"""Percent at both ends that are left to the marks there."""


class Point(NamedTuple):
    """A time that matters."""

    mark: str
    """How it is drawn, a class of the stylesheet: ``past``, ``now`` or ``end``."""
    at: int
    """Unix time."""


def fill_bar(parts: Sequence[tuple[str, int]]) -> Element:
    """The 4096 bytes of a cookie, with a mark at 3.5 kB.

    Args:
        parts: Classes of the stylesheet, and bytes.
    """
    rectangles, start = [], 0
    for name, size in parts:
        end = min(start + size, MAX_COOKIE)
        rectangles.append(
            element("rect", class_=name, x=_percent(start), y=0, width=_percent(end - start), height="100%")
        )
        start = end
    mark = _percent(LARGE_COOKIE)
    return element(
        "div",
        element(
            "svg",
            *rectangles,
            element("line", class_="mark", x1=mark, x2=mark, y1=0, y2="100%"),
            class_="bar",
            width="100%",
            height=14,
            focusable="false",
        ),
        element(
            "svg",
            element("text", "0", x=0, y=14),
            element("text", "3.5 kB", x=mark, y=14, text_anchor="end"),
            element("text", f"{MAX_COOKIE}", x="100%", y=14, text_anchor="end"),
            class_="scale",
            width="100%",
            height=18,
            focusable="false",
        ),
        aria_hidden="true",
    )


def time_line(points: Sequence[Point], now: int) -> Element:
    """A line from the first of some times to the last, of which the part until now is marked."""
    times = [point.at for point in points]
    first, last = min(times), max(times)

    def place(at: int) -> str:
        return f"{_EDGE + (at - first) / max(last - first, 1) * (100 - 2 * _EDGE):.2f}%"

    ends = [point.at for point in points if point.mark == "end"]
    lived = min(now, *ends) if ends else now
    marks = [
        element("circle", class_=point.mark, cx=place(point.at), cy=12, r=5 if point.mark == "now" else 6)
        for point in points
    ]
    return element(
        "svg",
        element("line", class_="rest", x1=place(first), x2=place(last), y1=12, y2=12),
        element("line", class_="lived", x1=place(first), x2=place(lived), y1=12, y2=12),
        *marks,
        class_="line",
        width="100%",
        height=24,
        focusable="false",
        aria_hidden="true",
    )


def glyph(mark: str) -> Element:
    """The mark of a point, to stand beside its name."""
    return element(
        "svg",
        element("circle", class_=mark, cx=8, cy=8, r=5 if mark == "now" else 6),
        class_="line glyph",
        width=16,
        height=16,
        focusable="false",
        aria_hidden="true",
    )


def _percent(size: int) -> str:
    return f"{size / MAX_COOKIE * 100:.2f}%"
