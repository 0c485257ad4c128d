"""One request's way out of the middleware: what PEP 3333 says of ``start_response``, ``write`` and ``close``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from session_mw.headers import with_session_headers
from session_mw.lazy_dict import OVER, SENT
from session_mw.manager import SessionManager
from session_mw.session import Session
from session_mw.state import VARIES, Header, Outcome

StartResponse = Callable[..., Callable[[bytes], object]]


class Response:
    """One request's way out: what the application said, until the session is committed."""

    # No __init__, whose call is a tenth of what a request without a cookie takes: the middleware
    # fills what stands first.
    __slots__ = ("_file", "_write", "failed", "headers", "outcome", "session", "sessions", "start_response", "status")

    sessions: SessionManager
    session: Session
    start_response: StartResponse
    """The server's."""
    status: str | None
    """The application's; None before it has called :meth:`start`."""
    outcome: Outcome | None
    """What the save asked of it; None before the commit."""
    failed: bool
    """Whether the last commit raised."""
    headers: list[Header]
    """The application's, a copy, once it has called :meth:`start`."""
    _file: object
    _write: Callable[[bytes], object]

    def watch_files(self, environ: dict[str, Any]) -> None:
        """Remember what the server's ``wsgi.file_wrapper`` makes where that is a function (mod_wsgi, uWSGI)."""
        wrapper = environ.get("wsgi.file_wrapper")
        if wrapper is None or isinstance(wrapper, type):
            return

        def wrap(*arguments: Any) -> Any:
            self._file = wrapper(*arguments)
            return self._file

        environ["wsgi.file_wrapper"] = wrap

    def start(self, status: str, headers: list[Header], exc_info: Any = None) -> Callable[[bytes], object]:
        """The application's ``start_response``: recorded until the headers go out."""
        if self.status is not None:
            return self._restart(status, headers, exc_info)
        self.status = status
        self.headers = [*headers]
        return self

    def _restart(self, status: str, headers: list[Header], exc_info: Any) -> Callable[[bytes], object]:
        if exc_info is None and self.outcome is None:
            raise AssertionError("start_response was called a second time without exc_info (PEP 3333)")
        if self.failed:
            # The page of an app that caught what write() raised: it is sent, the session is not.
            self.outcome = VARIES
            self.session._advance(SENT)
        if self.outcome is not None:
            return self._start_again(self.outcome, status, headers, exc_info)
        self.status = status
        self.headers = [*headers]
        return self

    def _start_again(
        self, outcome: Outcome, status: str, headers: list[Header], exc_info: Any
    ) -> Callable[[bytes], object]:
        sessions = self.sessions
        headers = with_session_headers([*headers], outcome, self.session, sessions.cookie_name, sessions.notices)
        try:
            self._write = self.start_response(status, headers, exc_info)
            return self._write
        finally:
            # A traceback in a local variable is a cycle with its frame (PEP 3333 asks for this).
            exc_info = None

    def __call__(self, data: bytes) -> object:
        """PEP 3333's ``write``: the headers go out before the first data."""
        self.commit()
        return self._write(data)

    def commit(self) -> None:
        """Save the session and send the headers; once."""
        status = self.status
        if status is None or self.outcome is not None:
            return
        sessions, session = self.sessions, self.session
        try:
            outcome = self.outcome = sessions.save_with(session, status)
        except BaseException:
            self.failed = True
            raise
        self.failed = False
        headers = with_session_headers(self.headers, outcome, session, sessions.cookie_name, sessions.notices)
        session._advance(SENT)
        self._write = self.start_response(status, headers)

    def send(self, body: Iterable[bytes], environ: dict[str, Any]) -> Iterable[bytes]:
        """Commit if the application has called ``start_response``; else, once it has."""
        whole = type(body) is list or self._is_whole(body, environ)
        if self.status is None:
            if not whole and not is_sentinel(body):
                return Body(self, body)
            self.end_without_headers()
            return body
        try:
            if self.outcome is not None and whole:
                # The application has called write(), and is through now.
                self.commit_late()
            self.commit()
        except BaseException:
            close_body(body)
            raise
        if whole or not self._may_change_yet():
            return body
        return Body(self, body)

    def end_without_headers(self) -> None:
        """End a request that was answered over the socket itself (a WebSocket): no headers go out.

        Raises:
            StoreError: The store does not answer.
        """
        try:
            self.sessions.commit_without_headers(self.session)
        finally:
            self.end()

    def end(self) -> None:
        """Let go of the session: the same environ may be served again."""
        self.session._advance(OVER)

    def _is_whole(self, body: Iterable[bytes], environ: dict[str, Any]) -> bool:
        """Whether iterating runs no code of the application, and the server looks at the type."""
        if isinstance(body, (list, tuple)) or body is getattr(self, "_file", None):
            return True
        wrapper = environ.get("wsgi.file_wrapper")
        return isinstance(wrapper, type) and isinstance(body, wrapper)

    def _may_change_yet(self) -> bool:
        """Whether a change that is still made could be saved: in a store, under an id that the visitor knows."""
        if self.sessions.store is None or self.failed:
            return False
        state = self.session._state
        return bool(self.session._header) if state is None else state.may_save_late()

    def commit_late(self) -> None:
        """Save in a store what was changed while the body was sent."""
        if self.outcome is not None and self._may_change_yet():
            self.sessions.commit(self.session)


class Body:
    """An application's iterable, watched until its first part, and at its end."""

    __slots__ = ("_body", "_exhausted", "_parts", "_response")

    def __init__(self, response: Response, body: Iterable[bytes]) -> None:
        self._response = response
        self._body = body
        self._parts: Iterator[bytes] | None = None
        self._exhausted = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._parts is None:
            self._parts = iter(self._body)
        try:
            part = next(self._parts)
        except StopIteration:
            if self._response.status is None:
                self._response.end_without_headers()
            self._response.commit()
            # here already, since servers send the end of the body before they call close()
            self._response.commit_late()
            self._exhausted = True
            raise
        except BaseException:
            self._response.end()
            raise
        self._response.commit()
        return part

    def close(self) -> None:
        """Close the application's iterable; if it came to its end, save what it changed in a stored session."""
        self._response.end()
        close_body(self._body)
        if self._exhausted:
            self._response.commit_late()


def is_sentinel(body: object) -> bool:
    """Whether it is a server's own object that says that the answer was given: the server knows it by identity.

    gunicorn's has no iterator; eventlet's is one, of a class that only it has.
    """
    return not hasattr(body, "__iter__") or type(body).__name__ == "_AlreadyHandled"


def close_body(body: Iterable[bytes]) -> None:
    """PEP 3333's ``close()``, which an iterable may do without."""
    closing = getattr(body, "close", None)
    if closing is not None:
        closing()
