"""The session of a ``webtest.TestApp``, read and written from outside of a request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from session_mw.exceptions import MissingSession
from session_mw.manager import SessionManager
from session_mw.middleware import middleware_in
from session_mw.response import StartResponse
from session_mw.session import Session
from session_mw.state import Header


@contextmanager
def session_transaction(webtest_app: Any, sessions: SessionManager | None = None) -> Iterator[Session]:
    """Read and seed the session that the next request of a ``webtest.TestApp`` brings.

        with session_transaction(test_app) as session:
            session["user"] = "42"
        assert "Hello, 42" in test_app.get("/")

    The session is committed at the block's end, and not if the block raises. A cookie that is
    Secure is kept and sent by the test app over https only.

    Args:
        webtest_app: A ``TestApp`` whose application has a ``SessionMiddleware`` around it.
        sessions: The manager, where an adapter works without the middleware, or where several
            middlewares are in front; None: the outermost middleware's.

    Raises:
        MissingSession: No middleware is around the application, and no manager was given.
    """
    manager = _manager_of(webtest_app.app) if sessions is None else sessions
    session = manager.open(_visit(webtest_app, manager, []))
    yield session
    headers = manager.commit(session)
    _visit(webtest_app, manager, headers)


def _manager_of(app: object) -> SessionManager:
    middleware = middleware_in(app)
    if middleware is not None:
        return middleware.sessions
    raise MissingSession(
        f"no SessionMiddleware was found around the {type(app).__name__}; "
        "pass the manager: session_transaction(test_app, sessions)"
    )


def _visit(webtest_app: Any, manager: SessionManager, headers: list[Header]) -> dict[str, Any]:
    """Let the test app send its cookies to a page that sets ``headers``, and give back what was sent."""
    seen: dict[str, Any] = {}

    def page(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        seen.update(environ)
        start_response("200 OK", [("Content-Type", "text/plain"), *headers])
        return [b""]

    tested, webtest_app.app = webtest_app.app, page
    try:
        extra = {"wsgi.url_scheme": "https"} if manager.settings.cookie_secure is True else {}
        webtest_app.get(manager.settings.cookie_path, extra_environ=extra)
    finally:
        webtest_app.app = tested
    return seen
