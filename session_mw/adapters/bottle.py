"""Sessions in Bottle's manner: a plugin that hands the session, and the log-in, to the views that name them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

from bottle import PluginError, request

from session_mw.login import get_login
from session_mw.login.middleware import has_login
from session_mw.middleware import get_session


class SessionPlugin:
    """Gives the request's session to every view with an argument of the keyword's name.

        app = bottle.Bottle()
        app.install(SessionPlugin())

        @app.get("/")
        def index(session): ...

        application = SessionMiddleware(app, secret_key=...)

    The middleware opens and commits, outside of Bottle, so that ``redirect``, ``abort`` and error
    pages, which begin a response of their own, keep the cookie.

    Args:
        keyword: The argument's name.
        environ_key: Where the middleware puts the session.
        login_keyword: The name of the argument that gets the request's log-in, behind LoginMiddleware.
    """

    name = "session"
    api = 2

    def __init__(self, keyword: str = "session", environ_key: str = "session", *, login_keyword: str = "login") -> None:
        self.keyword = keyword
        self.environ_key = environ_key
        self.login_keyword = login_keyword

    def setup(self, app: Any) -> None:
        """Called by Bottle when the plugin is installed.

        Raises:
            bottle.PluginError: Another session plugin hands out the same keyword.
        """
        for other in app.plugins:
            if other is not self and isinstance(other, SessionPlugin) and other.keyword == self.keyword:
                raise PluginError(f"two session plugins for the keyword {self.keyword!r}; give one another keyword")

    def apply(self, callback: Callable[..., Any], route: Any) -> Callable[..., Any]:
        """Called by Bottle for each route.

        Raises:
            MissingSession: In a request, where the middleware is not in front.
        """
        parameters = inspect.signature(route.callback).parameters
        wants_session, wants_login = self.keyword in parameters, self.login_keyword in parameters
        if not (wants_session or wants_login):
            return callback

        @wraps(callback)
        def with_session(*args: Any, **arguments: Any) -> Any:
            environ = request.environ
            if wants_session:
                arguments[self.keyword] = get_session(environ, self.environ_key)
            # A part of the URL may be called login too, or another plugin's argument.
            if wants_login and self.login_keyword not in arguments and has_login(environ):
                arguments[self.login_keyword] = get_login(environ)
            return callback(*args, **arguments)

        return with_session
