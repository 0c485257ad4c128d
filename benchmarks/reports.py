"""What a part of the benchmark found: tables for people, figures for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Table(NamedTuple):
    """Rows of text; the first column holds names."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        """For a terminal."""
        lines = [list(self.columns), *map(list, self.rows)]
        widths = [max(len(line[n]) for line in lines) for n in range(len(self.columns))]
        shown = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in lines]
        return "\n".join(["", self.title, "-" * len(shown[0]), *shown])

    def markdown(self) -> str:
        """For a page."""
        head = "| " + " | ".join(self.columns) + " |"
        rule = "|---" + "|--:" * (len(self.columns) - 1) + "|"
        return "\n".join([f"**{self.title}**", "", head, rule, *("| " + " | ".join(row) + " |" for row in self.rows)])


class Promise(NamedTuple):
    """A ratio that was measured, and the bound that it has to keep."""

    what: str
    measured: float
    bound: float
    at_least: bool
    """True: the ratio may not be lower than the bound; False: it may not be higher."""

    def row(self) -> list[str]:
        kept = self.measured >= self.bound if self.at_least else self.measured <= self.bound
        sign = "≥" if self.at_least else "≤"
        return [self.what, f"{self.measured:.2f}", f"{sign} {self.bound:g}", "yes" if kept else "NO"]


def promises_table(promises: Sequence[Promise]) -> Table:
    """All promises, kept or not."""
    return Table("Promises", ("", "measured", "bound", "kept"), [promise.row() for promise in promises])


@dataclass
class Report:
    """One part's result."""

    name: str
    title: str
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    """What ``charts.py`` draws, and what is compared with figures of another day; only what JSON holds."""
    charts: list[str] = field(default_factory=list)
    """Those of ``charts.CHARTS`` that stand below the tables on the page."""

    def text(self) -> str:
        """For a terminal."""
        return "\n".join([f"\n== {self.title} ==", *(t.text() for t in self.tables), *(f"  {n}" for n in self.notes)])

    def markdown(self) -> str:
        """For a page; the charts lie beside it."""
        images = [f"![{self.title}]({name}.svg)" for name in self.charts]
        return "\n\n".join([f"## {self.title}", *(t.markdown() for t in self.tables), *self.notes, *images])


def micro(value: float | None) -> str:
    """Microseconds with two digits that mean something."""
    if value is None:
        return "refuses"
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 20 else f"{value:.0f}"
