"""Part 3: a whole server, waitress, under the load of wrk with 8 connections."""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import NamedTuple, TypeAlias

import targets
from contenders import BARE, FLOOR, OURS
from driving import request_cookie
from flask_format import FLASK
from reports import Report, Table
from scenarios import BODY, sized
from serving import CONTENDERS, SCENARIOS
from targets import Promise, Verdict
from valkey_server import free_port, wait_for

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
    report.tables = [_rates_table(rates), targets.table("Beside the bare app and Flask", _verdicts(rates))]
    report.notes.append(
        f"Requests per second of waitress with its defaults, wrk with {CONNECTIONS} connections, each on a core of "
        "its own, medians of interleaved rounds of one second, each with a new process; in brackets the part of the "
        "bare app's. Starlette's middleware is driven by hand under waitress too."
    )
    report.figures = {str(pair): statistics.median(found) for pair, found in rates.items()}
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
    port, scenario = free_port(), SCENARIOS[pair.scenario]
    contender = OURS if pair.name == BARE.name else CONTENDERS[pair.name]
    script = str(Path(__file__).with_name("serving.py"))
    command = [*_on_core(0), sys.executable, script, *pair, str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_for(port)
        server = Served(pair, port, request_cookie(contender, scenario, DATA) or "")
        _check(server)
        yield server
    finally:
        process.kill()
        process.wait()


def _check(server: Served) -> None:
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}/", headers={"Cookie": server.cookie})
    with urllib.request.urlopen(request, timeout=5) as response:
        sends = response.headers["Set-Cookie"] is not None
        if response.read() != BODY[0] or (server.pair.scenario == "write" and not sends):
            raise AssertionError(f"{server.pair}: not the answer that was expected")


def _load(server: Served, seconds: int) -> float:
    command = [*_on_core(-1), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-H", f"Cookie: {server.cookie}"]
    output = subprocess.run(
        [*command, f"http://127.0.0.1:{server.port}/"], capture_output=True, text=True, check=True
    ).stdout
    rate = re.search(r"Requests/sec:\s+([0-9.]+)", output)
    if rate is None or "Non-2xx" in output:
        raise AssertionError(f"{server.pair}: {output}")
    return float(rate[1])


def _share(rates: Rates, name: str, of: str, scenario: str) -> float:
    """The median of the rounds' ratios."""
    wanted = "untouched" if of == BARE.name else scenario
    rounds = zip(rates[Pair(name, scenario)], rates[Pair(of, wanted)], strict=True)
    return statistics.median(a / b for a, b in rounds)


def _rates_table(rates: Rates) -> Table:
    rows = []
    for name in CONTENDERS:
        row = [name]
        for scenario in SCENARIOS:
            found = rates.get(Pair(name, scenario))
            row.append(
                f"{statistics.median(found):.0f} [{_share(rates, name, BARE.name, scenario):.0%}]" if found else "–"
            )
        rows.append(row)
    return Table("requests per second [of the bare app's]", ["", *SCENARIOS], rows)


def _verdicts(rates: Rates) -> list[Verdict]:
    said = []
    for scenario, bound in targets.OF_BARE_SERVER.items():
        promise = Promise(f"{scenario}: part of the bare app's requests per second", bound, True)
        shares = [_share(rates, one.name, BARE.name, scenario) for one in (OURS, FLOOR)]
        said.append(Verdict(promise, *shares))
    for scenario in SCENARIOS:
        promise = Promise(f"{scenario}: times the requests per second of Flask", targets.BEATS_FLASK_SERVER, True)
        said.append(Verdict(promise, *(_share(rates, one.name, FLASK.name, scenario) for one in (OURS, FLOOR))))
    return said
