"""Managers of every kind, and a visitor who has a session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from session_mw import MemoryStore, SessionManager, open_store
from support.services import Service
from support.stores import Recording
from support.tokens import KEY
from support.visitors import Client

DAY = 86400


@pytest.fixture(params=["memory", "sqlite", "file"])
def inner(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """The store behind ``store``."""
    urls = {"memory": "memory://", "sqlite": f"sqlite:///{tmp_path}/sessions.db", "file": f"file://{tmp_path}/sessions"}
    store = open_store(urls[request.param])
    yield store
    store.close()


@pytest.fixture
def store(inner: Any) -> Recording:
    return Recording(inner)


@pytest.fixture
def sessions(store: Recording) -> SessionManager:
    """A manager of stored sessions."""
    return SessionManager(KEY, store=store, lifetime=10 * DAY)


@pytest.fixture
def client(sessions: SessionManager, store: Recording) -> Client:
    """One who has the stored session {"a": 1, "cart": ["apple"]}; no call is noted yet."""
    client = Client(sessions)
    client.do(lambda s: s.update(a=1, cart=["apple"]))
    store.calls.clear()
    return client


@pytest.fixture(params=["signed", "encrypted", "revocable", "stored"])
def any_settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The settings of a manager whose sessions are in a cookie or in a store."""
    if request.param == "stored":
        return {"secret_key": KEY, "store": MemoryStore()}
    if request.param == "revocable":
        return {"secret_key": KEY, "revocations": MemoryStore()}
    if request.param == "encrypted":
        pytest.importorskip("cryptography")
    return {"secret_key": KEY, "encrypt": request.param == "encrypted"}


@pytest.fixture
def any_sessions(any_settings: dict[str, Any]) -> SessionManager:
    """A manager whose sessions are in a cookie or in a store."""
    return SessionManager(**any_settings)


@pytest.fixture
def any_client(any_sessions: SessionManager) -> Client:
    """One who has the session {"a": 1, "cart": ["apple"]}, in a cookie or in a store."""
    client = Client(any_sessions)
    client.do(lambda s: s.update(a=1, cart=["apple"]))
    return client


@pytest.fixture(params=[False, True], ids=["signed", "encrypted"])
def cookie_sessions(request: pytest.FixtureRequest) -> SessionManager:
    """A manager of sessions in cookies."""
    if request.param:
        pytest.importorskip("cryptography")
    return SessionManager(KEY, encrypt=request.param)


@pytest.fixture(params=["memory", "file", "sqlite", "redis", "memcached", "sqlalchemy"])
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store that holds nothing yet, for races."""
    embedded = {
        "memory": "memory://",
        "file": f"file://{tmp_path}/sessions",
        "sqlite": f"sqlite:///{tmp_path}/sessions.db",
        "sqlalchemy": f"sqlite+pysqlite:///{tmp_path}/alchemy.db",
    }
    if request.param in embedded:
        return embedded[request.param]
    server: Service = request.getfixturevalue({"redis": "valkey", "memcached": "memcached"}[request.param])
    return f"{server.url}?prefix=race-{tmp_path.name}:"
