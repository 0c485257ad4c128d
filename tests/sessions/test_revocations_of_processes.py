"""Endings in every store, among threads, forks and processes that write at the same time."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest

from session_mw import SessionManager
from session_mw.backends.revocations import follower
from support.forks import code_of, start_untold
from support.tokens import KEY
from support.visitors import Client

SECONDS = 1.5

# Ends 60 sessions one by one, of which the cookies are on standard input, and says when it is through.
WRITER = """
import sys
from session_mw import SessionManager
sessions = SessionManager(sys.argv[1], revocations=sys.argv[2])
for cookie in sys.stdin.read().split():
    session = sessions.open({"HTTP_COOKIE": cookie})
    session.invalidate()
    sessions.commit(session)
sessions.close()
"""


def begin(sessions: SessionManager, count: int) -> list[Client]:
    clients = [Client(sessions) for _ in range(count)]
    for client in clients:
        client.do(lambda s: s.update(a=1))
    return clients


def test_in_every_store_an_end_is_known_in_time(shared_url, monkeypatch):
    monkeypatch.setattr(follower, "tell_others", lambda writer, key: None)
    here = SessionManager(KEY, revocations=shared_url)
    # A store in memory is another one for each manager.
    there = here if shared_url == "memory://" else SessionManager(KEY, revocations=shared_url)
    clients = begin(here, 70)
    copies = [client.other(there) for client in clients]
    assert copies[0].data() == {"a": 1}
    for client in clients[1:]:
        client.do(lambda s: s.invalidate())
    time.sleep(SECONDS)
    assert [copy.data() for copy in copies] == [{"a": 1}] + [{}] * 69
    here.end_everyone()
    time.sleep(SECONDS)
    assert copies[0].data() == {}
    here.close()
    there.close()


def test_threads_that_end_sessions_lose_none(shared_url):
    sessions = SessionManager(KEY, revocations=shared_url)
    clients = begin(sessions, 200)
    copies = [client.other() for client in clients]

    def end(some: list[Client]) -> None:
        for client in some:
            client.do(lambda s: s.invalidate())

    threads = [threading.Thread(target=end, args=(clients[n::8],)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [copy.data() for copy in copies] == [{}] * 200
    sessions.close()


@pytest.mark.heavy
def test_processes_that_end_sessions_at_the_same_time_lose_none(shared_url):
    if shared_url == "memory://":
        pytest.skip("memory is of one process")
    sessions = SessionManager(KEY, revocations=shared_url)
    clients = begin(sessions, 244)
    writers = []
    for n in range(4):
        command = [sys.executable, "-c", WRITER, KEY, shared_url]
        writers.append(subprocess.Popen(command, stdin=subprocess.PIPE, text=True))
        writers[-1].stdin.write("\n".join(client.cookie for client in clients[n:240:4]))
        writers[-1].stdin.close()
    assert [writer.wait(60) for writer in writers] == [0] * 4
    time.sleep(SECONDS)
    assert [client.data() for client in clients] == [{}] * 240 + [{"a": 1}] * 4
    sessions.close()


@pytest.mark.parametrize("is_told", [True, False], ids=["told", "untold"])
def test_a_forked_child_knows_what_ends_and_tells_it(tmp_path, is_told):
    sessions = SessionManager(KEY, revocations=f"sqlite:///{tmp_path}/ended.db")
    known, later, by_child = begin(sessions, 3)
    copies = [client.other() for client in (known, later, by_child)]
    known.do(lambda s: s.invalidate())
    reads, writes = os.pipe()

    def work() -> bool:
        assert [copy.data() for copy in copies] == [{}, {"a": 1}, {"a": 1}]
        by_child.do(lambda s: s.invalidate())
        os.write(writes, b"ended")
        deadline = time.monotonic() + 10
        while copies[1].data() and time.monotonic() < deadline:
            time.sleep(0.01)
        return copies[1].data() == {}

    if is_told:
        child = os.fork()
        if child == 0:
            os._exit(0 if work() else 1)
    else:
        child = start_untold(work)
    assert os.read(reads, 10) == b"ended"
    later.do(lambda s: s.invalidate())
    assert code_of(child) == 0
    time.sleep(SECONDS)
    assert copies[2].data() == {}
    sessions.close()
    os.close(reads)
    os.close(writes)
