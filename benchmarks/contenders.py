"""The application that is measured: alone, behind session_mw, and behind the floor."""

from __future__ import annotations

from floor import Floor
from scenarios import BODY, HEADERS, STATUS, App, Contender, Environ, Scenario, StartResponse, Touch
from session_mw import SessionMiddleware

FORMAT = "Flask's cookie"


def application(touch: Touch | None) -> App:
    """The application behind every WSGI middleware."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        if touch is not None:
            touch(environ["session"])
        start_response(STATUS, HEADERS)
        return BODY

    return app


def bare(scenario: Scenario, key: str) -> App:
    """The application alone; its session is a plain dict that nobody keeps."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response(STATUS, HEADERS)
        return BODY

    return app


def ours(scenario: Scenario, key: str) -> App:
    """session_mw with its defaults."""
    return SessionMiddleware(application(scenario.touch), key, refresh_each_request=scenario.refresh)


def floor(scenario: Scenario, key: str) -> App:
    """The least that keeps the bytes."""
    return Floor(application(scenario.touch), key, scenario.refresh)


BARE = Contender("bare app", bare)
OURS = Contender("session_mw", ours, FORMAT)
FLOOR = Contender("floor", floor, FORMAT)
