"""Fixtures: a clock, validators, and real servers."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec

import pytest

from session_mw import ConfigurationError
from support import databases, services, validators
from support.clock import Clock
from support.tokens import NOW


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Skip what needs an optional package where that is not installed."""
    try:
        return (yield)
    except ConfigurationError as error:
        missing = re.search(r"the package '(\w+)' is missing", str(error))
        if missing and find_spec(missing[1]) is None:
            pytest.skip(f"{missing[1]} is missing")
        raise


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that stands still, at a whole second, until it is moved."""
    stopped = Clock(float(int(time.time())))
    monkeypatch.setattr(time, "time", lambda: stopped.now)
    return stopped


@pytest.fixture
def now(clock: Clock) -> Clock:
    """The same, at the time of the tokens that stand in tests."""
    clock.now = float(NOW)
    return clock


@pytest.fixture
def between_validators() -> Callable[..., validators.App]:
    """:func:`validators.between_validators`."""
    return validators.between_validators


@pytest.fixture(scope="session")
def valkey() -> Iterator[services.Service]:
    """One Valkey for all tests: use a prefix of your own, and never flush it."""
    server = services.start_valkey()
    yield server
    server.stop()


@pytest.fixture
def start_valkey() -> Iterator[Callable[..., services.Service]]:
    """Starts Valkeys to be killed; they are stopped with the test."""
    started: list[services.Service] = []

    def start(*options: str, persistent: bool = False, binary: str = "") -> services.Service:
        started.append(services.start_valkey(*options, persistent=persistent, binary=binary))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def valkey_cluster() -> Iterator[services.Cluster]:
    """Three masters."""
    cluster = services.start_cluster()
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def valkey_sentinel(valkey: services.Service) -> Iterator[services.Service]:
    """A Sentinel that knows the server of ``valkey`` as ``master``."""
    sentinel = services.start_sentinel(valkey)
    yield sentinel
    sentinel.stop()


@pytest.fixture(scope="session")
def memcached() -> Iterator[services.Service]:
    """One memcached for all tests: use a prefix of your own, and never flush it."""
    server = services.start_memcached()
    yield server
    server.stop()


@pytest.fixture
def start_memcached() -> Iterator[Callable[..., services.Service]]:
    """Starts memcacheds to be killed; they are stopped with the test."""
    started: list[services.Service] = []

    def start(*options: str) -> services.Service:
        started.append(services.start_memcached(*options))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[databases.PostgreSQL]:
    """One PostgreSQL for all tests: use a table of your own."""
    server = databases.PostgreSQL()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def mariadb() -> Iterator[databases.MariaDB]:
    """One MariaDB for all tests: use a table of your own."""
    server = databases.MariaDB()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def pgbouncer(postgresql: databases.PostgreSQL) -> Iterator[databases.PgBouncer]:
    """A PgBouncer in transaction mode, in front of the server of ``postgresql``."""
    pooler = databases.PgBouncer(postgresql)
    yield pooler
    pooler.remove()
