"""A whole server, waitress, under the load of wrk with 8 connections.

python benchmarks/server.py NAME SCENARIO PORT    serves one contender until it is killed
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from typing import NamedTuple, TypeAlias

import waitress

from contenders import BARE, OURS
from driving import request_cookie
from peers import BEAKER, FLASK_WHOLE, STARLETTE
from reports import Promise, Report, Table, promises_table
from scenarios import BODY, KEY, READ, UNTOUCHED, WRITE, App, Environ, StartResponse, sized

HOST = "127.0.0.1"
CONTENDERS = {one.name: one for one in (BARE, OURS, FLASK_WHOLE, STARLETTE, BEAKER)}
SCENARIOS = {scenario.name: scenario for scenario in (UNTOUCHED, READ, WRITE)}
OF_THE_BARE_APP = {"untouched": 0.92, "read": 0.80, "write": 0.75}
TIMES_FLASK = 2.0
CONNECTIONS = 8
DATA = sized(100)


class Pair(NamedTuple):
    """Who serves what."""

    name: str
    scenario: str

    def __str__(self) -> str:
        return f"{self.name}, {self.scenario}"


class Served(NamedTuple):
    """A running server and what wrk sends it."""

    pair: Pair
    port: int
    cookie: str


Rates: TypeAlias = dict[Pair, list[float]]
"""Requests per second in each round."""


def run(quick: bool, full: bool) -> Report:
    """Load each server by turns, in a new process each time: where its memory lies makes a tenth."""
    report = Report("server", "Whole server")
    if shutil.which("wrk") is None:
        report.notes.append("Left out: there is no wrk here (Debian: apt-get install wrk).")
        return report
    pairs = [Pair(n, s) for n, s in product(CONTENDERS, SCENARIOS) if n != BARE.name or s == "untouched"]
    rates: Rates = {pair: [] for pair in pairs}
    for _ in range(2 if quick else 15 if full else 5):
        for pair in pairs:
            with _serving(pair) as server:
                rates[pair].append(_load(server, seconds=1))
    report.tables = [_rates_table(rates), promises_table(_promises(rates))]
    report.notes.append(
        f"Requests per second of waitress with its defaults, wrk with {CONNECTIONS} connections, each on a core of "
        "its own, upper quartiles of interleaved rounds of one second, each with a new process; in brackets "
        "the part of the bare app's. Starlette's middleware is driven by hand under waitress too."
    )
    report.figures = {str(pair): _undisturbed(found) for pair, found in rates.items()}
    return report


def _on_core(number: int) -> list[str]:
    """What keeps a command on one core.

    A server's threads that fight for the interpreter's lock on two cores lose up to four fifths of the requests, and
    not the same part in one second and the next.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return ["taskset", "-c", str(cores[number])] if len(cores) > 1 and shutil.which("taskset") else []


@contextmanager
def _serving(pair: Pair) -> Iterator[Served]:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port = listener.getsockname()[1]
    contender = OURS if pair.name == BARE.name else CONTENDERS[pair.name]
    command = [*_on_core(0), sys.executable, __file__, *pair, str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        _wait_for(port)
        server = Served(pair, port, request_cookie(contender, SCENARIOS[pair.scenario], DATA) or "")
        _check(server)
        yield server
    finally:
        process.kill()
        process.wait()


def _wait_for(port: int) -> None:
    end = time.monotonic() + 20
    while True:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


def _check(server: Served) -> None:
    request = urllib.request.Request(f"http://{HOST}:{server.port}/", headers={"Cookie": server.cookie})
    with urllib.request.urlopen(request, timeout=5) as response:
        sends = response.headers["Set-Cookie"] is not None
        if response.read() != BODY[0] or (server.pair.scenario == "write" and not sends):
            raise AssertionError(f"{server.pair}: not the answer that was expected")


def _load(server: Served, seconds: int) -> float:
    command = [*_on_core(-1), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-H", f"Cookie: {server.cookie}"]
    output = subprocess.run(
        [*command, f"http://{HOST}:{server.port}/"], capture_output=True, text=True, check=True
    ).stdout
    rate = re.search(r"Requests/sec:\s+([0-9.]+)", output)
    if rate is None or "Non-2xx" in output:
        raise AssertionError(f"{server.pair}: {output}")
    return float(rate[1])


def _undisturbed(found: list[float]) -> float:
    """The upper quartile: what other processes slowed down as well says nothing of this one."""
    return sorted(found)[len(found) * 3 // 4]


def _share(rates: Rates, name: str, of: str, scenario: str) -> float:
    """The median of the rounds' ratios, whose two halves had about the same company."""
    wanted = "untouched" if of == BARE.name else scenario
    rounds = zip(rates[Pair(name, scenario)], rates[Pair(of, wanted)], strict=True)
    return statistics.median(a / b for a, b in rounds)


def _rates_table(rates: Rates) -> Table:
    rows = []
    for name in CONTENDERS:
        row = [name]
        for scenario in SCENARIOS:
            found = rates.get(Pair(name, scenario))
            row.append(f"{_undisturbed(found):.0f} [{_share(rates, name, BARE.name, scenario):.0%}]" if found else "–")
        rows.append(row)
    return Table("requests per second [of the bare app's]", ["", *SCENARIOS], rows)


def _promises(rates: Rates) -> list[Promise]:
    return [
        *(
            Promise(
                f"{scenario}: part of the bare app's requests per second",
                _share(rates, OURS.name, BARE.name, scenario),
                bound,
                at_least=True,
            )
            for scenario, bound in OF_THE_BARE_APP.items()
        ),
        *(
            Promise(
                f"{scenario}: times the requests per second of Flask",
                _share(rates, OURS.name, FLASK_WHOLE.name, scenario),
                TIMES_FLASK,
                at_least=True,
            )
            for scenario in SCENARIOS
        ),
    ]


def serve(name: str, scenario: str, port: str) -> None:
    """Serve a contender until killed."""
    app = CONTENDERS[name].build(SCENARIOS[scenario], KEY)
    if name == STARLETTE.name:
        app = _as_wsgi(app)
    # waitress warns whenever requests wait for a thread, which is what a load is for.
    logging.getLogger("waitress").setLevel(logging.ERROR)
    waitress.serve(app, host=HOST, port=int(port))


def _as_wsgi(app: App) -> App:
    """Let an ASGI shell, whose headers are bytes, run under a WSGI server."""

    def serve(environ: Environ, start_response: StartResponse) -> object:
        def start(status: str, headers: list[tuple[bytes, bytes]]) -> None:
            start_response(status, [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers])

        return app(environ, start)

    return serve  # type: ignore[return-value]


if __name__ == "__main__":
    serve(*sys.argv[1:])
