"""The WSGI middleware: one Login for each request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Literal

from session_mw.exceptions import ConfigurationError, MissingSession
from session_mw.login.facts import Versions
from session_mw.login.login import Login, Parts
from session_mw.login.remember import Remember
from session_mw.login.response import LoginResponse
from session_mw.login.settings import LoginSettings
from session_mw.manager import manager_of
from session_mw.middleware import WSGIApp, get_session
from session_mw.response import StartResponse
from session_mw.session import Session

_KEY = "session_mw.login"


class LoginMiddleware:
    """Gives a WSGI application log-in on its session; inside SessionMiddleware.

        app = LoginMiddleware(app, load_user=users.get, login_url="/login")
        app = SessionMiddleware(app, secret_key=KEY)

    Args:
        app: The application.
        load_user: Finds the user by the id; None where there is no such user any more. Called at most once a
            request, and only where somebody asks who is logged in. Where its result has a ``session_version`` (a
            str that changes with the password), sessions and remember cookies made under another one end.
        login_url: Where :func:`.login_required` sends visitors.
        remember_lifetime: A timedelta or seconds for which a device is remembered after the log-in; at most 400 days.
        remember_cookie_name: The remember cookie's name; its attributes are the session cookie's.
        max_sessions: How many sessions a user may have at once (ASVS 5.0, 7.1.2): a log-in beyond ends the one
            used least recently. Needs a store with an index. None: any number.
        protection: What is done where a session comes with another User-Agent than that of the log-in: ``"basic"``
            takes its freshness away, ``"strong"`` ends it.
        remote_user: Whether ``environ["REMOTE_USER"]`` tells the user's id, for code that goes by it; the user is
            asked for once in every request then.
        environ_key: Where SessionMiddleware puts the session.

    Raises:
        ConfigurationError: A setting is wrong.
    """

    def __init__(
        self,
        app: WSGIApp,
        *,
        load_user: Callable[[str], Any],
        login_url: str = "/login",
        remember_lifetime: timedelta | float = timedelta(days=30),
        remember_cookie_name: str = "remember",
        max_sessions: int | None = None,
        protection: Literal["basic", "strong"] | None = None,
        remote_user: bool = False,
        environ_key: str = "session",
    ) -> None:
        if not callable(app):
            raise ConfigurationError(f"app is a WSGI application, a callable; {type(app).__name__} is none")
        if not isinstance(environ_key, str) or not environ_key:
            raise ConfigurationError(f"environ_key is a non-empty str, not {environ_key!r}")
        self.app = app
        self.environ_key = environ_key
        self.settings = LoginSettings(
            load_user, login_url, remember_lifetime, remember_cookie_name, max_sessions, protection, remote_user
        )
        self._parts: Parts | None = None

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request.

        Raises:
            MissingSession: SessionMiddleware is not in front.
            ConfigurationError: A setting does not go with the manager's; in the first request.
        """
        session = get_session(environ, self.environ_key)
        parts = self._parts_of(session)
        login = Login(self.settings, parts, environ, session)
        environ[_KEY] = login, self.settings.login_url
        if self.settings.remote_user:
            _set_remote_user(environ, login.user_id)
        response = LoginResponse(login, session, parts.sessions.notices, start_response)
        return response.send(self.app(environ, response.start))

    def _parts_of(self, session: Session) -> Parts:
        sessions = manager_of(session)
        if sessions is None:
            raise MissingSession("the session in the environ is of no manager; put SessionMiddleware in front")
        parts = self._parts
        if parts is None or parts.sessions is not sessions:
            remember = Remember(self.settings, sessions, session._backend)
            parts = self._parts = Parts(sessions, remember, Versions(sessions.settings))
        return parts


def get_login(environ: Mapping[str, Any]) -> Login:
    """Who is logged in, and what changes that.

    Raises:
        MissingSession: LoginMiddleware is not in front.
    """
    return _found(environ)[0]


def has_login(environ: Mapping[str, Any]) -> bool:
    """Whether LoginMiddleware is in front."""
    return _KEY in environ


def login_url_of(environ: Mapping[str, Any]) -> str:
    """The ``login_url`` of the request's LoginMiddleware.

    Raises:
        MissingSession: LoginMiddleware is not in front.
    """
    return _found(environ)[1]


def _found(environ: Mapping[str, Any]) -> tuple[Login, str]:
    found: tuple[Login, str] | None = environ.get(_KEY)
    if found is None:
        raise MissingSession(
            "the environ holds no log-in: wrap the application in LoginMiddleware(app, load_user=...), and that in "
            "SessionMiddleware(app, secret_key=...)"
        )
    return found


def _set_remote_user(environ: dict[str, Any], user_id: str | None) -> None:
    if user_id is None:
        # A server's own, or a front proxy's, would be taken for ours.
        environ.pop("REMOTE_USER", None)
    else:
        # A WSGI str holds bytes (PEP 3333).
        environ["REMOTE_USER"] = user_id.encode().decode("latin-1")
