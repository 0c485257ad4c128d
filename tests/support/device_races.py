"""A process that serves pages, or registers devices, while another one does the other: it is told when."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from session_mw import SessionMiddleware
from support.device import BindingBrowser
from support.tokens import KEY
from support.validators import App
from support.wsgi import PLAIN

WRITES = 4


class Visit(NamedTuple):
    """One who has logged in, and was offered to register."""

    jar: dict[str, str]
    offer: tuple[str, str]


def pages(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """A page that adds a key to the session after a moment, or logs in."""
    session, path = environ["session"], environ["PATH_INFO"].strip("/")
    if path == "login":
        session.principal = "42"
        session["user"] = "42"
    elif session and path:
        time.sleep(random.random() / 500)
        session[path] = True
    start_response("200 OK", [PLAIN])
    return [json.dumps(dict(session)).encode()]


def site(url: str) -> App:
    return SessionMiddleware(pages, KEY, store=url, device_bound=True)


def register(app: App, visit: Visit) -> Any:
    """Register, and what the visitor has then."""
    browser = BindingBrowser(app, dict(visit.jar), offer=visit.offer)
    assert browser.register().status == "200 OK"
    return browser.jar


def write(app: App, visit: Visit) -> Any:
    """Ask for pages, and which of them have seen the session: those of before the registration."""
    browser = BindingBrowser(app, {"session": visit.jar["session"]})
    written = []
    for number in range(WRITES):
        if browser.get(f"/key{number}").body != b"{}":
            written.append(f"key{number}")
    return written


WORK = {"register": register, "write": write}


class Worker:
    """The process, seen from the test."""

    def __init__(self, work: str, url: str) -> None:
        command = [sys.executable, "-m", "support.device_races", work, url]
        folder = Path(__file__).parents[1]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder)

    def begin(self, visit: Visit) -> None:
        assert self._process.stdin is not None
        print(json.dumps(visit), file=self._process.stdin, flush=True)

    def result(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def stop(self) -> None:
        self._process.communicate()
        assert self._process.returncode == 0


def main(work: str, url: str) -> None:
    """Do the work for each line of standard input."""
    app = site(url)
    for line in sys.stdin:
        jar, offer = json.loads(line)
        print(json.dumps(WORK[work](app, Visit(jar, tuple(offer)))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
