"""What a part of the benchmark found: tables for people, figures for programs, charts for both kinds of display."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

Plot: TypeAlias = Callable[[Any], None]
"""Draws into a matplotlib figure."""

INK, PAPER = "#1f2328", "#ffffff"
AT_NIGHT = {INK: "#e6edf3", PAPER: "#0d1117"}
"""The colour that takes another's place where the reader's display is dark."""


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
    plots: dict[str, Plot] = field(default_factory=dict)
    """Name of a file, and what draws it."""

    def text(self) -> str:
        """For a terminal."""
        return "\n".join([f"\n== {self.title} ==", *(t.text() for t in self.tables), *(f"  {n}" for n in self.notes)])

    def markdown(self) -> str:
        """For a page; the plots lie beside it. One is shown at its top, where :mod:`bench` puts it."""
        images = [f"![{self.title}]({name}.svg)" for name in self.plots if name != "benchmarks"]
        return "\n\n".join([f"## {self.title}", *(t.markdown() for t in self.tables), *self.notes, *images])


def save_plots(report: Report, directory: Path) -> None:
    """Draw the report's plots as SVG files whose bytes depend on the figures alone."""
    import matplotlib

    matplotlib.use("svg")
    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": "session_mw", "font.size": 9}
    settings |= dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK)
    settings |= dict.fromkeys(("figure.facecolor", "axes.facecolor", "legend.facecolor", "savefig.facecolor"), PAPER)
    matplotlib.rcParams.update(settings)
    from matplotlib.figure import Figure

    # The background is painted, so that the text is legible also where a page is not as light or dark as the display.
    rules = "".join(
        f'[style*="{kind}: {day}"] {{ {kind}: {night} !important }} '
        for day, night in AT_NIGHT.items()
        for kind in ("fill", "stroke")
    )
    style = f"<style>@media (prefers-color-scheme: dark) {{ {rules}}}</style>"
    for name, draw in report.plots.items():
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        draw(figure)
        file = directory / f"{name}.svg"
        figure.savefig(file, metadata={"Date": None, "Title": report.title})
        file.write_text(file.read_text().replace("<defs>", f"{style}\n <defs>", 1))


def micro(value: float | None) -> str:
    """Microseconds with two digits that mean something."""
    if value is None:
        return "refuses"
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 20 else f"{value:.0f}"
