"""benchmarks/instructions.py, which .ci/run relies on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from support.declared import ROOT

BENCHMARKS = ROOT / "benchmarks"
PEERS = {"beaker", "cachelib", "django", "flask", "flask_session", "matplotlib", "orjson", "pyramid", "starlette"}


def printed(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=BENCHMARKS,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def problems(counts: dict[str, int], recorded: dict[str, int]) -> Any:
    return json.loads(
        printed(f"import instructions, json; print(json.dumps(instructions.check({counts}, {recorded})))")
    )


def test_a_count_within_three_percent_of_the_record_is_no_problem():
    assert problems({"read": 103, "write": 97}, {"read": 100, "write": 100}) == []


def test_a_count_that_rose_is_a_problem():
    assert problems({"read": 104}, {"read": 100}) == [
        "read: 104 instructions, +4.0%; find what costs more, or record it anew with --update and say why"
    ]


def test_a_count_that_fell_has_to_be_recorded():
    assert problems({"read": 96}, {"read": 100}) == ["read: 96 instructions, -4.0%; record it anew with --update"]


def test_every_case_is_both_counted_and_recorded():
    assert problems({"new": 1}, {"old": 1}) == [
        "new: only counted; record it anew with --update",
        "old: only recorded; record it anew with --update",
    ]


def test_the_record_holds_every_case():
    cases = json.loads(printed("import instructions as i, json; print(json.dumps([i.name_of(*c) for c in i.CASES]))"))
    record = json.loads((BENCHMARKS / "instructions.json").read_text())
    assert sorted(record["instructions"]) == sorted(cases)


def test_counting_needs_no_other_library():
    loaded = printed("import instructions, sys; print(*{name.partition('.')[0] for name in sys.modules})").split()
    assert PEERS.isdisjoint(loaded)


@pytest.mark.parametrize(("required", "status"), [("0", 0), ("1", 1)])
def test_without_valgrind_the_check_says_why_nothing_is_compared(required, status, tmp_path):
    environment = os.environ | {"PATH": str(tmp_path), "SESSION_MW_REQUIRE_SERVICES": required}
    command = [sys.executable, str(BENCHMARKS / "instructions.py"), "--check"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert "there is no valgrind here (Debian: apt-get install valgrind)" in done.stdout


def test_the_recorded_figures_are_those_of_the_page():
    parts = json.loads((BENCHMARKS / "recorded.json").read_text())["parts"]
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    for size in ("100 B", "1 KB", "3 KB"):
        head, *rows = table_below(page, f"**µs per request, {size} of JSON**")
        for name, *costs in rows:
            recorded = [parts["in_process"][f"{scenario} {size}"].get(name) for scenario in head[1:]]
            assert [shown(cost) for cost in recorded] == costs
    for axis, curves in parts["growth"].items():
        head, *rows = table_below(page, f"**{axis[0].upper()}{axis[1:]}**")
        amounts = [amount.replace(",", "") for amount in head[1:-1]]
        assert {row[0]: [cost for cost in row[1:-1] if cost != "–"] for row in rows} == {
            name: [shown(curve[amount]) for amount in amounts if amount in curve] for name, curve in curves.items()
        }


def table_below(page: str, title: str) -> list[list[str]]:
    """Its rows, the head among them, without the line below that."""
    lines = page.partition(f"\n{title}\n\n")[2].partition("\n\n")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [rows[0], *rows[2:]]


def shown(cost: float | None) -> str:
    """As benchmarks/reports.py shows microseconds."""
    return "refuses" if cost is None else f"{cost:.2f}" if cost < 1 else f"{cost:.1f}" if cost < 20 else f"{cost:.0f}"
