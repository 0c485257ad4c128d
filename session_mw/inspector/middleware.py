"""The WSGI middleware of the inspector (PEP 3333)."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from session_mw.cookies import PATH
from session_mw.exceptions import ConfigurationError, MissingSession
from session_mw.inspector.access import refusal
from session_mw.inspector.html import shown
from session_mw.inspector.page import CONTENT_SECURITY_POLICY, page
from session_mw.manager import SessionManager, leave_unread, manager_of
from session_mw.session import Session

if TYPE_CHECKING:
    from session_mw.middleware import WSGIApp
    from session_mw.response import StartResponse

logger = logging.getLogger("session_mw")

_HEADERS = [
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
]


class SessionInspector:
    """Shows, below one path, the session cookie that the request brought: for development only.

    It belongs inside of the session middleware, around the application. There it finds the manager whose settings
    judge the cookie, and the Cookie header as the middleware got it, and the middleware need not know of it:

        app = SessionMiddleware(SessionInspector(app, debug=True), secret_key=KEY)

    Looking is not a touch. The cookie is judged beside the request's session, which is neither loaded nor refreshed;
    nothing is saved, and nothing is logged.

    The page shows what is in the session, and a token with which anybody could take it over. So it is given to clients
    on this machine alone, under a name of this machine, and not through a proxy, as far as a proxy shows itself.

    Args:
        app: The application, which gets all other requests.
        path: Where the page is, below the application's own root.
        debug: Has to be True. Take it from a setting that production does not have.
        environ_key: Where the session is in the environ.

    Raises:
        ConfigurationError: ``debug`` is not True, or another argument is wrong.
        MissingSession: At a request below the path: the session middleware is not around the inspector.
    """

    def __init__(
        self, app: WSGIApp, path: str = "/_session", debug: bool = False, *, environ_key: str = "session"
    ) -> None:
        if not callable(app):
            raise ConfigurationError(f"app is a WSGI application, a callable; {type(app).__name__} is not")
        if debug is not True:
            raise ConfigurationError(
                "SessionInspector shows sessions to whoever opens its page: it is for development only. Write "
                "SessionInspector(app, debug=True) there, and leave it out in production"
            )
        if not isinstance(path, str) or not PATH.fullmatch(path) or not path.strip("/"):
            raise ConfigurationError(
                f"path is '/' and then printable ASCII without space and ';', such as '/_session'; {path!r} is not"
            )
        if not isinstance(environ_key, str) or not environ_key:
            raise ConfigurationError(f"environ_key is a non-empty str, not {environ_key!r}")
        self.app = app
        self.path = path.rstrip("/")
        self.environ_key = environ_key
        logger.warning("the session inspector shows sessions at %s: for development only", self.path)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer with the page, or pass the request on to the application.

        Raises:
            MissingSession: The session middleware is not around the inspector.
        """
        path = environ.get("PATH_INFO", "")
        if path != self.path and not path.startswith(self.path + "/"):
            return self.app(environ, start_response)
        session = environ.get(self.environ_key)
        if not isinstance(session, Session) or (manager := manager_of(session)) is None:
            raise MissingSession(
                f"environ[{self.environ_key!r}] holds no session: SessionInspector belongs inside of the session "
                "middleware. Write SessionMiddleware(SessionInspector(app, debug=True), secret_key=...), and give both "
                "the same environ_key"
            )
        leave_unread(session)
        status, headers, text = self._answer(environ, manager)
        body = text.encode("utf-8")
        start_response(status, [*headers, *_HEADERS, ("Content-Length", str(len(body)))])
        return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]

    def _answer(self, environ: dict[str, Any], manager: SessionManager) -> tuple[str, list[tuple[str, str]], str]:
        plain = [("Content-Type", "text/plain; charset=utf-8")]
        problem = refusal(environ)
        if problem is not None:
            return "403 Forbidden", plain, f"The session inspector is not for you. {problem}\n"
        if environ.get("REQUEST_METHOD") not in ("GET", "HEAD"):
            return "405 Method Not Allowed", [*plain, ("Allow", "GET, HEAD")], "The session inspector takes GET only.\n"
        address = environ.get("SCRIPT_NAME", "") + self.path
        if environ.get("PATH_INFO", "").rstrip("/") != self.path:
            return "404 Not Found", plain, f"The session inspector is at {shown(address)}\n"
        return "200 OK", [("Content-Type", "text/html; charset=utf-8")], page(manager, environ, address)
