"""Part 1: microseconds per request, without a server."""

from __future__ import annotations

import statistics
import time
from itertools import product
from typing import Any, NamedTuple

import targets
from checking import check
from contenders import BARE, FLOOR, OURS
from driving import prepared
from flask_format import INTERFACE
from peers import STARLETTE
from reports import Report, Table, micro, times
from scenarios import FORGED, NO_COOKIE, ONE_VISITOR, SCENARIOS, SIZES, Contender, Scenario, sized
from targets import Promise, Verdict
from timing import Rounds, by_turns, ratio, start_response, typical, without_collector
from workers import CONTENDERS, Worker, workers

BIGGER_THAN_ALL_CACHES = 32 * 1024 * 1024


class Cell(NamedTuple):
    """One scenario with one size of data."""

    scenario: Scenario
    size: str

    def __str__(self) -> str:
        return f"{self.scenario.name} {self.size}"


CELLS = [Cell(s, size) for s, size in product(SCENARIOS, SIZES) if size == "100 B" or s not in (NO_COOKIE, FORGED)]


def able(cell: Cell) -> list[Contender]:
    """The contenders that can do the work, each of which was seen to do it.

    Raises:
        AssertionError: Some does not, or two of one format answer differently.
    """
    data = sized(SIZES[cell.size], cell.scenario.permanent)
    answers = {one: check(one, cell.scenario, data) for one in CONTENDERS if one is not BARE}
    same_bytes = {str(answer) for one, answer in answers.items() if one.format}
    if len(same_bytes) != 1:
        raise AssertionError(f"{cell}: different headers for the same work: {same_bytes}")
    return [BARE, *(one for one, answer in answers.items() if answer is not None)]


def measure(cell: Cell, running: dict[str, Worker], rounds: int) -> Rounds:
    """Time everyone in one cell."""
    size = SIZES[cell.size]
    timers = {one.name: running[one.name].prepare(cell.scenario.name, size) for one in able(cell)}
    return by_turns(timers, rounds=rounds, turn_us=2500)


def run(quick: bool) -> Report:
    """Measure every cell."""
    with workers(CONTENDERS) as running:
        found = {cell: measure(cell, running, 9 if quick else 35) for cell in CELLS}
    evicted = {s: measure_evicted(s, 15 if quick else 60) for s in ONE_VISITOR}
    report = Report("in_process", "In process")
    report.tables = [*(_times(found, size) for size in SIZES), _above_floor(found), _evicted_table(evicted)]
    report.tables.append(targets.table("Beside the peers", verdicts(found)))
    report.notes.append(
        "µs per request, medians of interleaved rounds, each contender in a process of its own; same environ for all, "
        "garbage collector off. A ratio is the median of the rounds' ratios. Peers that keep no refresh of their own "
        "are told to save. One visitor comes again and again, as a browser does that fetches a page and what is in it; "
        "with *strangers* 400 take turns, so that session_mw, which keeps what was in the last 256 tokens, knows none."
    )
    report.figures = {str(cell): _figures(rounds) for cell, rounds in found.items()}
    report.figures |= {f"{s.name} evicted": _figures(rounds) for s, rounds in evicted.items()}
    report.plots["benchmarks-in-process"] = lambda figure: _plot(figure, found)
    return report


def measure_evicted(scenario: Scenario, rounds: int) -> Rounds:
    """Time single calls, each after memory as large as the processor's caches was gone through."""
    data = sized(100, scenario.permanent)
    timers = {}
    for one in (BARE, FLOOR, OURS):
        app, environ = prepared(OURS if one is BARE else one, scenario, data)
        timers[one.name] = (BARE.build(scenario, "") if one is BARE else app, environ)
    found: Rounds = {name: [] for name in timers}
    memory = bytearray(BIGGER_THAN_ALL_CACHES)
    with without_collector():
        for _ in range(rounds):
            for name, (app, environ) in timers.items():
                copy = environ.copy()
                memory[::64] = memory[::64]
                began = time.perf_counter()
                app(copy, start_response)
                found[name].append((time.perf_counter() - began) * 1e6)
    return found


def verdicts(found: dict[Cell, Rounds]) -> list[Verdict]:
    """What the run says of the promises."""
    bounds = [(INTERFACE, *key, bound) for key, bound in targets.BEATS_FLASK.items()]
    bounds += [(STARLETTE, *key, targets.BEATS_STARLETTE) for key in product(("read", "write"), SIZES)]
    by_name = {(cell.scenario.name, cell.size): rounds for cell, rounds in found.items()}
    said = []
    for peer, name, size, bound in bounds:
        mine, floor = (ratio(by_name[name, size], peer.name, one.name) for one in (OURS, FLOOR))
        said.append(Verdict(Promise(f"{name} {size}: times as fast as {peer.name}", bound, True), mine, floor))
    worst = max((ratio(rounds, OURS.name, FLOOR.name), str(cell)) for cell, rounds in found.items())
    said.append(Verdict(Promise(f"at most above the floor: {worst[1]}", targets.ABOVE_FLOOR, False), worst[0]))
    return said


def _times(found: dict[Cell, Rounds], size: str) -> Table:
    cells = [cell for cell in found if cell.size == size]
    rows = [
        [one.name, *(micro(typical(found[c], one.name) if one.name in found[c] else None) for c in cells)]
        for one in CONTENDERS
    ]
    return Table(f"µs per request, {size} of JSON", ["", *(cell.scenario.name for cell in cells)], rows)


def _above_floor(found: dict[Cell, Rounds]) -> Table:
    names = [s.name for s in SCENARIOS]
    rows = []
    for size in SIZES:
        at = {c.scenario.name: ratio(r, OURS.name, FLOOR.name) for c, r in found.items() if c.size == size}
        rows.append([size, *(times(at.get(name)) for name in names)])
    return Table("session_mw's time beside the floor's (1.00: as fast)", ["", *names], rows)


def _evicted_table(evicted: dict[Scenario, Rounds]) -> Table:
    contenders = (BARE, FLOOR, OURS)
    rows = [[one.name, *(micro(typical(r, one.name)) for r in evicted.values())] for one in contenders]
    rows.append(["session_mw / floor", *(times(_of_medians(r)) for r in evicted.values())])
    return Table("µs per request with the processor's caches evicted before each, 100 B", _head(evicted), rows)


def _of_medians(rounds: Rounds) -> float:
    return typical(rounds, OURS.name) / typical(rounds, FLOOR.name)


def _head(evicted: dict[Scenario, Rounds]) -> list[str]:
    return ["", *(scenario.name for scenario in evicted)]


def _figures(rounds: Rounds) -> dict[str, Any]:
    return {name: {"median": statistics.median(took), "min": min(took)} for name, took in rounds.items()}


def _plot(figure: Any, found: dict[Cell, Rounds]) -> None:
    cells = [cell for cell in found if cell.size == "100 B"]
    axes = figure.subplots()
    width = 0.9 / len(CONTENDERS)
    for n, one in enumerate(CONTENDERS):
        heights = [typical(found[cell], one.name) if one.name in found[cell] else 0 for cell in cells]
        axes.bar([x + n * width for x in range(len(cells))], heights, width, label=one.name)
    axes.set_yscale("log")
    axes.set_ylabel("µs per request (logarithmic)")
    names = [cell.scenario.name.replace(", ", ",\n") for cell in cells]
    axes.set_xticks([x + 0.4 for x in range(len(cells))], names, fontsize=8)
    axes.legend(ncols=5, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1))
