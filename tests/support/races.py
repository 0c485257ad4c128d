"""A worker process for the races between processes: adds its own keys to one session."""

from __future__ import annotations

import sys

from session_mw import SessionManager


def add_keys(url: str, cookie: str, worker: str, count: int) -> None:
    """Write ``count`` keys, one a request, each in a request of its own."""
    sessions = SessionManager(store=url)
    for n in range(count):
        session = sessions.open({"HTTP_COOKIE": cookie})
        session[f"{worker}-{n}"] = n
        sessions.commit(session)
    sessions.close()


if __name__ == "__main__":
    add_keys(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
