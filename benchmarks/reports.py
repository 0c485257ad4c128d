"""What a part of the benchmark found: tables for people, figures for programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

Figures: TypeAlias = dict[str, Any]
Plot: TypeAlias = Callable[[Any], None]
"""Draws into a matplotlib figure."""


class Table(NamedTuple):
    """Rows of text; the first column holds names."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        """For a terminal."""
        lines = [list(self.columns), *map(list, self.rows)]
        widths = [max(len(line[n]) for line in lines) for n in range(len(self.columns))]
        shown = ["  ".join(_cell(cell, widths[n], n) for n, cell in enumerate(line)) for line in lines]
        return "\n".join(["", self.title, "-" * len(shown[0]), *shown])

    def markdown(self) -> str:
        """For a page."""
        head = "| " + " | ".join(self.columns) + " |"
        rule = "|---" + "|--:" * (len(self.columns) - 1) + "|"
        return "\n".join([f"**{self.title}**", "", head, rule, *("| " + " | ".join(row) + " |" for row in self.rows)])


def _cell(text: str, width: int, column: int) -> str:
    return text.ljust(width) if column == 0 else text.rjust(width)


@dataclass
class Report:
    """One part's result."""

    name: str
    title: str
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    figures: Figures = field(default_factory=dict)
    plots: dict[str, Plot] = field(default_factory=dict)
    """Name of a file, and what draws it."""

    def text(self) -> str:
        """For a terminal."""
        return "\n".join([f"\n== {self.title} ==", *(t.text() for t in self.tables), *(f"  {n}" for n in self.notes)])

    def markdown(self) -> str:
        """For a page; the plots lie beside it."""
        images = [f"![{self.title}]({name}.svg)" for name in self.plots]
        return "\n\n".join([f"## {self.title}", *(t.markdown() for t in self.tables), *self.notes, *images])


def save_plots(report: Report, directory: Path) -> None:
    """Draw the report's plots as small SVG files whose bytes depend on the figures alone."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "session_mw", "font.size": 9})
    from matplotlib.figure import Figure

    for name, draw in report.plots.items():
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        draw(figure)
        figure.savefig(directory / f"{name}.svg", metadata={"Date": None})


def micro(value: float | None) -> str:
    """Microseconds with two digits that mean something."""
    if value is None:
        return "refuses"
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 20 else f"{value:.0f}"


def times(value: float | None) -> str:
    """A ratio."""
    if value is None:
        return "–"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"
