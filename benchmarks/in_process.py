"""Microseconds per request, without a server.

Each contender has a process for itself, so that none warms or fragments the memory of
another. A library that gives large buffers back to the system pays for them again at each
call; in a process that others have filled it would look cheaper than it is.
"""

from __future__ import annotations

import gc
import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import product
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from contenders import BARE, OURS
from driving import check, requests_of
from peers import BEAKER, DJANGO, FLASK, FLASK_WHOLE, PYRAMID, STARLETTE
from reports import Promise, Report, Table, micro, promises_table
from scenarios import FORGED, KEY, NO_COOKIE, SCENARIOS, SIZES, Contender, Scenario, sized
from timing import Rounds, by_turns, ratio, request_timer, typical

CONTENDERS = (BARE, OURS, FLASK, FLASK_WHOLE, STARLETTE, BEAKER, PYRAMID, DJANGO)

# How many times as fast: about two thirds of what was measured, so that a busy machine breaks no promise.
# What becomes slower by less is seen by instructions.py.
AS_FAST_AS = {
    ("no cookie", "100 B"): (FLASK, 15.0),
    ("untouched", "100 B"): (FLASK, 15.0),
    ("read", "100 B"): (FLASK, 10.0),
    ("read, strangers", "100 B"): (FLASK, 4.0),
    ("write", "100 B"): (FLASK, 6.0),
    ("refresh", "100 B"): (FLASK, 15.0),
    ("forged", "100 B"): (FLASK, 7.0),
    ("read", "3 KB"): (FLASK, 5.0),
    ("write", "3 KB"): (FLASK, 4.0),
}
AS_FAST_AS_STARLETTE = {"read": 2.0, "write": 1.2}


class Cell(NamedTuple):
    """One scenario with one size of data."""

    scenario: Scenario
    size: str

    def __str__(self) -> str:
        return f"{self.scenario.name} {self.size}"


CELLS = [Cell(s, size) for s, size in product(SCENARIOS, SIZES) if size == "100 B" or s not in (NO_COOKIE, FORGED)]


def run(quick: bool) -> Report:
    """Measure every cell."""
    rounds = 9 if quick else 35
    with ExitStack() as stack:
        workers = {one.name: stack.enter_context(_worker(one.name)) for one in CONTENDERS}
        found = {}
        for cell in CELLS:
            timers = {one.name: _remote_timer(workers[one.name], cell) for one in able(cell)}
            found[cell] = by_turns(timers, rounds=rounds, turn_us=2500)
    report = Report("in_process", "In process")
    report.tables = [*(_times(found, size) for size in SIZES), promises_table(_promises(found))]
    report.notes.append(
        "µs per request, lower quartiles of interleaved rounds, each contender in a process of its own; same "
        "environ for all, garbage collector off. *Flask* is its session interface alone, *Flask, whole* an "
        "application with one view. Peers that keep no refresh of their own are told to save. One "
        "visitor comes again and again, as a browser does that fetches a page and what is in it; with *strangers* 400 "
        "take turns, so that session_mw, which keeps what was in the last 256 tokens, knows none."
    )
    report.figures = {str(cell): {name: typical(rounds, name) for name in rounds} for cell, rounds in found.items()}
    report.charts.append("benchmarks-in-process")
    return report


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


@contextmanager
def _worker(name: str) -> Iterator[Connection]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_work, args=(name, there), daemon=True)
    process.start()
    try:
        yield here
    finally:
        process.kill()
        process.join()
        here.close()


def _remote_timer(worker: Connection, cell: Cell) -> Callable[[int], float]:
    """Have a worker build an application; the timer takes a number of calls and gives µs per request."""
    worker.send((cell.scenario.name, SIZES[cell.size]))
    worker.recv()

    def timed(calls: int) -> float:
        worker.send(calls)
        took: float = worker.recv()
        return took

    return timed


def _work(name: str, connection: Any) -> None:
    """What runs in a worker: it times its contender's requests when it is told to."""
    (contender,) = (one for one in CONTENDERS if one.name == name)
    timer: Any = None
    gc.disable()
    while True:
        order = connection.recv()
        if isinstance(order, int):
            connection.send(timer(order))
            continue
        scenario_name, size = order
        (scenario,) = (one for one in SCENARIOS if one.name == scenario_name)
        # The bare application is sent what we are sent.
        environs = requests_of(OURS if contender is BARE else contender, scenario, sized(size, scenario.permanent))
        timer = request_timer(contender.build(scenario, KEY), *environs)
        gc.collect()
        connection.send(True)


def _promises(found: dict[Cell, Rounds]) -> list[Promise]:
    bounds = AS_FAST_AS | {
        (name, size): (STARLETTE, bound) for (name, bound), size in product(AS_FAST_AS_STARLETTE.items(), ("1 KB",))
    }
    by_name = {(cell.scenario.name, cell.size): rounds for cell, rounds in found.items()}
    return [
        Promise(
            f"{name}, {size}: times as fast as {peer.name}",
            ratio(by_name[name, size], peer.name, OURS.name),
            bound,
            at_least=True,
        )
        for (name, size), (peer, bound) in bounds.items()
    ]


def _times(found: dict[Cell, Rounds], size: str) -> Table:
    cells = [cell for cell in found if cell.size == size]
    rows = [
        [one.name, *(micro(typical(found[c], one.name) if one.name in found[c] else None) for c in cells)]
        for one in CONTENDERS
    ]
    return Table(f"µs per request, {size} of JSON", ["", *(cell.scenario.name for cell in cells)], rows)
