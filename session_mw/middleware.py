"""The WSGI shell around a manager (PEP 3333)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from session_mw.exceptions import ConfigurationError, MissingSession, kind_of
from session_mw.manager import SessionManager, is_handshake, is_open
from session_mw.response import Response, StartResponse
from session_mw.session import Session
from session_mw.settings import SettingNames

if TYPE_CHECKING:
    from typing_extensions import Unpack

INNER = ("app", "wsgi_app", "application", "wrapped", "_app")
"""The attributes in which WSGI middlewares keep what they wrap.

Most have ``app``; ``wsgi_app`` is Flask-SocketIO's, ``application`` WhiteNoise's, ``_app`` that of Werkzeug's profiler.
"""
_MOST_LAYERS = 64
_ONE_EACH = "take one of them away, or give one another environ_key, cookie_name and salt"

WSGIApp = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


class SessionMiddleware:
    """Gives a WSGI application ``environ["session"]``, a dict that survives between requests.

    Args:
        app: The application.
        secret_key: Signs the cookie.
        sessions: A ready manager, instead of a key and settings.
        environ_key: Where the application finds its session.
        **settings: The fields of :class:`~session_mw.settings.Settings`.

    Attributes:
        sessions: The manager.

    Raises:
        ConfigurationError: A setting is wrong, or a manager and settings are both given.
    """

    app: WSGIApp
    environ_key: str
    sessions: SessionManager

    def __init__(
        self,
        app: WSGIApp,
        secret_key: str | bytes | None = None,
        *,
        sessions: SessionManager | None = None,
        environ_key: str = "session",
        **settings: Unpack[SettingNames],
    ) -> None:
        _check(app, environ_key, sessions)
        if sessions is not None and (secret_key is not None or settings):
            raise ConfigurationError("give either sessions=manager or a key and settings; the manager has its own")
        self.app = app
        self.environ_key = environ_key
        self.sessions = SessionManager(secret_key, **settings) if sessions is None else sessions
        guard = self.sessions.guard
        self._answer = None if guard is None else guard.serve(self.sessions)
        if guard is not None:
            _check_device_path(app, self.sessions)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request.

        Raises:
            ConfigurationError: Something else has taken the ``environ_key``.
        """
        if self._answer is not None and (answer := self._answer(environ, start_response)) is not None:
            return answer
        if self.environ_key in environ and self._is_taken(environ[self.environ_key]):
            return self.app(environ, start_response)
        sessions = self.sessions
        session = environ[self.environ_key] = sessions.open(environ)
        response = Response()
        response.sessions, response.session, response.start_response = sessions, session, start_response
        response.status = response.outcome = None
        response.failed = False
        if sessions.store is not None:
            response.watch_files(environ)
        try:
            body = self.app(environ, response.start)
            if type(body) is list and response.status is not None and response.outcome is None:
                start_response(response.status, sessions.respond(session, response.headers, response.status))
                return body
            return response.send(body, environ)
        except BaseException as error:
            if isinstance(error, StopIteration) and is_handshake(environ):
                # So simple-websocket's users tell gunicorn that it is to send nothing.
                response.end_without_headers()
            response.end()
            raise

    def _is_taken(self, found: object) -> bool:
        """Whether this request is already served by this manager, further out."""
        if self.sessions.opened(found):
            return is_open(found)
        if isinstance(found, Session):
            raise ConfigurationError(f"another SessionMiddleware is around this one; {_ONE_EACH}")
        raise ConfigurationError(
            f"environ[{self.environ_key!r}] is taken by {kind_of(found)}; give this middleware another environ_key"
        )


def _check(app: object, environ_key: object, sessions: object) -> None:
    if not callable(app):
        raise ConfigurationError(f"app is a WSGI application, a callable; {type(app).__name__} is not")
    if not isinstance(environ_key, str) or not environ_key:
        raise ConfigurationError(f"environ_key is a non-empty str, not {environ_key!r}")
    if sessions is not None and not isinstance(sessions, SessionManager):
        raise ConfigurationError(f"sessions is a SessionManager, not {kind_of(sessions)}")
    if isinstance(app, SessionMiddleware) and app.environ_key == environ_key and app.sessions is not sessions:
        raise ConfigurationError(f"app is wrapped in a SessionMiddleware already; {_ONE_EACH}")


def _check_device_path(app: object, sessions: SessionManager) -> None:
    """See that no middleware further in waits for what this one answers."""
    inner = middleware_in(app)
    while inner is not None:
        path = inner.sessions.settings.device_path
        is_other = inner.sessions is not sessions and inner.sessions.guard is not None
        if is_other and path == sessions.settings.device_path:
            raise ConfigurationError(
                f"two SessionMiddlewares answer what browsers send to {path!r}; give one another device_path"
            )
        inner = middleware_in(inner.app)


def middleware_in(layer: object, environ_key: str | None = None) -> SessionMiddleware | None:
    """The outermost middleware around an application; of those with ``environ_key``, where one is given."""
    for _ in range(_MOST_LAYERS):
        if isinstance(layer, SessionMiddleware) and environ_key in (None, layer.environ_key):
            return layer
        inner = (getattr(layer, name, None) for name in INNER)
        layer = next((found for found in inner if callable(found)), None)
    return None


def get_session(environ: Mapping[str, Any], environ_key: str = "session") -> Session:
    """The request's session.

    Raises:
        MissingSession: No middleware has put one there.
    """
    session = environ.get(environ_key)
    if isinstance(session, Session):
        return session
    raise MissingSession(
        f"environ[{environ_key!r}] holds no session: wrap the outermost application in "
        "SessionMiddleware(app, secret_key=...), and give get_session the environ_key that it has, if any"
    )
