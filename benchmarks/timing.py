"""Time by turns, on a machine that does other work too."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle, islice, repeat
from typing import Any, TypeAlias

from scenarios import App, Environ

Work: TypeAlias = Callable[[], object]
Rounds: TypeAlias = dict[str, list[float]]
"""Microseconds per call of each contender, one number per round."""


def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
    """A server's, that throws away what it hears."""


def request_timer(app: App, *environs: Environ) -> Callable[[int], float]:
    """Times a number of requests, in µs for each; several environs take turns."""
    turns = cycle(environs)

    def timed(calls: int) -> float:
        serve, start = app, start_response
        began = time.perf_counter()
        for environ in islice(turns, calls):
            serve(environ.copy(), start)
        return (time.perf_counter() - began) / calls * 1e6

    return timed


def singly(work: Work) -> Callable[[int], float]:
    """Times each call by itself, in µs: for calls that wait for a server or a disk."""

    def timed(calls: int) -> float:
        clock, took = time.perf_counter, []
        for _ in repeat(None, calls):
            began = clock()
            work()
            took.append(clock() - began)
        return undisturbed(took) * 1e6

    return timed


def by_turns(timers: Mapping[str, Callable[[int], float]], *, rounds: int, turn_us: float) -> Rounds:
    """Time all by turns, so that a slow moment of the machine slows all alike.

    Args:
        rounds: How often each has its turn.
        turn_us: About how long a turn is, in microseconds.
    """
    # The collector would run in one contender's turn because of another's objects.
    gc.collect()
    gc.disable()
    try:
        counts = {name: max(1, int(turn_us / _first_look(timer))) for name, timer in timers.items()}
        found: Rounds = {name: [] for name in timers}
        for number in range(rounds):
            for name in list(timers)[:: 1 if number % 2 else -1]:
                found[name].append(timers[name](counts[name]))
    finally:
        gc.enable()
    return found


def undisturbed(took: Sequence[float]) -> float:
    """The lower quartile: what had to wait for other processes as well says nothing of this one."""
    return sorted(took)[len(took) // 4]


def typical(rounds: Rounds, name: str) -> float:
    """What a contender takes, in microseconds."""
    return undisturbed(rounds[name])


def ratio(rounds: Rounds, name: str, to: str) -> float:
    """How many times as long one takes as another."""
    return typical(rounds, name) / typical(rounds, to)


def _first_look(timer: Callable[[int], float]) -> float:
    timer(20)
    return max(0.05, min(timer(5) for _ in range(3)))
