"""The application that is measured, alone and behind session_mw; the peers are in ``peers.py``."""

from __future__ import annotations

from scenarios import BODY, HEADERS, STATUS, App, Contender, Environ, Scenario, StartResponse, Touch
from session_mw import SessionMiddleware
from session_mw.protocols import Store

FLASKS_COOKIE = "Flask's cookie"


def application(touch: Touch | None) -> App:
    """The application behind every WSGI middleware."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        if touch is not None:
            touch(environ["session"])
        start_response(STATUS, HEADERS)
        return BODY

    return app


def bare(scenario: Scenario, key: str) -> App:
    """The application alone, without any session and without a look whether it touches one."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response(STATUS, HEADERS)
        return BODY

    return app


def in_cookie(scenario: Scenario, key: str) -> App:
    """session_mw with its defaults: all in a signed cookie."""
    return SessionMiddleware(application(scenario.touch), key, refresh_each_request=scenario.refresh)


def in_store(label: str, store: Store) -> Contender:
    """session_mw with its defaults and one store for all its applications."""

    def build(scenario: Scenario, key: str) -> App:
        return SessionMiddleware(application(scenario.touch), store=store)

    return Contender(f"session_mw, {label}", build)


BARE = Contender("bare app", bare)
OURS = Contender("session_mw", in_cookie, FLASKS_COOKIE)
