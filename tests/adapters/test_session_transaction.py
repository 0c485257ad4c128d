"""The session of a webtest app, seeded and read from outside of a request."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable
from typing import Any

import pytest

webtest = pytest.importorskip("webtest")

from session_mw import MemoryStore, MissingSession, SessionManager, SessionMiddleware  # noqa: E402
from session_mw.testing import session_transaction  # noqa: E402

KEY = "a-secret-key-of-32-characters-00"
HTTPS = {"wsgi.url_scheme": "https"}


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    session = environ["session"]
    if environ["PATH_INFO"].endswith("/write"):
        session["written"] = True
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [repr(sorted(session.items())).encode()]


SETTINGS: list[dict[str, Any]] = [
    {"secret_key": KEY},
    {"secret_key": KEY, "cookie_path": "/shop"},
    {"secret_key": KEY, "cookie_secure": True},
    {"secret_key": KEY, "cookie_name": "__Host-session"},
    {"store": "memory://"},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_what_was_seeded_is_there_in_the_next_request(settings: dict[str, Any]) -> None:
    test_app = webtest.TestApp(SessionMiddleware(app, **settings), extra_environ=HTTPS)
    with session_transaction(test_app) as session:
        session["user"] = "42"
    assert test_app.get("/shop/write").text == "[('user', '42'), ('written', True)]"
    with session_transaction(test_app) as session:
        assert session == {"user": "42", "written": True}
        del session["user"]
    assert test_app.get("/shop").text == "[('written', True)]"


def test_a_secure_cookie_comes_back_over_https_only() -> None:
    test_app = webtest.TestApp(SessionMiddleware(app, KEY, cookie_secure=True))
    with session_transaction(test_app) as session:
        session["user"] = "42"
    assert test_app.get("/").text == "[]"
    assert test_app.get("/", extra_environ=HTTPS).text == "[('user', '42')]"


def test_a_block_that_raises_changes_nothing() -> None:
    test_app = webtest.TestApp(SessionMiddleware(app, KEY))
    with pytest.raises(ZeroDivisionError), session_transaction(test_app) as session:
        session["half"] = 1 / session.setdefault("zero", 0)
    assert test_app.get("/").text == "[]"


def test_a_block_that_only_reads_sets_no_cookie() -> None:
    test_app = webtest.TestApp(SessionMiddleware(app, KEY))
    with session_transaction(test_app) as session:
        assert session == {}
    assert test_app.cookies == {}


def test_the_application_is_not_called() -> None:
    called: list[str] = []

    def counting(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        called.append(environ["PATH_INFO"])
        return app(environ, start_response)

    test_app = webtest.TestApp(SessionMiddleware(counting, KEY))
    with session_transaction(test_app) as session:
        session["user"] = "42"
    assert called == []
    test_app.get("/after")
    assert called == ["/after"]


class Layer:
    """As WSGI middlewares are, each with a name of its own for what it wraps."""

    def __init__(self, name: str, app: Any) -> None:
        setattr(self, name, app)
        self.inner = app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        return self.inner(environ, start_response)


@pytest.mark.parametrize("name", ["app", "application", "wsgi_app"])
def test_the_middleware_is_found_behind_others(name: str) -> None:
    test_app = webtest.TestApp(Layer("app", Layer(name, SessionMiddleware(app, KEY))))
    with session_transaction(test_app) as session:
        session["user"] = "42"
    assert test_app.get("/").text == "[('user', '42')]"


def test_an_application_that_wraps_itself_is_no_endless_loop() -> None:
    layer = Layer("app", app)
    layer.app = layer  # type: ignore[attr-defined]
    with pytest.raises(MissingSession), session_transaction(webtest.TestApp(layer)):
        pass


def test_a_manager_can_be_named() -> None:
    inner = SessionMiddleware(app, KEY)
    outer = SessionMiddleware(inner, store=MemoryStore(), environ_key="outer", cookie_name="outer")
    test_app = webtest.TestApp(outer)
    with session_transaction(test_app, inner.sessions) as session:
        session["user"] = "42"
    assert test_app.get("/").text == "[('user', '42')]"
    assert list(test_app.cookies) == ["session"]


def test_without_a_middleware_the_error_says_what_to_pass() -> None:
    test_app = webtest.TestApp(app)
    with (
        pytest.raises(MissingSession, match=r"session_transaction\(test_app, sessions\)"),
        session_transaction(test_app),
    ):
        pass
    with session_transaction(test_app, SessionManager(KEY)) as session:
        session["user"] = "42"
    assert list(test_app.cookies) == ["session"]


def test_it_needs_no_pytest() -> None:
    code = "import sys; sys.modules['pytest'] = None; from session_mw.testing import session_transaction"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
