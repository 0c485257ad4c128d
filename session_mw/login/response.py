"""One request's way out of LoginMiddleware: the remember cookie is put in, and what has to wait for the commit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from session_mw.headers import with_cookies
from session_mw.lazy_dict import OPEN, SENT
from session_mw.login.login import Login
from session_mw.notices import Notices
from session_mw.response import StartResponse, close_body, is_sentinel
from session_mw.session import Session
from session_mw.state import Header


class LoginResponse:
    """What the application said, until the log-in is through with the request (PEP 3333).

    ``start_response`` is recorded, as SessionMiddleware does it: the application may log in after it has called it.

    Args:
        login: The request's.
        session: The request's.
        notices: The manager's.
        start_response: SessionMiddleware's.
    """

    def __init__(self, login: Login, session: Session, notices: Notices, start_response: StartResponse) -> None:
        self.session = session
        self.status: str | None = None
        self.is_committed = False
        self._login = login
        self._notices = notices
        self._start_response = start_response
        self._headers: list[Header] = []
        self._cookies: list[Header] = []
        self._failed = False
        self._write: Callable[[bytes], object]

    def start(self, status: str, headers: list[Header], exc_info: Any = None) -> Callable[[bytes], object]:
        """The application's ``start_response``."""
        if self.is_committed:
            try:
                self._write = self._start_response(status, self._with_cookies(headers), exc_info)
                return self.write
            finally:
                # A traceback in a local variable is a cycle with its frame (PEP 3333 asks for this).
                exc_info = None
        if self.status is not None and exc_info is None:
            raise AssertionError("start_response was called a second time without exc_info (PEP 3333)")
        self.status, self._headers = status, [*headers]
        return self.write

    def write(self, data: bytes) -> object:
        """PEP 3333's ``write``: the headers go out before the first data."""
        self.commit()
        return self._write(data)

    def commit(self) -> None:
        """Have the log-in do its part, and pass the headers on; once."""
        if self.status is None or self.is_committed:
            return
        if self._failed:
            # The page of an application that caught what write() raised: it is sent, the log-in is not.
            self._login.after.clear()
            self._login.close()
        else:
            try:
                self._cookies = self._login.commit()
            except BaseException:
                self._failed = True
                raise
        self.is_committed = True
        self._write = self._start_response(self.status, self._with_cookies(self._headers))

    def send(self, body: Iterable[bytes]) -> Iterable[bytes]:
        """Pass the body on; wrapped where the headers are still to come, or something has to wait for the commit."""
        if self.status is None:
            if isinstance(body, (list, tuple)) or is_sentinel(body):
                # The handler answered over the socket itself: no cookie can be sent.
                self._login.commit()
                self._login.after.clear()
                return body
            return LoginBody(self, body)
        try:
            self.commit()
        except BaseException:
            close_body(body)
            raise
        return LoginBody(self, body) if self._login.after else body

    def _with_cookies(self, headers: list[Header]) -> list[Header]:
        return with_cookies([*headers], self._cookies, self.session, self._notices)

    def settle(self) -> None:
        """Do what waits for the commit."""
        self._login.run_after()


class LoginBody:
    """An application's iterable, until its first part is there and the session is committed.

    SessionMiddleware commits after it has got this object, or its first part where the headers were still to come. Only
    then a secret is used up, so that a request that fails uses none.
    """

    __slots__ = ("_body", "_parts", "_response", "_was_started")

    def __init__(self, response: LoginResponse, body: Iterable[bytes]) -> None:
        self._response = response
        self._body = body
        self._parts: Iterator[bytes] | None = None
        self._was_started = response.is_committed

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        self._settle()
        if self._parts is None:
            self._parts = iter(self._body)
        try:
            part = next(self._parts)
        except StopIteration:
            self._response.commit()
            raise
        self._response.commit()
        return part

    def close(self) -> None:
        """Close the application's iterable. A server may do so without having asked for a part: to HEAD, say."""
        try:
            self._settle()
        finally:
            close_body(self._body)

    def _settle(self) -> None:
        # Beyond SENT, only what was started before the body was asked for is known to be committed: a commit that
        # failed on the first part ends the request too.
        phase = self._response.session._phase
        if phase == SENT or (phase != OPEN and self._was_started):
            self._response.settle()
