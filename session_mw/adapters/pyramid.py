"""Sessions in Pyramid's manner: ``config.include("session_mw.adapters.pyramid")``."""

from __future__ import annotations

from typing import Any, cast
from weakref import WeakValueDictionary

from pyramid.events import NewRequest
from pyramid.interfaces import PHASE2_CONFIG, ISession
from zope.interface import classImplements

from session_mw.adapters.pyramid_login import LoginSecurityPolicy as LoginSecurityPolicy
from session_mw.adapters.pyramid_login import set_default_policy
from session_mw.csrf import csrf_secret, new_csrf_secret
from session_mw.exceptions import ConfigurationError, MissingSession
from session_mw.flash import flash, peek_flashes, pop_flashes
from session_mw.login import get_login
from session_mw.login.middleware import has_login
from session_mw.manager import SessionManager, check_works_alone, is_open, manager_of, was_changed
from session_mw.session import NullSession, Session

PREFIX = "session."

# Pyramid's default queue is Flask's default category, so that each shows the other's messages.
# The two names are exchanged: every other queue keeps its own name, and no two share one.
_CATEGORIES = {"": "message", "message": ""}

# The attribute of a request that keeps what was opened for it.
_OPENED = "session_mw_opened"

_unwritten: WeakValueDictionary[int, Session] = WeakValueDictionary()
"""The sessions, by ``id()``, to which nothing had been written when the first of several tries began.

The tries share the session and nothing else: each has a request and a copy of the environ of its own.
"""


class PyramidSession(Session):
    """A session with the methods of Pyramid's ``ISession`` besides its own."""

    # An open session gets this class by assignment to __class__, which Python allows only between equal layouts.
    __slots__ = ()

    def changed(self) -> None:
        """Have the session saved as it is. Changes inside its lists and dicts are found without it."""
        self.modified = True

    def flash(self, msg: Any, queue: str = "", allow_duplicate: bool = True) -> None:
        """Keep a message in a queue, unless it is there already and ``allow_duplicate`` is False.

        The queues are the categories of :mod:`session_mw.flash` and of Flask.
        """
        if allow_duplicate or msg not in self.peek_flash(queue):
            flash(self, msg, _CATEGORIES.get(queue, queue))

    def pop_flash(self, queue: str = "") -> list[Any]:
        """Take the messages out of a queue, the oldest first."""
        return [message for _, message in pop_flashes(self, [_CATEGORIES.get(queue, queue)])]

    def peek_flash(self, queue: str = "") -> list[Any]:
        """The messages of a queue, which stay in it."""
        return [message for _, message in peek_flashes(self, [_CATEGORIES.get(queue, queue)])]

    def new_csrf_token(self) -> str:
        """Renew the CSRF secret, and return it."""
        return new_csrf_secret(self)

    def get_csrf_token(self) -> str:
        """The CSRF secret itself, since Pyramid's policy compares for equality; made if the session lacks one.

        Pages that are sent compressed are better served by ``session_mw.csrf.csrf_token``, with
        ``check_csrf`` to check.
        """
        return csrf_secret(self)


class PyramidNullSession(PyramidSession, NullSession):
    """The same, where nothing is set up to keep a session."""

    __slots__ = ()


classImplements(PyramidSession, ISession)


class PyramidSessions:
    """Pyramid's session factory.

    Args:
        sessions: The manager; None: only a middleware's session is used.
        environ_key: Where the middleware puts its session.
    """

    def __init__(self, sessions: SessionManager | None, environ_key: str) -> None:
        self.sessions = sessions
        self.environ_key = environ_key

    def __call__(self, request: Any) -> PyramidSession:
        """The request's session: the very object that is in the environ.

        Raises:
            MissingSession: The middleware is not in front, and there are no settings.
            ConfigurationError: The environ's key is taken by something else.
        """
        found = request.environ.get(self.environ_key)
        if isinstance(found, Session) and not self._opened(found):
            return _with_pyramid_methods(found)
        if self.sessions is None:
            raise MissingSession(
                f"environ[{self.environ_key!r}] holds no session: set {PREFIX}secret_key (or {PREFIX}store) in the "
                "application's settings, or wrap it in SessionMiddleware(app, secret_key=...)"
            )
        if found is not None and not isinstance(found, Session):
            raise ConfigurationError(
                f"environ[{self.environ_key!r}] is taken by a {type(found).__name__} of something else; "
                f"set {PREFIX}environ_key to another name"
            )
        # Not found in the environ: a request that is tried again (pyramid_retry) shares it with its first try.
        session = getattr(request, _OPENED, None)
        return _open(self.sessions, request, self.environ_key) if session is None else session

    def begin(self, event: Any) -> None:
        """A request begins: have its session committed, whether it will be touched or not."""
        environ = event.request.environ
        found, attempt = environ.get(self.environ_key), environ.get("retry.attempt")
        if self.sessions is not None:
            self(event.request)
        if attempt is None or not isinstance(found, Session) or self._opened(found):
            return
        # pyramid_retry tries the request several times with the middleware's one session. What a failed try did to
        # the session must go with the try.
        session = _with_pyramid_methods(found)
        if attempt == 0:
            if not was_changed(session):
                _unwritten[id(session)] = session
            return
        manager = manager_of(session)
        if manager is not None and is_open(session) and _unwritten.get(id(session)) is session:
            manager.reopen(session)
            if has_login(environ):
                get_login(environ).reopen()

    def _opened(self, session: Session) -> bool:
        return self.sessions is not None and self.sessions.opened(session)


def _open(sessions: SessionManager, request: Any, environ_key: str) -> PyramidSession:
    session = _with_pyramid_methods(sessions.open(request.environ))
    setattr(request, _OPENED, session)
    request.environ[environ_key] = session

    def commit(request: Any, response: Any) -> None:
        response.headerlist = sessions.respond(session, response.headerlist, response.status)

    def commit_last(request: Any, response: Any) -> None:
        # Added only now, so that it runs after the application's own callbacks, which may write to the session.
        request.add_response_callback(commit)

    request.add_response_callback(commit_last)
    return session


def _with_pyramid_methods(session: Session) -> PyramidSession:
    if not isinstance(session, PyramidSession):
        # Not a wrapper: Flask and Bottle under the same middleware hold this very object.
        session.__class__ = PyramidNullSession if isinstance(session, NullSession) else PyramidSession
    return cast("PyramidSession", session)


def includeme(config: Any) -> None:
    """Set the session factory; called by ``config.include``.

    The settings are the application's that begin with ``session.``: ``session.secret_key``,
    ``session.lifetime = 30 days``, and ``session.environ_key``. Without any, or behind
    ``SessionMiddleware``, ``request.session`` is the middleware's. Behind ``LoginMiddleware``, an application
    without a security policy of its own gets :class:`LoginSecurityPolicy`.

    Raises:
        ConfigurationError: A setting is wrong.
    """
    names = [name for name in config.registry.settings if name.startswith(PREFIX)]
    settings = {name.removeprefix(PREFIX): config.registry.settings[name] for name in names}
    environ_key = settings.pop("environ_key", "session")
    sessions = SessionManager.from_mapping(settings) if settings else None
    if sessions is not None:
        check_works_alone(sessions, "SessionMiddleware(config.make_wsgi_app(), ...), with the settings there")
    factory = PyramidSessions(sessions, environ_key)
    config.set_session_factory(factory)
    if not config.autocommit:
        # After the application's own policy, of the new or the old kind, and before its views.
        config.action(None, set_default_policy, (config,), order=PHASE2_CONFIG + 5)
    config.add_subscriber(factory.begin, NewRequest)
