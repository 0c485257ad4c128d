"""Many writers of one session: nothing that one of them saved is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from session_mw import SessionManager
from support import races
from support.visitors import Client

pytestmark = pytest.mark.heavy

THREADS, PROCESSES = 16, 4


def begun(sessions: SessionManager) -> Client:
    """One who has a session."""
    client = Client(sessions)
    client.do(lambda s: s.update(begun=True))
    return client


def expected(workers: int, count: int) -> dict[str, int]:
    return {f"{worker}-{n}": n for worker in range(workers) for n in range(count)}


def test_threads_that_write_different_keys_all_win(shared_url: str) -> None:
    sessions = SessionManager(store=shared_url)
    client = begun(sessions)

    def add(worker: int) -> None:
        for n in range(60):
            client.other().do(lambda s: s.__setitem__(f"{worker}-{n}", n))  # noqa: B023 (called at once)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(add, range(THREADS)))
    assert client.data() == {"begun": True, **expected(THREADS, 60)}
    sessions.close()


def test_processes_that_write_different_keys_all_win(shared_url: str) -> None:
    if shared_url == "memory://":
        pytest.skip("a store in memory is one process's own")
    count = 250
    sessions = SessionManager(store=shared_url)
    client = begun(sessions)
    command = [sys.executable, races.__file__, shared_url, client.cookie]
    workers = [subprocess.Popen([*command, str(n), str(count)]) for n in range(PROCESSES)]
    assert [worker.wait(120) for worker in workers] == [0] * PROCESSES
    assert client.data() == {"begun": True, **expected(PROCESSES, count)}
    sessions.close()


def test_a_store_that_was_opened_before_a_fork_serves_both_processes(shared_url: str) -> None:
    if shared_url == "memory://":
        pytest.skip("a store in memory is one process's own")
    sessions = SessionManager(store=shared_url)
    client = begun(sessions)
    children = []
    for worker in range(3):
        child = os.fork()
        if child == 0:
            races.write_and_leave(sessions, client.cookie, worker)
        children.append(child)
    races.add(sessions, client.cookie, "parent", 40)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    assert len(client.open()) == 1 + 40 + 3 * 40
    sessions.close()
