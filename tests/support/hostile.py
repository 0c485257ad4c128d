"""What is true of any request with cookies that nobody should trust."""

from __future__ import annotations

import tracemalloc
from typing import Any, NamedTuple

import pytest

from session_mw import SessionManager
from support.tokens import KEY, NOW, signed, token_in
from support.wsgi import ATTRIBUTES, GONE, PLAIN, VARY, guarded, visit

AUTHENTIC = "eyJhIjoxfQ.ZVPxAA.9hkqH6PKzZpOGDGFMPKfySe7Tp8"
"""{"a": 1}, signed at NOW."""
EVIL = signed(b'{"user":"attacker"}', NOW)
SESSIONS = SessionManager(KEY)
READ_ONLY = [PLAIN, VARY]


class Seen(NamedTuple):
    status: str
    headers: list[tuple[str, str]]
    seen: dict[str, Any]


def served(header: str, touch: Any = dict, sessions: SessionManager = SESSIONS) -> Seen:
    """A request to an application that touches its session."""
    seen: dict[str, Any] = {}

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.update(dict(touch(environ["session"]) or {}))
        start_response("200 OK", [PLAIN])
        return [b"ok"]

    answer = visit(guarded(app, sessions=sessions), cookie=header, HTTP_HOST="example.com")
    assert answer.body == b"ok"
    return Seen(answer.status, answer.headers, seen)


def assert_empty(header: str) -> None:
    """The app runs; its session is an empty, writable, new one; no cookie unless it writes."""
    assert served(header) == ("200 OK", READ_ONLY, {})
    assert served(header, lambda _: None) == ("200 OK", READ_ONLY[:1], {})
    session = SESSIONS.open({"HTTP_COOKIE": header})
    assert session == {}
    assert session.new
    assert SESSIONS.commit(session) == [VARY]
    session.clear()
    deletion = ("Set-Cookie", f"session=; {GONE}; {ATTRIBUTES}")
    assert SESSIONS.commit(session) in ([VARY], [VARY, deletion]), "a log-out deletes what came, accepted or not"
    session["b"] = 2
    token = token_in(SESSIONS.commit(session))
    assert dict(SESSIONS.open({"HTTP_COOKIE": f"session={token}"})) == {"b": 2}


def assert_session(header: str, data: dict[str, Any] | None = None) -> None:
    assert served(header) == ("200 OK", READ_ONLY, {"a": 1} if data is None else data)


def levels(caplog: pytest.LogCaptureFixture) -> set[int]:
    """The levels of the package's lines in the log."""
    return {record.levelno for record in caplog.records if record.name == "session_mw"}


def memory_of(header: str) -> int:
    """Bytes that reading and committing the session takes at its peak."""
    session = SESSIONS.open({"HTTP_COOKIE": header})
    tracemalloc.start()
    try:
        len(session)
        SESSIONS.commit(session)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
