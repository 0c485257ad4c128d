"""Part 6: how many machine instructions a request takes, which no other process can disturb.

    python benchmarks/instructions.py            counts and compares with instructions.json
    python benchmarks/instructions.py --check    the same; exit status 1 where it became more
    python benchmarks/instructions.py --update   writes instructions.json

Counted by ``valgrind --tool=callgrind`` (Debian package ``valgrind``). The figures hold for one
release of Python; under another they are shown, not compared.
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from contenders import FLOOR, OURS, bare
from driving import requests_of
from reports import Report, Table, times
from scenarios import (
    FORGED,
    KEY,
    NO_COOKIE,
    NOW,
    READ,
    READ_STRANGERS,
    REFRESH,
    STRANGERS,
    UNTOUCHED,
    UNTOUCHED_OFF,
    WRITE,
    App,
    Environ,
    environ_of,
    sized,
)
from timing import start_response

RECORD = Path(__file__).with_name("instructions.json")
WARMING_UP = 20
REQUESTS = 40
TOLERANCE = 0.03
CASES = [(s, 100) for s in (NO_COOKIE, UNTOUCHED, UNTOUCHED_OFF, READ, WRITE, REFRESH, FORGED)]
CASES += [(s, 100) for s in STRANGERS]
CASES += [(s, size) for size in (1000, 3000) for s in (READ, READ_STRANGERS, WRITE)]

Counts: TypeAlias = dict[str, dict[str, int]]
"""Instructions per request, by case and contender."""


def run(quick: bool) -> Report:
    """Count, and compare with the record."""
    report = Report("instructions", "Instructions")
    if shutil.which("valgrind") is None:
        report.notes.append("Left out: there is no valgrind here (Debian: apt-get install valgrind).")
        return report
    counts = count()
    recorded = _recorded()
    rows = [
        [case, *(f"{n:,}" for n in by.values()), times(by[OURS.name] / by[FLOOR.name]), _change(case, by, recorded)]
        for case, by in counts.items()
    ]
    columns = ["", FLOOR.name, OURS.name, "ratio", "against the record"]
    report.tables = [Table("Instructions per request above those of the bare app", columns, rows)]
    report.figures = dict(counts)
    return report


def count() -> Counts:
    """Run all cases in one process under valgrind."""
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory) / "counts"
        # The process calls getppid between the cases, and nowhere else: there callgrind starts a new file.
        command = ["valgrind", "--tool=callgrind", "--dump-before=getppid", f"--callgrind-out-file={output}"]
        environment = os.environ | {"PYTHONHASHSEED": "0", "PYTHONPATH": os.pathsep.join(sys.path)}
        subprocess.run(
            [*command, sys.executable, __file__, "--serve"], env=environment, capture_output=True, check=True
        )
        found = [_total(output.with_name(f"{output.name}.{n}")) for n in range(1, 2 * len(_steps()) + 1)]
    # Every second file is of what prepares the next case.
    per_request = [total // REQUESTS for total in found[1::2]]
    empty, *rest = per_request
    counts: Counts = {}
    for (case, name), instructions in zip(_steps()[1:], rest, strict=True):
        counts.setdefault(case, {})[name] = instructions - empty
    return counts


def _steps() -> list[tuple[str, str]]:
    cases = [(f"{s.name} {size:,} B", name) for s, size in CASES for name in (FLOOR.name, OURS.name)]
    return [("bare app", ""), *cases]


def _total(file: Path) -> int:
    match = re.search(r"^totals: (\d+)", file.read_text(), re.MULTILINE)
    if match is None:
        raise AssertionError(f"{file.name}: no totals")
    return int(match[1])


def serve() -> None:
    """What runs under valgrind: each step's requests between two calls of getppid."""
    # The same second for all, without Python code of its own.
    time.time = itertools.repeat(float(NOW)).__next__
    work = [(bare(NO_COOKIE, ""), [environ_of(None)])]
    work += [
        (one.build(s, KEY), requests_of(one, s, sized(size, s.permanent), strangers=WARMING_UP + REQUESTS))
        for s, size in CASES
        for one in (FLOOR, OURS)
    ]
    gc.disable()
    for app, environs in work:
        turns = itertools.cycle(environs)
        _requests(app, turns, WARMING_UP)
        os.getppid()
        _requests(app, turns, REQUESTS)
        os.getppid()


def _requests(app: App, environs: Iterator[Environ], number: int) -> None:
    for environ in itertools.islice(environs, number):
        app(environ.copy(), start_response)


def _platform() -> str:
    return f"Python {platform.python_version()}, {platform.machine()}"


def _recorded() -> Counts | None:
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    counts: Counts | None = record.get("instructions") if record.get("platform") == _platform() else None
    return counts


def _change(case: str, by: dict[str, int], recorded: Counts | None) -> str:
    if recorded is None or case not in recorded:
        return "–"
    return f"{by[OURS.name] / recorded[case][OURS.name] - 1:+.1%}"


def _became_more(counts: Counts, recorded: Counts) -> list[str]:
    return [
        case
        for case, by in counts.items()
        if case not in recorded or by[OURS.name] > recorded[case][OURS.name] * (1 + TOLERANCE)
    ]


def main() -> int:
    """Count from the command line."""
    if "--serve" in sys.argv:
        serve()
        return 0
    report = run(quick=False)
    print(report.text())
    if "--update" in sys.argv:
        record = {"platform": _platform(), "instructions": report.figures}
        RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
    recorded = _recorded()
    if "--check" not in sys.argv or not report.figures:
        return 0
    if recorded is None:
        print(f"\n{RECORD.name} holds no figures for {_platform()}: nothing to compare with")
        return 0
    worse = _became_more(report.figures, recorded)
    print(f"\nmore than {TOLERANCE:.0%} above the record: {', '.join(worse) or 'nothing'}")
    return int(bool(worse))


if __name__ == "__main__":
    sys.exit(main())
