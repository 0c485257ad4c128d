"""The stores that a test meets one after the other, each by a URL of the test's own; and visitors of a manager."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from session_mw import Session, SessionManager

EMBEDDED = {
    "memory": "memory://",
    "file": "file://{path}/sessions",
    "sqlite": "sqlite:///{path}/sessions.db",
    "sqlalchemy": "sqlite+pysqlite:///{path}/alchemy.db",
}
SERVED = {
    "redis": ("redis", "valkey", ""),
    "cluster": ("redis", "valkey_cluster", ""),
    "sentinel": ("redis", "valkey_sentinel", "/master/0"),
    "memcached": ("pymemcache", "memcached", ""),
}
HEAVY = ("cluster", "sentinel", "postgresql")
ALL = [
    pytest.param(kind, marks=pytest.mark.heavy if kind in HEAVY else ()) for kind in (*EMBEDDED, *SERVED, "postgresql")
]


def url_of(kind: str, request: pytest.FixtureRequest, path: Path) -> str:
    """A URL of a store that holds nothing yet."""
    own = secrets.token_hex(4)
    if kind == "sqlalchemy":
        pytest.importorskip("sqlalchemy")
    if kind in EMBEDDED:
        return EMBEDDED[kind].format(path=path)
    if kind == "postgresql":
        return f"{request.getfixturevalue('postgresql').url('psycopg')}?table=t{own}"
    driver, fixture, suffix = SERVED[kind]
    pytest.importorskip(driver)
    return f"{request.getfixturevalue(fixture).url}{suffix}?prefix={own}:"


class Browser:
    """Sends requests to a manager, and keeps the cookie as browsers do."""

    def __init__(self, sessions: SessionManager, token: str = "") -> None:
        self.sessions, self.token = sessions, token

    def open(self) -> Session:
        return self.sessions.open({"HTTP_COOKIE": f"session={self.token}"} if self.token else {})

    def commit(self, session: Session) -> str:
        """Returns what became of the cookie: "kept", "set" or "deleted"."""
        cookies = [value for name, value in self.sessions.commit(session) if name == "Set-Cookie"]
        if not cookies:
            return "kept"
        self.token = cookies[-1].partition(";")[0].partition("=")[2]
        return "set" if self.token else "deleted"

    def do(self, change: Callable[[Session], Any]) -> str:
        session = self.open()
        change(session)
        return self.commit(session)

    def data(self) -> dict[str, Any]:
        return self.open().copy()

    @property
    def key(self) -> str:
        return hashlib.sha256(self.token.encode()).hexdigest()


def renewed_before(look: Callable[..., Any], browser: Browser) -> Callable[..., Any]:
    """``look``, whose first call a parallel request overtakes that gives the browser's session a new id."""
    due = iter([True])

    def overtaken(*arguments: Any) -> Any:
        if next(due, False):
            browser.do(lambda session: session.regenerate_id())
        return look(*arguments)

    return overtaken


class Recording:
    """A store that notes every call to another one."""

    def __init__(self, store: Any) -> None:
        self.inner = store
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)

        def noted(*args: Any, **named: Any) -> Any:
            self.calls.append(name)
            return method(*args, **named)

        return noted
