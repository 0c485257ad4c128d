"""What a store has to offer; and, inside the package, a serializer and a codec.

Nothing here is inherited from or registered. An object with these methods fits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeGuard, runtime_checkable

MAX_PAYLOAD = 1024 * 1024
"""Bytes of a serializer's output, at most; a token of 4 KiB could inflate to 4 MiB."""


class Serializer(Protocol):
    """Session data to text and back."""

    def dumps(self, data: dict[Any, Any]) -> bytes:
        """Write the data, the same bytes for the same data.

        Raises:
            NotSerializable: Something in the data cannot be written, or could not be read again.
        """

    def loads(self, payload: bytes) -> dict[str, Any]:
        """Read what :meth:`dumps` wrote.

        Raises:
            BadToken: The payload is not a session's, with the reason ``bad_payload``.
        """


Opened: TypeAlias = tuple[bytes, int, "int | None", bool]
"""A token that was found authentic.

The serializer's bytes; Unix time at which the token was made; Unix time at which the session
began, where the token's format has a place for it; False where an old key (one of
``secret_key_fallbacks``) opened it.
"""


class Codec(Protocol):
    """A payload to a cookie's value and back: all of the session lives in the cookie.

    A codec knows keys and bytes. What is in the payload, and for how long a token is
    valid, is the manager's business.
    """

    shape: re.Pattern[str]
    """What a whole token looks like. Values that do not match never reach :meth:`decode`."""
    carries_created: bool
    """Whether the format has a place for the session's creation time."""

    def encode(self, payload: bytes, created: int, now: int) -> str:
        """Make the token of ``payload``, written at ``now`` (Unix time)."""

    def decode(self, token: str) -> Opened:
        """Open a token.

        Raises:
            BadToken: It is not authentic. Nothing in its content was looked at.
        """

    def renew(self, token: str, now: int) -> str:
        """Make the token anew with the current key and time.

        Args:
            token: One that :meth:`decode` accepted.
        """


class Record(NamedTuple):
    """What a store holds under a key."""

    data: bytes
    """What was stored."""
    version: Any
    """Changes at each writing of the data; compared, never looked into."""
    expires: int
    """Unix time at which the record ends."""


@runtime_checkable
class Store(Protocol):
    """A place on the server where sessions live.

    A key is 64 hexadecimal digits. A time to live (``ttl``) is a positive whole number of
    seconds. A record whose ``expires`` is not after ``int(time.time())`` counts as absent
    for every method; the time is read at the call. Absent is an answer; a driver that
    fails is a ``StoreError`` with the driver's error as its cause.

    Several threads use one store at once, and a store goes on working in a forked process.
    """

    def load(self, key: str) -> Record | None:
        """Read a record; None if there is none. Never writes."""

    def create(self, key: str, data: bytes, ttl: int) -> bool:
        """Write a new record. False, and nothing written, if the key is taken."""

    def update(self, key: str, data: bytes, ttl: int, version: Any) -> bool:
        """Write a record that is still as it was loaded.

        Returns:
            False, and nothing written, if the record is gone or has another version.
        """

    def touch(self, key: str, ttl: int) -> bool:
        """Let the record end ``ttl`` seconds from now; its version stays.

        Returns:
            False if the record is gone; nothing is created then.
        """

    def delete(self, key: str) -> None:
        """Remove the record, if there is one."""

    def close(self) -> None:
        """Give back connections and files; the store is not used afterwards."""


@runtime_checkable
class IndexedStore(Store, Protocol):
    """A store that can also list the sessions of one principal (one user's, say).

    ``principal`` is a non-empty str, or None for a session that is nobody's. Each writing
    says it anew: a record written with another principal leaves the list of the former, and so
    does one that is deleted.
    """

    def create(self, key: str, data: bytes, ttl: int, principal: str | None = None) -> bool:
        """As :meth:`Store.create`, and list it under ``principal``."""

    def update(self, key: str, data: bytes, ttl: int, version: Any, principal: str | None = None) -> bool:
        """As :meth:`Store.update`, and list it under ``principal`` (alone)."""

    def keys_of(self, principal: str) -> Iterable[str]:
        """The keys of the principal's live records, in no order."""


@runtime_checkable
class SweepableStore(Protocol):
    """A store whose expired records stay until they are swept."""

    def count_expired(self) -> int:
        """How many expired records there are."""

    def sweep(self, batch: int = 1000) -> Iterator[int]:
        """Remove expired records in bounded memory.

        Yields:
            How many records each step removed; at most ``batch`` each.
        """


class Location(NamedTuple):
    """Where a store keeps its records: for messages and for ``session-mw audit``."""

    kind: str
    """``memory``, ``file``, ``sqlite``, ``redis``, ``memcached``, ``sql``, ``migrating`` or ``other``."""
    shown: str
    """The store as a message may show it: its URL without a password, or its repr."""
    path: str = ""
    """The file or directory, absolute; empty where there is none."""
    hosts: tuple[str, ...] = ()
    """Names or addresses of the servers, without ports; empty where there is none."""
    tls: bool = False
    """Whether a connection without TLS is refused."""
    verified: bool = True
    """Whether the server's certificate and name are checked; says nothing without ``tls``."""
    password: bool = False
    """Whether the store logs in with a password."""
    parts: tuple[Location, ...] = ()
    """The stores behind this one, where it stands in front of several."""


@runtime_checkable
class LocatedStore(Protocol):
    """A store that can say where it is. All stores of the package can."""

    def describe(self) -> Location:
        """Where the store is. Connects to nothing, and makes nothing."""


STORE_METHODS = ("load", "create", "update", "touch", "delete", "close")


def is_store(candidate: object) -> TypeGuard[Store]:
    """Whether it has a store's methods; ``isinstance`` does not see those that a proxy passes on (Python 3.12)."""
    return not isinstance(candidate, type) and _has(candidate, *STORE_METHODS)


def is_indexed(store: object) -> TypeGuard[IndexedStore]:
    """Whether it is a store that lists the sessions of a principal."""
    return is_store(store) and _has(store, "keys_of")


def is_sweepable(store: object) -> TypeGuard[SweepableStore]:
    """Whether it is a store whose expired records are swept."""
    return _has(store, "count_expired", "sweep")


def _has(candidate: object, *methods: str) -> bool:
    return all(callable(getattr(candidate, name, None)) for name in methods)
