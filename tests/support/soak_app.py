"""The site that a soak test visits; soak.json in the working directory has its settings."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from session_mw import Session, SessionManager, SessionMiddleware, StoreError

StartResponse = Callable[..., Callable[[bytes], object]]
Environ = dict[str, Any]
_LISTED = 20

sessions = SessionManager(**json.loads(Path("soak.json").read_text()))


def begin(session: Session, asked: dict[str, str]) -> None:
    """What a visitor has before the log-in."""
    session["who"] = asked["who"]


def login(session: Session, asked: dict[str, str]) -> None:
    if session.get("who") == asked["who"]:
        session.regenerate_id()
        session.principal = asked["who"]
        session["logged_in"] = True


def write(session: Session, asked: dict[str, str]) -> None:
    """Count, and change a list in place; in another session than the asker's nothing is written."""
    if session.get("who") == asked["who"]:
        tab = asked["tab"]
        session[f"count {tab}"] = session.get(f"count {tab}", 0) + 1
        listed = session.setdefault(f"list {tab}", [])
        listed.append(int(asked["number"]))
        del listed[:-_LISTED]


def read(session: Session, asked: dict[str, str]) -> None:
    """The answer shows all."""


def logout(session: Session, asked: dict[str, str]) -> None:
    session.invalidate()


def logout_everywhere(session: Session, asked: dict[str, str]) -> None:
    sessions.end_all(asked["who"])
    session.invalidate()


PAGES: dict[str, Callable[[Session, dict[str, str]], None]] = {
    f"/{page.__name__}": page for page in (begin, login, write, read, logout, logout_everywhere)
}


def site(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/plain":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"plain"]
    session = environ["session"]
    PAGES[environ["PATH_INFO"]](session, dict(parse_qsl(environ["QUERY_STRING"])))
    body = json.dumps(dict(session)).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


_with_sessions = SessionMiddleware(site, sessions=sessions)


def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """An outage is a 503, whatever else goes wrong the server's 500."""
    try:
        return _with_sessions(environ, start_response)
    except StoreError as error:
        start_response("503 Service Unavailable", [("Content-Type", "text/plain")], sys.exc_info())
        return [str(error).encode()]
