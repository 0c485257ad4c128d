"""Contenders that write Flask's cookie: Flask itself, and its session interface alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import flask
from flask.sessions import SecureCookieSessionInterface, SessionInterface

from contenders import FORMAT
from scenarios import BODY, HEADERS, App, Contender, Environ, Scenario, StartResponse, Touch


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


INTERFACE = Contender("Flask's interface", flask_interface, FORMAT)
FLASK = Contender("Flask, whole", flask_whole, FORMAT)
