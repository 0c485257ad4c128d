"""A server that does what PEP 3333 says and remembers what it was told; and applications for it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from wsgiref.util import setup_testing_defaults

from session_mw import SessionMiddleware
from support import validators
from support.tokens import KEY, OTHER_KEY, token_of  # noqa: F401 (tests/stores and tests/commands import all three)

PLAIN = ("Content-Type", "text/plain")
VARY = ("Vary", "Cookie")
PRIVATE = ("Cache-Control", "private")
"""With each response that sets the session's cookie."""
ATTRIBUTES = "Path=/; HttpOnly; SameSite=Lax"
GONE = "Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0"
SECURE_ATTRIBUTES = "Path=/; Secure; HttpOnly; SameSite=Lax"
"""The cookie's, where no setting says otherwise, over http and over https."""
DELETED = "session=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0"
DELETION = ("Set-Cookie", f"{DELETED}; {ATTRIBUTES}")


def environ_of(path: str = "/", cookie: str | None = None, *, https: bool = False, **more: Any) -> dict[str, Any]:
    environ: dict[str, Any] = {"SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": "", **more}
    if cookie is not None:
        environ["HTTP_COOKIE"] = cookie
    if https:
        environ["wsgi.url_scheme"] = "https"
    setup_testing_defaults(environ)
    return environ


@dataclass
class Answer:
    """What reached the client."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for header, value in self.headers if header.lower() == name.lower()]

    @property
    def cookies(self) -> list[str]:
        return self.all("Set-Cookie")

    @property
    def vary(self) -> list[str]:
        return self.all("Vary")

    @property
    def token(self) -> str:
        """The value of the one cookie that was set."""
        (cookie,) = self.cookies
        return cookie.partition("=")[2].partition(";")[0]


class Server:
    """Serves one request.

    Attributes:
        starts: The arguments of every ``start_response`` that came through.
        headers_sent: Whether a part of the body has pushed the headers out.
    """

    def __init__(self, app: validators.App, environ: dict[str, Any] | None = None) -> None:
        self.app = app
        self.environ = environ_of() if environ is None else environ
        self.starts: list[tuple[Any, ...]] = []
        self.parts: list[bytes] = []
        self.headers_sent = False

    def start_response(self, *args: Any) -> Callable[[bytes], object]:
        exc_info = args[2] if len(args) > 2 else None
        if exc_info and self.headers_sent:
            raise exc_info[1].with_traceback(exc_info[2])
        assert exc_info or not self.starts, "start_response was called a second time"
        self.starts.append(args)
        return self.write

    def write(self, data: bytes) -> None:
        assert self.starts, "data before start_response"
        self.headers_sent = True
        self.parts.append(data)

    def run(self, at_most: int | None = None) -> Answer:
        """Serve; ``at_most`` parts, then the visitor hangs up."""
        body = self.app(self.environ, self.start_response)
        try:
            for number, part in enumerate(body, 1):
                if part:
                    self.write(part)
                if number == at_most:
                    break
        finally:
            if hasattr(body, "close"):
                body.close()
        return self.answer()

    def answer(self) -> Answer:
        status, headers = self.starts[-1][:2]
        return Answer(status, headers, b"".join(self.parts))


def visit(app: validators.App, path: str = "/", cookie: str | None = None, **more: Any) -> Answer:
    return Server(app, environ_of(path, cookie, **more)).run()


def page(do: Callable[[Any], object] = lambda session: None, *headers: tuple[str, str]) -> validators.App:
    """An app that does something with its session and shows the result."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        shown = str(do(environ["session"])).encode()
        start_response("200 OK", [PLAIN, *headers])
        return [shown]

    return app


def guarded(app: validators.App, **settings: Any) -> validators.App:
    """The app behind the middleware, between two validators."""
    if "sessions" not in settings and settings.get("store") is None:
        settings.setdefault("secret_key", KEY)
    key = settings.get("environ_key", "session")
    return validators.between_validators(lambda inner: SessionMiddleware(inner, **settings), app, key)


def added(answer: Answer) -> list[tuple[str, str]]:
    """The headers beside the one that :func:`page` sends, and the one that keeps cookies from shared caches."""
    assert answer.headers[0] == PLAIN
    others = answer.headers[2:] if answer.cookies else answer.headers[1:]
    assert [header for header in answer.headers if header not in others] == [PLAIN, *[PRIVATE] * bool(answer.cookies)]
    return others


def answer_to(do: Callable[[Any], object], token: str | None = None, **settings: Any) -> list[tuple[str, str]]:
    """The headers that are added where an app does something with the session of a token."""
    return added(visit(guarded(page(do), **settings), cookie=token and f"session={token}"))


def behind(app: validators.App, **settings: Any) -> SessionMiddleware:
    """The app behind the middleware, without validators, which would wrap what the app returns."""
    return SessionMiddleware(app, secret_key=KEY, **settings)


class Body:
    """An iterable that is no list, and its own iterator.

    Args:
        parts: What it gives; an exception is raised, a callable is called.
        at_close: An exception that ``close()`` raises, or what it calls.

    Attributes:
        closed: How often it was closed.
    """

    def __init__(self, *parts: Any, at_close: Any = None) -> None:
        self.parts, self.at_close, self.closed = iter(parts), at_close, 0

    def __iter__(self) -> Body:
        return self

    def __next__(self) -> bytes:
        return self._do(next(self.parts))

    def close(self) -> None:
        self.closed += 1
        self._do(self.at_close)

    @staticmethod
    def _do(step: Any) -> Any:
        if isinstance(step, BaseException):
            raise step
        return step() if callable(step) else step


def exc_info_of(error: BaseException) -> Any:
    """``sys.exc_info()`` while the error is handled."""
    try:
        raise error
    except type(error):
        return sys.exc_info()
