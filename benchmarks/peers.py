"""Contenders that keep all in a cookie: Flask, and Starlette, Beaker, Pyramid, Django with formats of their own."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable
from typing import Any

import django
import flask
from beaker.middleware import SessionMiddleware as BeakerMiddleware
from django.conf import settings as django_settings
from django.contrib.sessions.middleware import SessionMiddleware as DjangoMiddleware
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse
from flask.sessions import SecureCookieSessionInterface, SessionInterface
from pyramid.request import Request as PyramidRequest
from pyramid.response import Response as PyramidResponse
from pyramid.session import SignedCookieSessionFactory
from starlette.middleware.sessions import SessionMiddleware as StarletteMiddleware

from contenders import FLASKS_COOKIE
from scenarios import BODY, HEADERS, KEY, STATUS, App, Contender, Environ, Scenario, StartResponse, Touch

RAW_HEADERS = [(name.lower().encode(), value.encode()) for name, value in HEADERS]


def flask_application(scenario: Scenario, key: str) -> flask.Flask:
    """A Flask application with the settings that are our defaults."""
    app = flask.Flask("benchmark")
    app.config.update(SECRET_KEY=key, SESSION_COOKIE_SAMESITE="Lax", SESSION_REFRESH_EACH_REQUEST=scenario.refresh)
    return app


def interface_shell(app: flask.Flask, interface: SessionInterface, touch: Touch | None) -> App:
    """A session interface of Flask's kind in a WSGI shell: no routing, no contexts, no signals."""

    def serve(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        request = app.request_class(environ)
        session: Any = interface.open_session(app, request)
        if touch is not None:
            # Flask's own property flask.session does this
            session.accessed = True
            touch(session)
        response = app.response_class(BODY, headers=HEADERS)
        interface.save_session(app, session, response)
        return response(environ, start_response)

    return serve


def flask_interface(scenario: Scenario, key: str) -> App:
    """Flask's own cookie sessions, without the rest of Flask."""
    app = flask_application(scenario, key)
    # Flask's JSON sorts its keys only within an application context, where a request always is.
    app.app_context().push()
    return interface_shell(app, SecureCookieSessionInterface(), scenario.touch)


def flask_whole(scenario: Scenario, key: str) -> App:
    """A Flask application with one view."""
    return with_view(flask_application(scenario, key), scenario.touch)


def with_view(app: flask.Flask, touch: Touch | None) -> App:
    """Give an application its view, and serve it as a server does."""

    def view() -> tuple[bytes, list[tuple[str, str]]]:
        if touch is not None:
            touch(flask.session)
        return BODY[0], HEADERS

    app.add_url_rule("/", view_func=view)

    def serve(environ: Environ, start_response: StartResponse) -> list[bytes]:
        closing: Any = app(environ, start_response)
        parts = list(closing)
        closing.close()
        return parts

    return serve


def starlette(scenario: Scenario, key: str) -> App:
    """Starlette's middleware around an ASGI application that never waits, driven by hand."""
    call: Any = StarletteMiddleware(_asgi_app(scenario), key)
    known: dict[str | None, dict[str, Any]] = {}

    async def receive() -> Any:
        return {"type": "http.request"}

    def serve(environ: Environ, start_response: StartResponse) -> list[bytes]:
        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                start_response(STATUS, message["headers"])

        cookie = environ.get("HTTP_COOKIE")
        scope = known.get(cookie) or known.setdefault(cookie, _scope(cookie))
        try:
            call(scope.copy(), receive, send).send(None)
        except StopIteration:
            return BODY
        raise RuntimeError("the application waited")

    return serve


def _asgi_app(scenario: Scenario) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scenario.touch is not None:
            scenario.touch(scope["session"])
        elif scenario.permanent:
            scope["session"].mark_modified()
        await send({"type": "http.response.start", "status": 200, "headers": RAW_HEADERS.copy()})
        await send({"type": "http.response.body", "body": BODY[0]})

    return app


def _scope(cookie: str | None) -> dict[str, Any]:
    headers = [(b"host", b"localhost:8080"), (b"user-agent", b"benchmark"), (b"accept", b"*/*")]
    if cookie is not None:
        headers.append((b"cookie", cookie.encode("latin-1")))
    return {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": headers}


def beaker_app(scenario: Scenario) -> App:
    """An application as Beaker wants it: with ``save()`` after a change."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        if scenario.touch is not None:
            scenario.touch(environ["session"])
        elif scenario.permanent:
            # an untouched session is not saved, whatever is asked
            environ["session"].get("user_id")
        if scenario.writes or scenario.permanent:
            environ["session"].save()
        start_response(STATUS, HEADERS.copy())
        return BODY

    return app


def beaker(scenario: Scenario, key: str) -> App:
    """Beaker with all in the cookie, signed, as JSON."""
    options = {
        "session.type": "cookie",
        "session.key": "session",
        "session.validate_key": key,
        "session.data_serializer": "json",
        "session.httponly": True,
        "session.invalidate_corrupt": True,
    }
    # Beaker warns of every forged cookie; the middlewares that log do so below the level that shows.
    warnings.filterwarnings("ignore", "Invalidating corrupt session")
    middleware: App = BeakerMiddleware(beaker_app(scenario), options, environ_key="session")
    return middleware


def pyramid(scenario: Scenario, key: str) -> App:
    """Pyramid's signed cookie on Pyramid's request, without routing and views."""
    factory = SignedCookieSessionFactory(
        key, cookie_name="session", httponly=True, samesite="Lax", reissue_time=-1 if scenario.permanent else None
    )

    def serve(environ: Environ, start_response: StartResponse) -> list[bytes]:
        request = PyramidRequest(environ)
        request.set_property(factory, "session", reify=True)
        headers = HEADERS
        if scenario.touch is not None:
            scenario.touch(request.session)
        elif scenario.permanent:
            request.session.get("user_id")
        if request.response_callbacks:
            response = PyramidResponse(BODY[0], headerlist=HEADERS.copy())
            request._process_response_callbacks(response)
            headers = response.headerlist
        start_response(STATUS, headers)
        return BODY

    return serve


def django_cookie(scenario: Scenario, key: str) -> App:
    """Django's middleware with signed_cookies on Django's request, without routing and views."""

    def view(request: Any) -> HttpResponse:
        if scenario.touch is not None:
            scenario.touch(request.session)
        return HttpResponse(BODY[0], headers=dict(HEADERS))

    middleware = DjangoMiddleware(view)

    def serve(environ: Environ, start_response: StartResponse) -> list[bytes]:
        django_settings.SECRET_KEY = key
        django_settings.SESSION_SAVE_EVERY_REQUEST = scenario.permanent
        response = middleware(WSGIRequest(environ))
        cookies = [("Set-Cookie", morsel.output(header="").strip()) for morsel in response.cookies.values()]
        start_response(STATUS, [*response.items(), *cookies])
        return BODY

    return serve


django_settings.configure(
    SECRET_KEY=KEY,
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    SESSION_COOKIE_NAME="session",
    ALLOWED_HOSTS=["*"],
    LOGGING_CONFIG=None,
)
django.setup()
logging.getLogger("django").setLevel(logging.ERROR)

FLASK = Contender("Flask", flask_interface, FLASKS_COOKIE)
FLASK_WHOLE = Contender("Flask, whole", flask_whole, FLASKS_COOKIE)
STARLETTE = Contender("Starlette", starlette)
BEAKER = Contender("Beaker, cookie", beaker)
PYRAMID = Contender("Pyramid", pyramid)
DJANGO = Contender("Django", django_cookie)
