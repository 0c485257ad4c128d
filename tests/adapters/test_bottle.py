"""Bottle's views with our session: the plugin, behind the middleware."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

bottle = pytest.importorskip("bottle")
webtest = pytest.importorskip("webtest")

from session_mw import MemoryStore, MissingSession, SessionMiddleware, get_session  # noqa: E402
from session_mw.adapters.bottle import SessionPlugin  # noqa: E402

KEY = "a-secret-key-of-32-characters-00"


def visits(session: Any) -> str:
    session["visits"] = session.get("visits", 0) + 1
    return str(session["visits"])


@pytest.fixture(params=["in the cookie", "in a store"])
def serve(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Makes a test app whose page ``/`` is the view and whose page ``/visits`` counts."""

    def make(view: Callable[..., Any] = visits, **more: Callable[..., Any]) -> Any:
        app = bottle.Bottle()
        app.install(SessionPlugin())
        app.get("/", callback=view)
        app.get("/visits", callback=visits)
        for name, another in more.items():
            app.get("/" + name, callback=another)
        stored = request.param == "in a store"
        return webtest.TestApp(SessionMiddleware(app, store=MemoryStore()) if stored else SessionMiddleware(app, KEY))

    return make


def test_a_view_that_names_the_keyword_gets_the_session(serve: Any) -> None:
    app = serve()
    assert [app.get("/").text for _ in range(3)] == ["1", "2", "3"]


def test_a_view_that_does_not_name_it_is_called_without(serve: Any) -> None:
    answer = serve(lambda: "no session").get("/")
    assert answer.text == "no session"
    assert "Vary" not in answer.headers


def test_the_session_is_the_very_one_in_the_environ(serve: Any) -> None:
    assert serve(lambda session: str(session is get_session(bottle.request.environ))).get("/").text == "True"


def test_a_decorated_view_gets_it(serve: Any) -> None:
    def decorated(session: Any) -> str:
        return visits(session)

    @functools.wraps(decorated)
    def around(*args: Any, **kw: Any) -> Any:
        return decorated(*args, **kw)

    assert serve(around).get("/").text == "1"


def test_a_keyword_only_argument_and_one_with_a_default_get_it(serve: Any) -> None:
    def keyword_only(*, session: Any) -> str:
        return visits(session)

    def with_default(session: Any = None) -> str:
        return visits(session)

    app = serve(keyword_only, default=with_default)
    assert [app.get("/").text, app.get("/default").text] == ["1", "2"]


def test_arguments_of_the_path_come_too() -> None:
    app = bottle.Bottle()
    app.install(SessionPlugin())
    app.get("/<name>", callback=lambda name, session: name + visits(session))
    assert webtest.TestApp(SessionMiddleware(app, KEY)).get("/alice").text == "alice1"


def test_another_keyword_and_another_environ_key() -> None:
    app = bottle.Bottle()
    app.install(SessionPlugin(keyword="visitor", environ_key="app.session"))
    app.get("/", callback=lambda visitor: visits(visitor))
    assert webtest.TestApp(SessionMiddleware(app, KEY, environ_key="app.session")).get("/").text == "1"


def test_redirect_and_abort_keep_the_cookie(serve: Any) -> None:
    def redirect(session: Any) -> None:
        visits(session)
        bottle.redirect("/visits")

    def abort(session: Any) -> None:
        visits(session)
        bottle.abort(403)

    app = serve(redirect, abort=abort)
    assert len(app.get("/", status=302).headers.getall("Set-Cookie")) == 1
    app.reset()
    assert len(app.get("/abort", status=403).headers.getall("Set-Cookie")) == 1
    assert app.get("/visits").text == "2"


def test_a_response_of_the_views_own_keeps_the_cookie(serve: Any) -> None:
    def own(session: Any) -> Any:
        visits(session)
        return bottle.HTTPResponse("own", 201, {"Vary": "Accept"})

    headers = serve(own).get("/", status=201).headers
    assert len(headers.getall("Set-Cookie")) == 1
    assert headers.getall("Vary") == ["Accept, Cookie"]


def test_the_views_own_cookies_are_sent_beside(serve: Any) -> None:
    def two(session: Any) -> str:
        bottle.response.set_cookie("theme", "dark")
        return visits(session)

    cookies = serve(two).get("/").headers.getall("Set-Cookie")
    assert [cookie.partition("=")[0] for cookie in cookies] == ["theme", "session"]


def test_a_template_error_is_a_page_that_keeps_the_cookie(serve: Any) -> None:
    def template(session: Any) -> Any:
        visits(session)
        return bottle.template("{{ 1 // 0 }}")

    app = serve(template)
    answer = app.get("/", status=500, expect_errors=True)
    assert len(answer.headers.getall("Set-Cookie")) == 1
    assert app.get("/visits").text == "2"


def test_a_streaming_view_keeps_the_cookie(serve: Any) -> None:
    def stream(session: Any) -> Iterator[str]:
        yield "visit "
        yield str(session.get("visits", 0))

    def stream_after(session: Any) -> Iterator[str]:
        visits(session)
        yield "visit "
        yield str(session["visits"])

    app = serve(stream, after=stream_after)
    answer = app.get("/after")
    assert answer.text == "visit 1"
    assert len(answer.headers.getall("Set-Cookie")) == 1
    assert app.get("/").text == "visit 1"


def test_a_change_while_streaming_is_warned_about(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    def late(session: Any) -> Iterator[str]:
        yield "one"
        session["late"] = True
        yield "two"

    with caplog.at_level(logging.WARNING, "session_mw"):
        assert serve(late).get("/").text == "onetwo"
    assert [__file__ in record.getMessage() for record in caplog.records] == [True]


def test_a_mounted_application_shares_the_session() -> None:
    inner, outer = bottle.Bottle(), bottle.Bottle()
    for app in (inner, outer):
        app.install(SessionPlugin())
        app.get("/visits", callback=visits)
    outer.mount("/inner/", inner)
    app = webtest.TestApp(SessionMiddleware(outer, KEY))
    assert [app.get(path).text for path in ("/visits", "/inner/visits", "/visits")] == ["1", "2", "3"]


def test_without_the_middleware_the_error_names_it() -> None:
    app = bottle.Bottle()
    app.catchall = False
    app.install(SessionPlugin())
    app.get("/", callback=visits)
    with pytest.raises(MissingSession, match="SessionMiddleware"):
        webtest.TestApp(app).get("/")


def test_two_plugins_for_one_keyword_are_refused() -> None:
    app = bottle.Bottle()
    app.install(SessionPlugin())
    app.install(SessionPlugin(keyword="other"))
    with pytest.raises(bottle.PluginError, match="'session'"):
        app.install(SessionPlugin())


def test_a_route_can_skip_the_plugin_by_its_name() -> None:
    app = bottle.Bottle()
    app.install(SessionPlugin())
    app.get("/", callback=lambda session="none": str(session), skip=["session"])
    assert webtest.TestApp(SessionMiddleware(app, KEY)).get("/").text == "none"
