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
