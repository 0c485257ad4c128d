"""Workers of the races between threads and processes: each adds its own keys to one session."""

from __future__ import annotations

import os
import sys
import threading
from typing import NoReturn

from session_mw import SessionManager
from session_mw.protocols import Store
from session_mw.testing.fixtures import new_key


def add(sessions: SessionManager, cookie: str, worker: object, count: int) -> None:
    """Write ``count`` keys, one a request, each in a request of its own."""
    for n in range(count):
        session = sessions.open({"HTTP_COOKIE": cookie})
        session[f"{worker}-{n}"] = n
        sessions.commit(session)


def write_and_leave(sessions: SessionManager, cookie: str, worker: object) -> NoReturn:
    """What a forked child does: it must not return into the test runner."""
    status = 1
    try:
        add(sessions, cookie, worker, 40)
        status = 0
    finally:
        os._exit(status)


def assert_works_in_child(store: Store, count: int = 50) -> None:
    """Parent and child read through one store at the same time: neither gets what the other asked for."""
    keys = [new_key() for _ in range(count)]
    for key in keys:
        store.create(key, key.encode(), 60)
    child = os.fork()
    if child == 0:
        os._exit(0 if all(_is_whole(store, key) for key in keys * 3) else 1)
    assert all(_is_whole(store, key) for key in keys * 3)
    assert os.waitpid(child, 0)[1] == 0
    assert all(_is_whole(store, key) for key in keys)


def assert_threads_take_turns(store: Store, count: int) -> None:
    """Each of many threads gets its record written."""
    keys = [new_key() for _ in range(count)]
    threads = [threading.Thread(target=store.create, args=(key, key.encode(), 60)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(_is_whole(store, key) for key in keys)


def _is_whole(store: Store, key: str) -> bool:
    record = store.load(key)
    return record is not None and record.data == key.encode()


if __name__ == "__main__":
    manager = SessionManager(store=sys.argv[1])
    add(manager, sys.argv[2], sys.argv[3], int(sys.argv[4]))
    manager.close()
