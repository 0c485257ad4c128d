"""One server of a fleet: a process with settings of its own, which serves requests that come as lines of JSON."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from session_mw import SessionMiddleware
from support.wsgi import Answer, page, visit


class Process:
    """The server, seen from the test."""

    def __init__(self, settings: dict[str, Any]) -> None:
        command = [sys.executable, "-m", "support.fleet", json.dumps(settings)]
        folder = Path(__file__).parents[1]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder)

    def visit(self, cookie: str | None, *, write: bool = True) -> dict[str, Any]:
        """What the session held, the cookie that the visitor has afterwards, and what was logged."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps({"cookie": cookie, "write": write}), file=self._process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def stop(self) -> None:
        self._process.communicate()
        assert self._process.returncode == 0


@contextmanager
def server(**settings: Any) -> Iterator[Process]:
    started = Process(settings)
    try:
        yield started
    finally:
        started.stop()


class _Events(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def _count(session: Any) -> int:
    session["visits"] = session.get("visits", 0) + 1
    return int(session["visits"])


def _look(session: Any) -> int:
    return int(session.get("visits", 0))


def _kept(answer: Answer, cookie: str | None) -> str | None:
    return answer.cookies[-1].partition(";")[0] if answer.cookies else cookie


def serve(settings: dict[str, Any]) -> None:
    """Answer each line of standard input."""
    apps = {write: SessionMiddleware(page(_count if write else _look), **settings) for write in (True, False)}
    events = _Events()
    log = logging.getLogger("session_mw")
    log.setLevel(logging.INFO)
    log.addHandler(events)
    for line in sys.stdin:
        request = json.loads(line)
        answer = visit(apps[request["write"]], "/", request["cookie"])
        kept = _kept(answer, request["cookie"])
        print(json.dumps({"visits": int(answer.body), "cookie": kept, "events": events.texts}), flush=True)
        events.texts.clear()


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
