"""One request's way out of the middleware: what PEP 3333 says of ``start_response``, ``write`` and ``close``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from session_mw.headers import VARY, Header, with_session_headers
from session_mw.manager import SessionManager
from session_mw.session import Session

StartResponse = Callable[..., Callable[[bytes], object]]


class Response:
    """One request's way out: what the application said, until the session is committed."""

    __slots__ = (
        "_added",
        "_failed",
        "_file",
        "_headers",
        "_session",
        "_sessions",
        "_start_response",
        "_status",
        "_write",
    )

    # There are none before start_response was called, the application's and the server's.
    _headers: list[Header]
    _write: Callable[[bytes], object]

    def __init__(self, sessions: SessionManager, session: Session, start_response: StartResponse) -> None:
        self._sessions = sessions
        self._session = session
        self._start_response = start_response
        self._failed = False
        self._file: object = None
        self._status: str | None = None
        self._added: list[Header] | None = None

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
        if self._status is not None:
            return self._restart(status, headers, exc_info)
        self._status = status
        self._headers = list(headers)
        return self.write

    def _restart(self, status: str, headers: list[Header], exc_info: Any) -> Callable[[bytes], object]:
        if exc_info is None and self._added is None:
            raise AssertionError("start_response was called a second time without exc_info (PEP 3333)")
        if self._failed:
            # The page of an app that caught what write() raised: it is sent, the session is not.
            self._added = [VARY]
        if self._added is not None:
            return self._start_again(self._added, status, headers, exc_info)
        self._status = status
        self._headers = list(headers)
        return self.write

    def _start_again(
        self, added: list[Header], status: str, headers: list[Header], exc_info: Any
    ) -> Callable[[bytes], object]:
        headers = with_session_headers(list(headers), added, self._session, self._sessions.cookie_name)
        try:
            self._write = self._start_response(status, headers, exc_info)
            return self._write
        finally:
            # A traceback in a local variable is a cycle with its frame (PEP 3333 asks for this).
            exc_info = None

    def write(self, data: bytes) -> object:
        """PEP 3333's ``write``: the headers go out before the first data."""
        self.commit()
        return self._write(data)

    def commit(self) -> None:
        """Save the session and send the headers; once."""
        if self._added is not None or self._status is None:
            return
        session = self._session
        try:
            self._added = self._sessions.commit(session)
        except BaseException:
            self._failed = True
            raise
        self._failed = False
        session._sent = True
        headers = with_session_headers(self._headers, self._added, session, self._sessions.cookie_name)
        self._write = self._start_response(self._status, headers)

    def send(self, body: Iterable[bytes], environ: dict[str, Any]) -> Iterable[bytes]:
        """Commit if the application has called ``start_response``; else, once it has."""
        whole = type(body) is list or self._is_whole(body, environ)
        if self._status is None:
            self._session._abandoned = whole
            return body if whole else Body(self, body)
        try:
            self.commit()
        except BaseException:
            _close(body)
            raise
        if whole or not self._may_change_yet():
            return body
        return Body(self, body)

    def end(self) -> None:
        """Let go of the session: the same environ may be served again."""
        self._session._abandoned = True

    def _is_whole(self, body: Iterable[bytes], environ: dict[str, Any]) -> bool:
        """Whether iterating runs no code of the application, and the server looks at the type."""
        if isinstance(body, (list, tuple)) or body is self._file:
            return True
        wrapper = environ.get("wsgi.file_wrapper")
        return isinstance(wrapper, type) and isinstance(body, wrapper)

    def _may_change_yet(self) -> bool:
        """Whether a change that is still made could be saved: in a store, under an id that the visitor knows."""
        if self._sessions.store is None or self._failed:
            return False
        return bool(self._session._token) or bool(self._session._load and self._session._header)

    def commit_late(self) -> None:
        """Save in a store what was changed while the body was sent."""
        if self._added is not None and self._may_change_yet():
            self._sessions.commit(self._session)


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
            self._response.commit()
            self._exhausted = True
            raise
        self._response.commit()
        return part

    def close(self) -> None:
        """Close the application's iterable; if it came to its end, save what it changed in a stored session."""
        self._response.end()
        _close(self._body)
        if self._exhausted:
            self._response.commit_late()


def _close(body: Iterable[bytes]) -> None:
    """PEP 3333's ``close()``, which an iterable may do without."""
    closing = getattr(body, "close", None)
    if closing is not None:
        closing()
