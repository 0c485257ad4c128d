"""Sessions in Flask's manner: a session interface."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

from flask import Flask, Request, Response, has_request_context, request
from flask import session as current_session
from flask.sessions import NullSession as FlaskNullSession
from flask.sessions import SessionInterface, SessionMixin
from werkzeug.datastructures import Headers

from session_mw.config import settings_from_mapping
from session_mw.exceptions import ConfigurationError, StoreError, kind_of
from session_mw.headers import with_session_headers
from session_mw.manager import SessionManager, check_works_alone, is_open, manager_of
from session_mw.middleware import middleware_in
from session_mw.session import NullSession, Session
from session_mw.settings import normalized_path
from session_mw.state import VARIES
from session_mw.stores.fork import PerProcess

if TYPE_CHECKING:
    from typing import Self

# The attribute of a request that keeps the manager that opened its session here; None: the middleware opened it, and
# commits it. It is not a key of the environ, which an application passes on to another that it calls.
_OPENED_BY = "session_mw_opened_by"

_IN_FRONT = "app.wsgi_app = SessionMiddleware(app.wsgi_app, ...), with the settings there, and FlaskSessions() for app"

# Extensions ask isinstance(session, SessionMixin) before they use Flask's attributes.
SessionMixin.register(Session)


class ConfiguredManager(SessionManager):
    """A manager that is made from ``app.config``. It does not warn of a missing key: Flask starts without one."""

    _warns_without_key = False


class FlaskSessions(SessionInterface):
    """What ``flask.session``, ``flash`` and Flask-Login work on.

        FlaskSessions().init_app(app)

    Behind ``SessionMiddleware``, ``flask.session`` is the middleware's session, and the middleware
    commits it. Alone the interface opens and commits with ``sessions``, or else with a manager
    made from ``app.config``, which is read when a request starts, as Flask does, and by ``init_app``.

    Args:
        sessions: The manager; None: the one of a middleware around ``app.wsgi_app``, or the
            settings in ``app.config``.
        environ_key: Where the middleware puts its session.
    """

    def __init__(self, sessions: SessionManager | None = None, *, environ_key: str = "session") -> None:
        if sessions is not None and not isinstance(sessions, SessionManager):
            raise ConfigurationError(
                f"sessions is a SessionManager, not {kind_of(sessions)}; FlaskSessions() reads app.config by itself, "
                "and FlaskSessions().init_app(app) checks it at once"
            )
        self.sessions = sessions
        self.environ_key = environ_key
        self._config: Mapping[str, Any] | None = None
        self._made: WeakKeyDictionary[Flask, tuple[dict[str, Any], SessionManager]] = WeakKeyDictionary()
        self._making = PerProcess(threading.RLock)

    @classmethod
    def from_app_config(cls, app: Flask, *, environ_key: str = "session") -> Self:
        """Take the settings from ``app.config``, by Flask's names and ours, when a request starts.

        As Flask does, it takes ``APPLICATION_ROOT`` for the cookie's path where
        ``SESSION_COOKIE_PATH`` is not set. A wrong setting is a ``ConfigurationError`` then.
        """
        interface = cls(environ_key=environ_key)
        interface._config = app.config
        return interface

    def init_app(self, app: Flask) -> None:
        """Make it the application's session interface, and check the settings in ``app.config`` now.

        They are read again when a request starts, so a key that is set later counts.

        Raises:
            ConfigurationError: A setting is wrong, or the store cannot be made.
        """
        if not isinstance(app, Flask):
            raise ConfigurationError(f"init_app takes a Flask application, not {kind_of(app)}")
        sessions = self.manager_for(app)
        if self.sessions is None and middleware_in(app.wsgi_app, self.environ_key) is None:
            check_works_alone(sessions, _IN_FRONT)
        app.session_interface = self

    def open_session(self, app: Flask, request: Request) -> SessionMixin | None:
        """The request's session; None where there is no secret key and no store.

        Raises:
            ConfigurationError: The settings need ``SessionMiddleware`` in front, and it is not there.
        """
        session = request.environ.get(self.environ_key)
        sessions = None
        if not isinstance(session, Session):
            sessions = self.manager_for(app)
            if sessions.guard is not None and middleware_in(app.wsgi_app, self.environ_key) is None:
                check_works_alone(sessions, _IN_FRONT)
        elif not is_open(session):
            # Flask-SocketIO serves its events with the environ of a request that is over.
            sessions = manager_of(session)
        if sessions is not None:
            session = sessions.open(request.environ)
        setattr(request, _OPENED_BY, sessions)
        # Registered above, which type checkers do not follow.
        return None if isinstance(session, NullSession) else cast("SessionMixin", session)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Commit the session, unless the middleware does.

        Where the store fails and the application has an ``errorhandler(StoreError)``, the handler's answer
        takes the response's place.

        Raises:
            NotSerializable: The session holds what cannot be written.
            CookieTooLarge: A browser would not keep the cookie.
            StoreError: The store failed, and there is no handler for it.
        """
        sessions = getattr(request, _OPENED_BY, None) if has_request_context() else self.manager_for(app)
        if sessions is None:
            return
        ours = cast("Session", session)
        try:
            headers = sessions.respond(ours, list(response.headers), response.status)
        except StoreError as error:
            # session_transaction() of the test client saves a session that is not the request's, for which no response
            # is sent.
            if not has_request_context() or cast("Any", current_session)._get_current_object() is not session:
                raise
            # Flask saves the session with its error page, too. That would wait for the store a second time.
            setattr(request, _OPENED_BY, None)
            # Once the view has returned, Flask itself asks only the handler for 500.
            answer = app.make_response(app.handle_user_exception(error))
            told = list(answer.headers)
            answer.headers = Headers(with_session_headers(told, VARIES, ours, sessions.cookie_name, sessions.notices))
            _replace(response, answer)
        else:
            response.headers = Headers(headers)

    def make_null_session(self, app: Flask) -> FlaskNullSession:
        """A session that reads as empty and refuses every writing, ``|=`` too."""
        return cast("FlaskNullSession", NullSession())

    def is_null_session(self, obj: object) -> bool:
        """Whether it is one that :meth:`make_null_session` made."""
        return isinstance(obj, NullSession)

    def manager_for(self, app: Flask) -> SessionManager:
        """The manager of a middleware around the application, the one that was given, or one by ``app.config``."""
        middleware = middleware_in(app.wsgi_app, self.environ_key)
        if middleware is not None:
            return middleware.sessions
        if self.sessions is not None:
            return self.sessions
        settings = _settings_from(app.config if self._config is None else self._config)
        if app.secret_key:
            # A subclass of Flask may have the key as an attribute instead of in its config.
            settings.setdefault("secret_key", app.secret_key)
        # Two threads must not make two managers: a store in memory would be two stores.
        with self._making.get():
            made = self._made.get(app)
            if made is None or made[0] != settings:
                made = self._made[app] = settings, ConfiguredManager(**settings)
            return made[1]


def _settings_from(config: Mapping[str, Any]) -> dict[str, Any]:
    settings = settings_from_mapping(config)
    if "cookie_path" not in settings:
        root = settings["cookie_path"] = normalized_path(config.get("APPLICATION_ROOT") or "/")
        if not isinstance(root, str) or not root.startswith("/"):
            raise ConfigurationError(
                f"APPLICATION_ROOT is the cookie's path where SESSION_COOKIE_PATH is not set, and begins with '/'; "
                f"{root!r} does not"
            )
    # The settings are compared with those of the last manager: a list that was changed in place would equal itself.
    return {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}


def _replace(response: Response, other: Response) -> None:
    """Make a response, which Flask already holds, into another one."""
    close = getattr(response.response, "close", None)
    if close is not None:
        response.call_on_close(close)
    response.status, response.headers = other.status, other.headers
    response.response, response.direct_passthrough = other.response, other.direct_passthrough
    # The body now belongs to the first response. The other one, which is closed with it, must not close it again.
    other.response = ()
    response.call_on_close(other.close)
