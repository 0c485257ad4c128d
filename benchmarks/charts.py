"""Draws the charts in docs/ from recorded figures; nothing is measured.

    python benchmarks/charts.py

reads ``recorded.json`` beside it, which ``bench.py --docs`` writes. The bytes of a chart depend on the figures and on
the release of matplotlib alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from reports import micro

HERE = Path(__file__).resolve().parent
RECORD = HERE / "recorded.json"
DOCS = HERE.parent / "docs"

INK, PAPER, OURS, OTHERS = "#1f2328", "#ffffff", "#2452c9", "#9aa4b0"
AT_NIGHT = {INK: "#e6edf3", PAPER: "#131416", OURS: "#8db0ff", OTHERS: "#5b6570"}
"""The colour that takes another's place where the reader's display is dark."""
IN_THE_SMALL_CHART = {
    "session_mw": "session_mw",
    "Beaker": "Beaker, cookie",
    "Django": "Django",
    "Flask": "Flask",
}


class Chart(NamedTuple):
    """What draws a part's figures into a matplotlib figure, and what the picture is called."""

    part: str
    title: str
    draw: Callable[[Any, Any], None]


def draw_all(parts: Mapping[str, Any], directory: Path) -> None:
    """Draw the chart of each part that is there, as SVG files.

    Args:
        parts: Figures by the name of a part, as in ``recorded.json``.
        directory: Where the files go.
    """
    for name, chart in CHARTS.items():
        if chart.part in parts:
            _save(chart, parts[chart.part], directory / f"{name}.svg")


def _save(chart: Chart, figures: Any, file: Path) -> None:
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
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    chart.draw(figure, figures)
    figure.savefig(file, metadata={"Date": None, "Creator": None, "Title": chart.title})
    file.write_text(file.read_text().replace("<defs>", f"{style}\n <defs>", 1))


def _in_a_cookie(figure: Any, figures: Mapping[str, Mapping[str, float]]) -> None:
    """For users: what a session costs beside three other libraries."""
    figure.set_size_inches(7.3, 2.6)
    figure.suptitle("Microseconds per request with a session in a cookie (shorter is better)", x=0.01, ha="left")
    groups = figure.subplots(1, 3, sharex=True, sharey=True)
    for axes, group in zip(groups, ("untouched", "read", "write"), strict=True):
        costs = [figures[f"{group} 100 B"][name] for name in IN_THE_SMALL_CHART.values()]
        bars = axes.barh(list(IN_THE_SMALL_CHART), costs, height=0.7, color=[OURS, *[OTHERS] * 3])
        axes.bar_label(bars, [micro(cost) for cost in costs], padding=3, color=INK)
        axes.set_title(group, loc="left", fontsize=10, fontweight="bold")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        axes.set_xticks([])
        axes.margins(x=0.2)
    groups[0].invert_yaxis()


def _in_process(figure: Any, figures: Mapping[str, Mapping[str, float]]) -> None:
    """For makers: everybody in every scenario."""
    cells = {name.removesuffix(" 100 B"): costs for name, costs in figures.items() if name.endswith(" 100 B")}
    contenders = list(dict.fromkeys(name for costs in cells.values() for name in costs))
    axes = figure.subplots()
    width = 0.9 / len(contenders)
    for n, one in enumerate(contenders):
        heights = [costs.get(one, 0) for costs in cells.values()]
        axes.bar([x + n * width for x in range(len(cells))], heights, width, label=one)
    axes.set_yscale("log")
    axes.set_ylabel("µs per request (logarithmic)")
    axes.set_xticks([x + 0.4 for x in range(len(cells))], [name.replace(", ", ",\n") for name in cells], fontsize=8)
    axes.legend(ncols=4, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1))


def _growth(figure: Any, figures: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
    """What a request costs when there is more of everything."""
    for number, (axis, curves) in enumerate(figures.items(), 1):
        axes = figure.add_subplot(2, 4, number)
        amounts = [int(amount) for curve in curves.values() for amount in curve]
        for name, curve in curves.items():
            axes.plot([int(amount) for amount in curve], list(curve.values()), marker="o", markersize=3, label=name)
        if max(amounts) >= 1000:
            axes.set(xscale="log", yscale="log")
        else:
            axes.set_ylim(bottom=0)
        axes.set_xlabel(axis.replace(", ", ",\n"), fontsize=8)
        axes.set_ylabel("µs", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.legend(fontsize=7)


CHARTS = {
    "benchmarks": Chart("in_process", "Microseconds per request with a session in a cookie", _in_a_cookie),
    "benchmarks-in-process": Chart("in_process", "In process", _in_process),
    "benchmarks-growth": Chart("growth", "Growth", _growth),
}
"""The charts, by the name of their file."""


if __name__ == "__main__":
    draw_all(json.loads(RECORD.read_text())["parts"], DOCS)
