"""How many machine instructions a request takes, which no other process can disturb.

    python benchmarks/instructions.py            counts and compares with instructions.json
    python benchmarks/instructions.py --check    the same; exit status 1 where a count has changed by more than 3 %
    python benchmarks/instructions.py --update   writes instructions.json

Counted by ``valgrind --tool=callgrind`` (Debian package ``valgrind``). The counts hold for one
release of Python; under another they are shown, not compared. Without valgrind nothing is
counted, which ``--check`` lets pass unless the environment says SESSION_MW_REQUIRE_SERVICES=1.

``--check`` fails in both directions. A count that fell without being recorded would let the
next change take as much back unseen; and a sudden fall may mean that the work is not done any more.
"""

from __future__ import annotations

import argparse
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
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

from contenders import BARE, OURS
from driving import requests_of
from reports import Report, Table
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
    Scenario,
    environ_of,
    sized,
)
from timing import start_response

RECORD = Path(__file__).with_name("instructions.json")
WARMING_UP = 20
REQUESTS = 40
TOLERANCE = 0.03
CASES = [(s, 100) for s in (NO_COOKIE, UNTOUCHED, UNTOUCHED_OFF, READ, WRITE, REFRESH, FORGED, *STRANGERS)]
CASES += [(s, size) for size in (1000, 3000) for s in (READ, READ_STRANGERS, WRITE)]

Counts: TypeAlias = dict[str, int]
"""Instructions per request, by case."""


def run(quick: bool) -> Report:
    """Count, and compare with the record."""
    report = Report("instructions", "Instructions")
    if shutil.which("valgrind") is None:
        report.notes.append("Left out: there is no valgrind here (Debian: apt-get install valgrind).")
        return report
    counts, recorded = count(), _recorded()
    rows = [[case, f"{n:,}", _change(n, recorded.get(case))] for case, n in counts.items()]
    report.tables = [Table("Instructions per request above those of the bare app", ["", OURS.name, "change"], rows)]
    report.notes.append(f"The change is that since `benchmarks/{RECORD.name}` was written.")
    report.figures = dict(counts)
    return report


def count() -> Counts:
    """Run all cases in one process under valgrind."""
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory) / "counts"
        # The process calls getppid between the cases, and nowhere else: there callgrind starts a new file.
        command = ["valgrind", "--tool=callgrind", "--dump-before=getppid", f"--callgrind-out-file={output}"]
        environment = os.environ | {"PYTHONHASHSEED": "0"}
        done = subprocess.run(
            [*command, sys.executable, __file__, "--serve"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"valgrind ended with {done.returncode}:\n{done.stderr}")
        # Every second file is of what prepares the next case.
        files = [output.with_name(f"{output.name}.{2 * n}") for n in range(1, len(CASES) + 2)]
        empty, *rest = [_total(file) // REQUESTS for file in files]
    return {name_of(*case): instructions - empty for case, instructions in zip(CASES, rest, strict=True)}


def name_of(scenario: Scenario, size: int) -> str:
    """What a case is called in the record."""
    return f"{scenario.name} {size:,} B"


def _total(file: Path) -> int:
    match = re.search(r"^totals: (\d+)", file.read_text(), re.MULTILINE)
    if match is None:
        raise AssertionError(f"{file.name}: no totals")
    return int(match[1])


def serve() -> None:
    """What runs under valgrind: each case's requests between two calls of getppid."""
    # The same second for all, without Python code of its own.
    time.time = itertools.repeat(float(NOW)).__next__
    work = [(BARE.build(NO_COOKIE, KEY), [environ_of(None)])]
    work += [
        (OURS.build(s, KEY), requests_of(OURS, s, sized(size, s.permanent), strangers=WARMING_UP + REQUESTS))
        for s, size in CASES
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


def _packages() -> dict[str, str]:
    """What does a part of the work: another release of it may take more or fewer instructions."""
    return {name: version(name) for name in ("itsdangerous", "msgspec", "webob")}


def _record() -> dict[str, Any]:
    record: dict[str, Any] = json.loads(RECORD.read_text())
    return record


def _recorded() -> Counts:
    record = _record()
    counts: Counts = record["instructions"] if record["platform"] == _platform() else {}
    return counts


def _change(now: int, before: int | None) -> str:
    return "–" if before is None else f"{now / before - 1:+.1%}"


def check(counts: Counts, recorded: Counts) -> list[str]:
    """Say what differs from the record by more than the tolerance, in either direction."""
    problems = []
    for case in sorted(counts.keys() | recorded.keys()):
        if case not in counts or case not in recorded:
            problems.append(f"{case}: only {'counted' if case in counts else 'recorded'}; record it anew with --update")
            continue
        change = f"{case}: {counts[case]:,} instructions, {_change(counts[case], recorded[case])}"
        if counts[case] > recorded[case] * (1 + TOLERANCE):
            problems.append(f"{change}; find what costs more, or record it anew with --update and say why")
        elif counts[case] < recorded[case] * (1 - TOLERANCE):
            problems.append(f"{change}; record it anew with --update")
    return problems


def main() -> int:
    """Count from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="fail where a count has changed by more than 3 %%")
    parser.add_argument("--update", action="store_true", help=f"write {RECORD.name}")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve()
        return 0
    report = run(quick=False)
    print(report.text())
    if not report.figures:
        return int(arguments.update or os.environ.get("SESSION_MW_REQUIRE_SERVICES") == "1")
    if arguments.update:
        record = {"platform": _platform(), "packages": _packages(), "instructions": report.figures}
        RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
    if not arguments.check:
        return 0
    recorded = _recorded()
    if not recorded:
        print(f"\nThe record is of {_record()['platform']}, this is {_platform()}: nothing to compare with.")
        return 0
    problems = check(report.figures, recorded)
    if problems and _record()["packages"] != _packages():
        problems.append(f"recorded with {_record()['packages']}, counted with {_packages()}")
    print("", *problems or [f"All counts are within {TOLERANCE:.0%} of the record."], sep="\n")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
