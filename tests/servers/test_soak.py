"""What visitors of real servers can rely on while the store has faults; see support/soak.py for longer runs."""

from __future__ import annotations

import os

import pytest

from support import soak, soak_stores

pytestmark = pytest.mark.heavy

SECONDS = float(os.environ.get("SESSION_MW_SOAK_SECONDS", "60"))
"""For all stores together; each goes on until every fault has happened once."""


@pytest.mark.parametrize("store", soak_stores.STORES)
def test_faults_of_a_store_cost_some_answers_and_no_session(store: str) -> None:
    for package in ("gevent", "gunicorn", "waitress"):
        pytest.importorskip(package)
    figures = soak.run(store, SECONDS / len(soak_stores.STORES))
    print(figures)
    assert not +figures.wrong, str(figures)
    assert figures.writes > 0
    assert figures.log_ins > 0
    assert all(figures.faults.values())
