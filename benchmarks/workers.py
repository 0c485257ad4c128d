"""One process for each contender, so that none warms or fragments the memory of another.

A library that gives back large buffers to the system pays for them again at each call; in
a process that others have filled it would look cheaper than it is where it is used alone.
"""

from __future__ import annotations

import gc
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from typing import Any

from contenders import BARE, FLOOR, OURS
from driving import requests_of
from flask_format import FLASK, INTERFACE
from peers import BEAKER, DJANGO, PYRAMID, STARLETTE
from scenarios import KEY, SCENARIOS, Contender, sized
from timing import request_timer

CONTENDERS = (BARE, FLOOR, OURS, INTERFACE, FLASK, STARLETTE, BEAKER, PYRAMID, DJANGO)


class Worker:
    """A process that times one contender's requests when it is told to."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def prepare(self, scenario: str, size: int) -> Callable[[int], float]:
        """Build the application; the timer takes a number of calls and gives µs per request."""
        self._connection.send((scenario, size))
        self._connection.recv()
        return self._timed

    def _timed(self, calls: int) -> float:
        self._connection.send(calls)
        took: float = self._connection.recv()
        return took


@contextmanager
def workers(contenders: Sequence[Contender]) -> Iterator[dict[str, Worker]]:
    """Start a process for each contender, and end them."""
    with ExitStack() as stack:
        yield {one.name: stack.enter_context(_worker(one.name)) for one in contenders}


@contextmanager
def _worker(name: str) -> Iterator[Worker]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_work, args=(name, there), daemon=True)
    process.start()
    try:
        yield Worker(here)
    finally:
        process.kill()
        process.join()
        here.close()


def _work(name: str, connection: Any) -> None:
    """What runs in the process."""
    (contender,) = (one for one in CONTENDERS if one.name == name)
    timer: Callable[[int], float] | None = None
    gc.disable()
    while True:
        order = connection.recv()
        if isinstance(order, int) and timer is not None:
            connection.send(timer(order))
        else:
            timer = _prepared(contender, *order)
            gc.collect()
            connection.send(True)


def _prepared(contender: Contender, scenario_name: str, size: int) -> Callable[[int], float]:
    (scenario,) = (one for one in SCENARIOS if one.name == scenario_name)
    # The bare application is sent what we are sent.
    environs = requests_of(OURS if contender is BARE else contender, scenario, sized(size, scenario.permanent))
    return request_timer(contender.build(scenario, KEY), *environs)
