"""Middleware between two validators of PEP 3333."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any
from wsgiref.validate import validator

App = Callable[..., Iterable[bytes]]
ASIDE = "session_mw.tests.aside"


class Aside:
    """What was taken out of the environ, shown by nothing: the validator prints the environ."""

    def __init__(self, taken: dict[str, Any]) -> None:
        self._taken = taken

    def put_back(self, environ: dict[str, Any]) -> None:
        environ.update(self._taken)


def between_validators(
    make_middleware: Callable[[App], App], app: App, environ_key: str | Sequence[str] = "session"
) -> App:
    """Return ``make_middleware(app)`` with a validator around each of the two.

    The validator wants a str under every key without a dot, and looking at a session is a
    touch. So the session is put aside before the inner validator and is back for the app.

    Args:
        make_middleware: Called with the inner app, for example
            ``lambda app: SessionMiddleware(app, secret_key=KEY)``.
        app: The application inside.
        environ_key: Where sessions are, one key or several.
    """
    keys = [environ_key] if isinstance(environ_key, str) else list(environ_key)

    def inside(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ.pop(ASIDE).put_back(environ)
        return app(environ, start_response)

    checked: App = validator(inside)

    def outside(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ[ASIDE] = Aside({key: environ.pop(key) for key in keys if key in environ})
        return checked(environ, start_response)

    outer: App = validator(make_middleware(outside))
    return outer
