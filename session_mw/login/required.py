"""Applications, or parts of them, that need a log-in."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from session_mw.exceptions import ConfigurationError
from session_mw.login.middleware import get_login, login_url_of
from session_mw.login.redirects import login_url_for
from session_mw.middleware import WSGIApp
from session_mw.response import StartResponse

_ASKED = b"Log in to see this page.\n"
_REFUSED = b"Log in, and try again.\n"


def login_required(app: WSGIApp, *, fresh: bool = False, fresh_for: timedelta | float | None = None) -> WSGIApp:
    """An application that lets only those through who are logged in; inside LoginMiddleware.

    Anyone else gets a redirect to the log-in page (303, with this request's path and query as ``next``) for a GET or
    HEAD, and 401 for any other method.

    Args:
        app: The application.
        fresh: Whether the password has to be given in this session: whom a remember cookie brought back has to log in
            again, or ``confirm()``.
        fresh_for: A timedelta or seconds for which that counts; implies ``fresh``.

    Raises:
        ConfigurationError: A setting is wrong.
    """
    if not callable(app):
        raise ConfigurationError(f"app is a WSGI application, a callable; {type(app).__name__} is none")
    if not isinstance(fresh, bool):
        raise ConfigurationError(f"fresh is True or False, not {fresh!r}")
    seconds = None if fresh_for is None else _seconds(fresh_for)

    def guarded(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if _passes(environ, fresh, seconds):
            return app(environ, start_response)
        return _answer(environ, start_response)

    return guarded


def _passes(environ: dict[str, Any], fresh: bool, seconds: float | None) -> bool:
    login = get_login(environ)
    if login.user_id is None or (fresh and not login.is_fresh):
        return False
    if seconds is None:
        return True
    confirmed = login.confirmed
    return confirmed is not None and int(time.time()) - confirmed <= seconds


def _answer(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    method = environ.get("REQUEST_METHOD")
    if method in ("GET", "HEAD"):
        body = _ASKED
        status, header = "303 See Other", ("Location", login_url_for(login_url_of(environ), environ))
    else:
        body = _REFUSED
        # RFC 9110 §15.5.2 wants a challenge; this one makes no browser ask for a password by itself.
        status, header = "401 Unauthorized", ("WWW-Authenticate", "Cookie")
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body))), header])
    return [] if method == "HEAD" else [body]


def _seconds(value: object) -> float:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds > 0:
        raise ConfigurationError(f"fresh_for is a timedelta or a number of seconds above 0; {value!r} is not")
    return seconds
