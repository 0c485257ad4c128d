"""Sessions in Redis or Valkey: one server, TLS, Sentinel or Cluster."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from session_mw.exceptions import StoreError
from session_mw.protocols import Location, Record
from session_mw.stores.redis import scripts as lua
from session_mw.stores.redis import values
from session_mw.stores.redis.clients import Client, location_of_client, target
from session_mw.stores.redis.server import Server, bytes_in, from_client, is_refusal, is_wrong_type
from session_mw.stores.redis.values import Version
from session_mw.stores.session_ids import is_key

# How often keys_of() reads the index at most.
_ROUNDS = 16
_SMALL = 4096
"""Bytes of a value up to which sending it back for the comparison takes less time than the script that it saves."""


class RedisStore:
    """Sessions in Redis or Valkey, for any number of machines.

    After a restart the server has what it persisted: with ``appendonly yes`` everything but the
    last second, with the default snapshots the last snapshot, otherwise nothing. A server with a
    ``maxmemory-policy`` that evicts keys ends sessions when it is full, and may lose the list of a
    principal's sessions; with ``noeviction`` writes fail instead.

    Each operation is one round trip. A second one is needed for the index when a record with a
    principal is touched or deleted (under Cluster also when it is written; a touch then takes a third), and
    when a record has changed since it was loaded. After a dropped connection, or one that leads to a
    replica, a command is sent once more. That is safe for writes too, because a write recognizes its own
    version in the record. A call that gets no answer in time closes the idle connections too, because
    whatever has cut one off (a firewall, for example) has mostly cut off all.

    A forked process makes its own client. A call that was interrupted (by a signal handler or
    ``gevent.Timeout``) has the client replaced, because an answer may still come on its connection.

    Args:
        client: A redis-py client that returns bytes, or a function that makes one: at the first use in each
            process, and again after a failure (a ``RedisCluster`` connects as soon as it is made). The store takes it
            over: it gives a ``Redis`` client a new pool of the same kind, and closes it. The client's own
            time-outs and retries hold; one without a ``socket_timeout`` is warned of. Where a process forks while
            it is in use, a ``RedisCluster`` has to come from a function.
        prefix: Put before every session id. Applications that share a server need different ones.

    Raises:
        ConfigurationError: The client is not redis-py's, it decodes responses, or it has a single connection.
    """

    def __init__(self, client: Client | Callable[[], Client], prefix: str = "session:") -> None:
        self._shown = type(client).__name__
        self._location: Location | None = None
        self._server = from_client(client)
        self._prefix = prefix
        self._compares = True

    @classmethod
    def from_url(cls, url: str, *, create: bool = True) -> RedisStore:
        """Make the store that a URL names; it connects at the first use.

        ``redis://user:password@host:6379/0``, ``rediss://…`` (TLS),
        ``redis+sentinel://host:26379,host2:26379/master/0``, ``redis+cluster://host:6379,host2:6379``,
        and the same with ``valkey`` for ``redis``; ``rediss+sentinel`` and ``rediss+cluster`` use TLS.
        ``redis+unix:///run/redis/redis.sock`` is a socket on this machine (option ``db``, 0).
        User and password are the server's; Sentinels that want one of their own need a client
        made by hand.

        Options: ``prefix`` (``session:``), ``timeout`` (2 seconds) for all that an operation waits for: a free
        connection, connecting, each answer, a second try; ``connect_timeout`` (2 seconds) for connecting
        alone; ``max_connections`` (50), and with TLS ``ssl_ca_certs``, ``ssl_certfile``, ``ssl_keyfile``,
        ``ssl_cert_reqs`` and ``ssl_check_hostname`` as in redis-py. How long the name of a host is looked up is
        the system's business.

        Args:
            url: The server's.
            create: Without effect, because in Redis there is nothing to create; all stores accept it.

        Raises:
            ConfigurationError: The URL has a mistake.
        """
        said = target(url)
        store = cls(said.make, said.prefix)
        store._shown, store._location = said.location.shown, said.location
        store._server = Server(said.make, said.timeout, said.where, said.secrets)
        return store

    @classmethod
    def location_of(cls, url: str) -> Location:
        """Where the store of a URL would be; the URL may have its password hidden.

        Raises:
            ConfigurationError: The URL has a mistake.
        """
        return target(url).location

    def describe(self) -> Location:
        """Where the store is. If a function makes the client, nothing is known before the first use."""
        if self._location is not None:
            return self._location
        client = self._server.client
        return Location("other", repr(self)) if client is None else location_of_client(client, repr(self))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._shown} prefix={self._prefix!r}>"

    def load(self, key: str) -> Record | None:
        """Read a record. A value that is not a record is returned as a record without data."""
        self._server.begin()
        try:
            value = self._server.call("GET", self._prefix + key)
        except StoreError as error:
            if not is_wrong_type(error):
                raise
            value = b""
        if value is None:
            return None
        record = values.record_in(bytes_in(value))
        return record if record.expires > int(time.time()) else None

    def create(self, key: str, data: bytes, ttl: int, principal: str | None = None) -> bool:
        """Write a new record, unless the key is taken."""
        return self._write(lua.CREATE, key, data, ttl, principal)

    def update(self, key: str, data: bytes, ttl: int, version: Any, principal: str | None = None) -> bool:
        """Write a record that still has the version."""
        return isinstance(version, bytes) and self._write(lua.UPDATE, key, data, ttl, principal, version)

    def touch(self, key: str, ttl: int) -> bool:
        """Let the record expire ``ttl`` seconds from now."""
        self._server.begin()
        now = int(time.time())
        ends = min(now + ttl, values.LATEST)
        head = self._touch(key, values.NOBODY, [], ends, ttl, now)
        if owner := values.owner_in(head):
            # The index is written first: if the connection drops in between, no record expires later than its score in
            # the index says, so the index never drops a live one.
            head = self._touch(key, owner, self._list(key, owner, ends, ttl, now), ends, ttl, now)
        return bool(head)

    def _touch(self, key: str, owner: str, index: list[str], ends: int, ttl: int, now: int) -> bytes:
        keys = [self._prefix + key, *index]
        return bytes_in(self._server.run(lua.TOUCH, keys, f"{ends:014d}", ttl, now, key, owner) or b"")

    def delete(self, key: str) -> None:
        """Remove the record, if there is one."""
        if not is_key(key):
            # With the prefix it could be the name of an index.
            return
        self._server.begin()
        head = bytes_in(self._server.run(lua.DELETE, [self._prefix + key]) or b"")
        if owner := values.owner_in(head):
            self._server.call("ZREM", self._index(owner), key)

    def keys_of(self, principal: str) -> list[str]:
        """The keys of the principal's live records.

        The index is read again until it has no new key. When an id is regenerated, the new one enters the index
        before the record under the old one is deleted. But it may enter after the index was read, and the old record
        may be gone before it is read: then neither would be found.
        """
        owner, found = values.owner_of(principal), dict[str, bool]()
        for _ in range(_ROUNDS):
            now = int(time.time())
            # A long list takes many round trips, each of which may take the time-out.
            self._server.begin()
            listed = self._server.run(lua.LISTED, [self._index(owner)], now)
            new = [key for name in listed if (key := name.decode("ascii", "replace")) not in found]
            if not new:
                break
            heads = self._server.headers([self._prefix + key for key in new])
            found |= {key: values.is_live_and_of(head, owner, now) for key, head in zip(new, heads, strict=True)}
        return [key for key, is_live in found.items() if is_live]

    def close(self) -> None:
        """Close the connections, and the client that was given to the store."""
        self._server.close()

    def _write(
        self, script: lua.Script, key: str, data: bytes, ttl: int, principal: str | None, version: bytes = b""
    ) -> bool:
        self._server.begin()
        now = int(time.time())
        ends = min(now + ttl, values.LATEST)
        owner, keys = values.NOBODY, [self._prefix + key]
        if principal is not None:
            owner = values.owner_of(principal)
            keys += self._list(key, owner, ends, ttl, now)
        value = values.header(ends, os.urandom(8).hex(), owner) + data
        if principal is None and self._replace_if_unchanged(version, keys[0], value, ttl, now):
            return True
        return bool(self._server.run(script, keys, value, ttl, now, key, bytes(version)))

    def _replace_if_unchanged(self, read: bytes, name: str, value: bytes, ttl: int, now: int) -> bool:
        """Write the record if its whole value is still the one that was loaded; whether this was possible.

        If not, a script must compare the versions: the record may only have been touched, or the server is too old.
        Valkey 8.1 and Redis 8.4 compare values by themselves, in a third of a script's time.
        """
        if not (self._compares and isinstance(read, Version) and read.expires > now and len(read.value) <= _SMALL):
            return False
        try:
            return self._server.call("SET", name, value, "IFEQ", read.value, "EX", ttl) is not None
        except StoreError as error:
            if not is_refusal(error):
                raise
            self._compares = "syntax" not in str(error.__cause__).lower()
            return False

    def _list(self, key: str, owner: str, ends: int, ttl: int, now: int) -> list[str]:
        """Enter a key in the index, or return the index for the script that writes the record.

        A script may use keys of only one slot of a cluster. So there the key is entered in the index by
        a script of its own, before the record is written: a record that is not in the index would survive a log-out of
        all the principal's sessions.
        """
        index = self._index(owner)
        if not self._server.is_cluster():
            return [index]
        self._server.run(lua.LIST, [index], key, ends, ttl, now)
        return []

    def _index(self, owner: str) -> str:
        return f"{self._prefix}principal:{owner}"
