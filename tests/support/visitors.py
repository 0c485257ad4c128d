"""Visitors: over WSGI, and straight at a manager. Both keep cookies as browsers do."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from session_mw import Session, SessionManager
from support.validators import App
from support.wsgi import KEY, Answer, visit


@dataclass
class Visitor:
    """Asks a WSGI app, and keeps the cookies of a host by name."""

    app: App
    jar: dict[str, str] = field(default_factory=dict)

    def get(self, path: str = "/", **more: Any) -> Answer:
        answer = visit(self.app, path, self.cookie, **more)
        self.keep(answer)
        return answer

    @property
    def cookie(self) -> str | None:
        return "; ".join(f"{name}={value}" for name, value in self.jar.items()) or None

    def keep(self, answer: Answer) -> None:
        for cookie in answer.cookies:
            name, _, value = cookie.partition(";")[0].partition("=")
            if "Max-Age=0" in cookie:
                self.jar.pop(name, None)
            else:
                self.jar[name] = value


class Client:
    """Opens and commits sessions of a manager, and keeps the session's cookie.

    Attributes:
        sessions: The manager.
        token: The cookie's value; empty: there is no cookie.
    """

    def __init__(self, sessions: SessionManager, token: str = "") -> None:
        self.sessions, self.token = sessions, token

    @property
    def cookie(self) -> str:
        return f"{self.sessions.cookie_name}={self.token}"

    def open(self) -> Session:
        return self.sessions.open({"HTTP_COOKIE": self.cookie} if self.token else {})

    def commit(self, session: Session) -> str:
        """Returns what became of the cookie: "kept", "set" or "deleted"."""
        cookies = [value for name, value in self.sessions.commit(session) if name == "Set-Cookie"]
        if not cookies:
            return "kept"
        self.token = cookies[-1].partition(";")[0].partition("=")[2]
        return "set" if self.token else "deleted"

    def do(self, change: Callable[[Session], Any] = lambda session: None) -> str:
        """One request; returns what became of the cookie."""
        session = self.open()
        change(session)
        return self.commit(session)

    def data(self) -> dict[str, Any]:
        return self.open().copy()

    def other(self, sessions: SessionManager | None = None) -> Client:
        """Another request of the same browser, or of one that has a copy of the cookie."""
        return Client(sessions or self.sessions, self.token)

    @property
    def key(self) -> str:
        """Where a store has the session: by the hash of the token."""
        return hashlib.sha256(self.token.encode()).hexdigest()


def stored(store: Any, visitor: Visitor) -> dict[str, Any]:
    """What the visitor's session holds in the store."""
    return Client(SessionManager(KEY, store=store), visitor.jar["session"]).data()


def regenerated_before(look: Callable[..., Any], client: Client) -> Callable[..., Any]:
    """``look``, whose first call is overtaken by a parallel request that gives the client's session a new id."""
    due = iter([True])

    def overtaken(*arguments: Any) -> Any:
        if next(due, False):
            client.do(lambda session: session.regenerate_id())
        return look(*arguments)

    return overtaken
