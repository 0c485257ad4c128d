"""Frameworks without an adapter, which find the session in the environ; and several under one middleware."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from session_mw import MemoryStore, SessionMiddleware, get_session
from support.django_project import configure_django

webtest = pytest.importorskip("webtest")

KEY = "a-secret-key-of-32-characters-00"
App = Callable[..., Iterable[bytes]]


def count(environ: dict[str, Any]) -> str:
    session = get_session(environ)
    session["visits"] = session.get("visits", 0) + 1
    return str(session["visits"])


@pytest.fixture(params=["in the cookie", "in a store"])
def wrap(request: pytest.FixtureRequest) -> Callable[[App], Any]:
    """Puts the middleware around an app, and makes a test app of it."""
    stored = request.param == "in a store"
    return lambda app: webtest.TestApp(
        SessionMiddleware(app, store=MemoryStore()) if stored else SessionMiddleware(app, KEY)
    )


def check(app: Any) -> None:
    """``/`` counts, ``/move`` counts and redirects, ``/plain`` leaves the session alone."""
    first = app.get("/")
    assert (first.text, len(first.headers.getall("Set-Cookie"))) == ("1", 1)
    assert first.headers.getall("Vary") == ["Cookie"]
    assert [app.get("/").text, app.get("/").text] == ["2", "3"]
    plain = app.get("/plain")
    assert "Set-Cookie" not in plain.headers
    assert "Vary" not in plain.headers
    app.reset()
    moved = app.get("/move", status="3*")
    assert len(moved.headers.getall("Set-Cookie")) == 1
    assert app.get("/").text == "2"


def test_falcon(wrap: Any) -> None:
    falcon = pytest.importorskip("falcon")

    class Count:
        def on_get(self, request: Any, response: Any) -> None:
            response.text = count(request.env)

    class Move:
        def on_get(self, request: Any, response: Any) -> None:
            count(request.env)
            raise falcon.HTTPFound("/")

    class Plain:
        def on_get(self, request: Any, response: Any) -> None:
            response.text = "plain"

    app = falcon.App()
    for path, resource in (("/", Count()), ("/move", Move()), ("/plain", Plain())):
        app.add_route(path, resource)
    check(wrap(app))


def test_django(wrap: Any) -> None:
    pytest.importorskip("django")
    check(wrap(django_app()))


def django_app() -> App:
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpResponse, HttpResponseRedirect
    from django.urls import path

    def index(request: Any) -> Any:
        return HttpResponse(count(request.META))

    def move(request: Any) -> Any:
        count(request.environ)
        return HttpResponseRedirect("/")

    def plain(request: Any) -> Any:
        return HttpResponse("plain")

    configure_django()
    settings.ROOT_URLCONF = (path("", index), path("move", move), path("plain", plain))
    handler: App = WSGIHandler()
    return handler


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_cherrypy(wrap: Any) -> None:
    cherrypy = pytest.importorskip("cherrypy")

    class Root:
        @cherrypy.expose
        def index(self) -> str:
            return count(cherrypy.request.wsgi_environ)

        @cherrypy.expose
        def move(self) -> None:
            count(cherrypy.request.wsgi_environ)
            raise cherrypy.HTTPRedirect("/")

        @cherrypy.expose
        def plain(self) -> str:
            return "plain"

    check(wrap(cherrypy.Application(Root())))


def test_a_plain_function(wrap: Any) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        moved = environ["PATH_INFO"] == "/move"
        headers = [("Content-Type", "text/plain"), *([("Location", "/")] if moved else [])]
        start_response("302 Found" if moved else "200 OK", headers)
        return [b"plain" if environ["PATH_INFO"] == "/plain" else count(environ).encode()]

    check(wrap(app))


def bottle_part() -> App:
    bottle = pytest.importorskip("bottle")
    from session_mw.adapters.bottle import SessionPlugin

    app = bottle.Bottle()
    app.install(SessionPlugin())

    @app.get("/in")
    def log_in(session: Any) -> None:
        session.regenerate_id()
        session["user"] = "alice"
        bottle.redirect("/flask/me")

    @app.get("/me")
    def me(session: Any) -> str:
        return f"Bottle sees {session.get('user')}"

    wsgi: App = app
    return wsgi


def pyramid_part() -> App:
    config = pytest.importorskip("pyramid.config").Configurator(settings={})
    config.include("session_mw.adapters.pyramid")
    config.add_route("me", "/me")
    config.add_route("flash", "/flash")
    config.add_view(lambda request: f"Pyramid sees {request.session.get('user')}", route_name="me", renderer="string")
    config.add_view(lambda request: request.session.flash("From Pyramid."), route_name="flash", renderer="string")
    app: App = config.make_wsgi_app()
    return app


def flask_part() -> App:
    flask = pytest.importorskip("flask")
    from session_mw.adapters.flask import FlaskSessions

    app = flask.Flask("mounted")
    app.session_interface = FlaskSessions()
    app.add_url_rule("/me", "me", lambda: f"Flask sees {flask.session.get('user')}")
    app.add_url_rule("/messages", "messages", lambda: " ".join(flask.get_flashed_messages()))

    @app.get("/out")
    def log_out() -> Any:
        flask.session.invalidate()
        return flask.redirect("/bottle/me")

    wsgi: App = app
    return wsgi


@pytest.fixture
def site(wrap: Any) -> Any:
    dispatcher = pytest.importorskip("werkzeug.middleware.dispatcher").DispatcherMiddleware
    parts = {"/bottle": bottle_part(), "/pyramid": pyramid_part(), "/flask": flask_part()}
    return wrap(dispatcher(lambda environ, start_response: [], parts))


def users(site: Any) -> list[str]:
    return [site.get(f"/{name}/me").text for name in ("bottle", "pyramid", "flask")]


def test_one_log_in_is_seen_by_three_frameworks_under_one_middleware(site: Any) -> None:
    assert users(site) == ["Bottle sees None", "Pyramid sees None", "Flask sees None"]
    site.get("/bottle/in", status=302)
    assert users(site) == ["Bottle sees alice", "Pyramid sees alice", "Flask sees alice"]


def test_one_log_out_ends_it_for_all_three(site: Any) -> None:
    site.get("/bottle/in", status=302)
    assert "Max-Age=0" in site.get("/flask/out", status=302).headers["Set-Cookie"]
    assert users(site) == ["Bottle sees None", "Pyramid sees None", "Flask sees None"]


def test_a_message_of_one_is_shown_by_another(site: Any) -> None:
    site.get("/pyramid/flash")
    assert site.get("/flask/messages").text == "From Pyramid."
    assert site.get("/flask/messages").text == ""


def test_a_redirect_and_a_page_send_one_cookie_and_one_vary(site: Any) -> None:
    for path in ("/bottle/in", "/pyramid/flash"):
        site.reset()
        headers = site.get(path, status="*").headers
        assert len(headers.getall("Set-Cookie")) == 1
        assert headers.getall("Vary") == ["Cookie"]
