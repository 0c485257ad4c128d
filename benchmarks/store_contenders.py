"""Contenders that keep sessions on the server: session_mw, Flask-Session, Beaker."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeAlias

from beaker.middleware import SessionMiddleware as BeakerMiddleware
from cachelib.file import FileSystemCache
from flask_session.cachelib import CacheLibSessionInterface
from flask_session.redis import RedisSessionInterface
from redis import Redis

from contenders import application
from flask_format import flask_application, interface_shell, with_view
from peers import beaker_app
from scenarios import App, Contender, Scenario
from session_mw import SessionMiddleware, open_store
from session_mw.protocols import Store

StoreCalls: TypeAlias = list[str]
OPERATIONS = ("load", "create", "update", "touch", "delete")


def ours(label: str, store: Store) -> Contender:
    """session_mw with its defaults and one store for all its applications."""

    def build(scenario: Scenario, key: str) -> App:
        return SessionMiddleware(application(scenario.touch), store=store)

    return Contender(f"session_mw, {label}", build)


def counted(url: str) -> tuple[Store, StoreCalls]:
    """A store that writes down which of its operations are used."""
    store, calls = open_store(url), StoreCalls()

    def counting(name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            before = calls.copy()
            result = operation(*args, **named)
            # a store may use its own operations; they count once
            calls[:] = [*before, name]
            return result

        return call

    for name in OPERATIONS:
        setattr(store, name, counting(name, getattr(store, name)))
    return store, calls


def flask_session_redis(url: str) -> Contender:
    """Flask-Session with its defaults, in the shell that Flask's own interface is measured in."""
    client = Redis.from_url(url)

    def build(scenario: Scenario, key: str) -> App:
        app = flask_application(scenario, key)
        app.app_context().push()
        return interface_shell(app, RedisSessionInterface(app, client), scenario.touch)

    return Contender("Flask-Session, Redis", build)


def flask_session_whole(url: str) -> Contender:
    """The same as its users have it: in a Flask application with one view."""
    client = Redis.from_url(url)

    def build(scenario: Scenario, key: str) -> App:
        app = flask_application(scenario, key)
        app.session_interface = RedisSessionInterface(app, client)
        return with_view(app, scenario.touch)

    return Contender("Flask with Flask-Session, Redis", build)


def flask_session_files(directory: str) -> Contender:
    """The same with cachelib's files."""
    cache = FileSystemCache(directory)

    def build(scenario: Scenario, key: str) -> App:
        app = flask_application(scenario, key)
        app.app_context().push()
        return interface_shell(app, CacheLibSessionInterface(app, cache), scenario.touch)

    return Contender("Flask-Session, files", build)


def beaker(label: str, options: dict[str, Any]) -> Contender:
    """Beaker with its defaults, and JSON where its store takes it."""
    # Beaker logs what it does at each request, to whoever listens at DEBUG.
    logging.getLogger("beaker").setLevel(logging.WARNING)
    known: dict[Scenario, App] = {}

    def build(scenario: Scenario, key: str) -> App:
        settings = {"session.key": "session", "session.data_serializer": "json", **options}
        return known.setdefault(scenario, BeakerMiddleware(beaker_app(scenario), settings, environ_key="session"))

    return Contender(f"Beaker, {label}", build)
