"""What a session costs, beside other libraries.

    python benchmarks/bench.py [--quick] [--full] [--only PART] [--docs]

Prints a table per part and writes ``benchmarks/results/latest.json`` and the charts beside
it; with ``--docs`` also the page ``docs/benchmarks.md``, and ``benchmarks/recorded.json``, of which
``charts.py`` draws the page's charts. Only ratios within one run mean anything: all contenders of a
table run by turns.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import time
from pathlib import Path

from charts import DOCS, RECORD, draw_all
from reports import Report

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
PARTS = ("in_process", "stores", "server", "growth", "memory", "revocations", "device", "instructions")

INTRODUCTION = """# What a session costs

![Microseconds per request with a session in a cookie, beside Beaker, Django and Flask](benchmarks.svg)

One visitor, 100 bytes of JSON; *Flask* is its session interface without routing and views.

Made by `tox -e bench -- --docs` (`python benchmarks/bench.py --docs`); {machine}.
The machine is shared, so the times go up and down; contenders run by turns, and only the
ratios of one run mean something. Before anything is timed it is checked that every
contender does the work: the same body, a cookie that holds the data, and from those that
write Flask's format the same headers, byte for byte.
"""


def main() -> None:
    """Run the parts that were asked for."""
    arguments = _arguments()
    RESULTS.mkdir(exist_ok=True)
    reports = []
    for part in [arguments.only] if arguments.only else PARTS:
        began = time.monotonic()
        # Each part needs packages that the others do without.
        report: Report = _run(part, arguments)
        reports.append(report)
        print(report.text(), f"\n  ({time.monotonic() - began:.0f} s)", flush=True)
    results = _json(reports)
    (RESULTS / "latest.json").write_text(results)
    draw_all(json.loads(results)["parts"], RESULTS)
    if arguments.docs:
        RECORD.write_text(results)
        draw_all(json.loads(results)["parts"], DOCS)
        _write_page(reports)


def _run(part: str, arguments: argparse.Namespace) -> Report:
    module = importlib.import_module(part)
    took_full = part in ("server", "growth", "memory")
    report: Report = module.run(arguments.quick, arguments.full) if took_full else module.run(arguments.quick)
    return report


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds, for a first look")
    parser.add_argument("--full", action="store_true", help="a million records and requests, more rounds; takes long")
    parser.add_argument("--only", choices=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--docs", action="store_true", help="write docs/benchmarks.md, its charts, and recorded.json")
    arguments = parser.parse_args()
    if arguments.docs and arguments.only:
        parser.error("--docs writes a page of all parts; leave out --only")
    return arguments


def _machine() -> str:
    return f"Python {platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores"


def _json(reports: list[Report]) -> str:
    figures = {report.name: report.figures for report in reports}
    return json.dumps({"machine": _machine(), "parts": figures}, indent=1) + "\n"


def _write_page(reports: list[Report]) -> None:
    pages = [INTRODUCTION.format(machine=_machine()), *(report.markdown() for report in reports)]
    (DOCS / "benchmarks.md").write_text("\n\n".join(pages) + "\n")


if __name__ == "__main__":
    main()
