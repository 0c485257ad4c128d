"""A server that does what PEP 3333 says and remembers what it was told; and a visitor with a cookie jar."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from wsgiref.util import setup_testing_defaults

from session_mw import SessionManager, SessionMiddleware
from support import validators

KEY = "test-secret-key-0123456789abcdef"
OTHER_KEY = "another-secret-key-0123456789abc"
PLAIN = ("Content-Type", "text/plain")


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


@dataclass
class Visitor:
    """Keeps the cookies of a host, by name."""

    app: validators.App
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


def page(do: Callable[[Any], object] = lambda session: None, *headers: tuple[str, str]) -> validators.App:
    """An app that does something with its session and shows the result."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        shown = str(do(environ["session"])).encode()
        start_response("200 OK", [PLAIN, *headers])
        return [shown]

    return app


def guarded(app: validators.App, **settings: Any) -> validators.App:
    """The app behind the middleware, between two validators."""
    if not {"sessions", "store", "secret_key"} & settings.keys():
        settings["secret_key"] = KEY
    key = settings.get("environ_key", "session")
    return validators.between_validators(lambda inner: SessionMiddleware(inner, **settings), app, key)


def token_of(data: dict[str, Any], secret_key: str = KEY, **settings: Any) -> str:
    """A genuine token of ``data``."""
    sessions = SessionManager(secret_key, **settings)
    session = sessions.open({})
    session.update(data)
    return Answer("", sessions.commit(session), b"").token


def read(token: str, **settings: Any) -> dict[str, Any]:
    """What a token holds; empty if it is refused."""
    name = settings.get("cookie_name", "session")
    return SessionManager(KEY, **settings).open({"HTTP_COOKIE": f"{name}={token}"}).copy()
