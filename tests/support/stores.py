"""The stores that a test meets one after the other, each by a URL of the test's own; and what is done to them."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from session_mw import MemoryStore, StoreError
from support.visitors import Client as Browser  # noqa: F401 (the name that tests/stores still uses)
from support.visitors import regenerated_before as renewed_before  # noqa: F401 (likewise)

EMBEDDED = {
    "memory": "memory://",
    "file": "file://{path}/sessions",
    "sqlite": "sqlite:///{path}/sessions.db",
    "sqlalchemy": "sqlite+pysqlite:///{path}/alchemy.db",
}
SERVED = {
    "redis": ("redis", "valkey", ""),
    "cluster": ("redis", "valkey_cluster", ""),
    "sentinel": ("redis", "valkey_sentinel", "/master/0"),
    "memcached": ("pymemcache", "memcached", ""),
}
HEAVY = ("cluster", "sentinel", "postgresql")
ALL = [
    pytest.param(kind, marks=pytest.mark.heavy if kind in HEAVY else ()) for kind in (*EMBEDDED, *SERVED, "postgresql")
]
METHODS = ("load", "create", "update", "touch", "delete")


def url_of(kind: str, request: pytest.FixtureRequest, path: Path) -> str:
    """A URL of a store that holds nothing yet."""
    own = secrets.token_hex(4)
    if kind == "sqlalchemy":
        pytest.importorskip("sqlalchemy")
    if kind in EMBEDDED:
        return EMBEDDED[kind].format(path=path)
    if kind == "postgresql":
        return f"{request.getfixturevalue('postgresql').url('psycopg')}?table=t{own}"
    driver, fixture, suffix = SERVED[kind]
    pytest.importorskip(driver)
    return f"{request.getfixturevalue(fixture).url}{suffix}?prefix={own}:"


class Recording:
    """A store that notes each call to another one, and can fail or be overtaken in it.

    Attributes:
        inner: The store behind it; what tests do to it is not noted.
        calls: The names of the calls, of those in :data:`METHODS` and of the index's.
        before: What is done before a call of a name.
    """

    def __init__(self, store: Any) -> None:
        self.inner = store
        self.calls: list[str] = []
        self.before: dict[str, Callable[[], object]] = {}

    def fail(self, *names: str) -> None:
        """Let calls of these names fail, until ``before`` is cleared."""
        self.before.update(dict.fromkeys(names, _down))

    def once(self, name: str, action: Callable[[], object]) -> None:
        """Do something before the next call of a name."""

        def act() -> None:
            del self.before[name]
            action()

        self.before[name] = act

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)
        if name not in (*METHODS, "keys_of"):
            return method

        def noted(*args: Any, **named: Any) -> Any:
            self.calls.append(name)
            if action := self.before.get(name):
                action()
            return method(*args, **named)

        return noted


def _down() -> NoReturn:
    raise StoreError("the store is down")


def unreachable() -> Recording:
    """A store whose server is down."""
    store = Recording(MemoryStore())
    store.fail(*METHODS)
    return store
