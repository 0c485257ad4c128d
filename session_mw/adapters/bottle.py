"""Sessions in Bottle's manner: plugins that hand the session, or the log-in, to the views that name it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

from bottle import PluginError, request

from session_mw.login import get_login
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
    """

    name = "session"
    api = 2

    def __init__(self, keyword: str = "session", environ_key: str = "session") -> None:
        self.keyword = keyword
        self.environ_key = environ_key

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
        if self.keyword not in inspect.signature(route.callback).parameters:
            return callback

        @wraps(callback)
        def with_session(*args: Any, **arguments: Any) -> Any:
            arguments[self.keyword] = get_session(request.environ, self.environ_key)
            return callback(*args, **arguments)

        return with_session


class LoginPlugin:
    """Gives the request's log-in to every view with an argument of the keyword's name.

        app = bottle.Bottle()
        app.install(LoginPlugin())

        @app.get("/")
        def index(login): ...

        application = SessionMiddleware(LoginMiddleware(app, load_user=...), secret_key=...)

    Args:
        keyword: The argument's name.
    """

    name = "login"
    api = 2

    def __init__(self, keyword: str = "login") -> None:
        self.keyword = keyword

    def setup(self, app: Any) -> None:
        """Called by Bottle when the plugin is installed.

        Raises:
            bottle.PluginError: Another log-in plugin hands out the same keyword.
        """
        for other in app.plugins:
            if other is not self and isinstance(other, LoginPlugin) and other.keyword == self.keyword:
                raise PluginError(f"two log-in plugins for the keyword {self.keyword!r}; give one another keyword")

    def apply(self, callback: Callable[..., Any], route: Any) -> Callable[..., Any]:
        """Called by Bottle for each route.

        Raises:
            MissingSession: In a request, where LoginMiddleware is not in front.
        """
        if self.keyword not in inspect.signature(route.callback).parameters:
            return callback

        @wraps(callback)
        def with_login(*args: Any, **arguments: Any) -> Any:
            arguments[self.keyword] = get_login(request.environ)
            return callback(*args, **arguments)

        return with_login
