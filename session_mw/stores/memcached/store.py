"""Sessions in memcached, on one host or spread over several."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

from session_mw.exceptions import ConfigurationError, StoreError
from session_mw.protocols import Record
from session_mw.stores.memcached import values
from session_mw.stores.memcached.host import Host
from session_mw.stores.options import parse_url, positive, seconds, without_password
from session_mw.stores.session_ids import is_key

PORT = 11211
_TRIES = 100


def _prefix(text: str) -> str:
    if not re.fullmatch(r"[\x21-\x7e]{0,186}", text):
        raise ValueError(
            "must be at most 186 printable ASCII characters without spaces (a key has 64, memcached's limit is 250)"
        )
    return text


_OPTIONS: dict[str, Callable[[str], Any]] = {
    "prefix": _prefix,
    "timeout": seconds,
    "connect_timeout": seconds,
    "max_idle": positive,
}


class MemcachedStore:
    """Sessions in memcached, for any number of machines.

    Nothing survives a restart of the server, and a server that is full drops what was not
    used for longest: a session can end at any time. Each key has its host; while a host is
    down its sessions raise ``StoreError``, and another host never answers for it. There is
    no index of principals.

    The version of a record is not memcached's ``cas`` number, which a touch changes too;
    that number guards each writing between its reading and its storing. So reading is one
    round trip, and so is writing what was read, if nothing came between.

    A session larger than the server keeps (1 MB, or its option ``-I``) is refused with
    ``NotSerializable``, and the record stays as it was: the data is at fault, not the server.

    Args:
        hosts: Host and port of every server, the same on all machines; their order does not matter.
        prefix: Stands before every key. Applications that share a server need different ones.
        timeout: Seconds to wait for an answer.
        connect_timeout: Seconds to wait for a connection.
        max_idle: How many connections to each host are kept while they are not in use.

    Raises:
        ConfigurationError: No host, a host twice, or a prefix that cannot stand in a key.
    """

    def __init__(
        self,
        hosts: Sequence[tuple[str, int]],
        prefix: str = "session:",
        timeout: float = 2.0,
        connect_timeout: float = 2.0,
        max_idle: int = 50,
    ) -> None:
        if not hosts or len(set(hosts)) < len(hosts):
            raise ConfigurationError(f"memcached needs at least one host, and each of them once, not {list(hosts)!r}")
        try:
            self._prefix = _prefix(prefix)
        except ValueError as problem:
            raise ConfigurationError(f"the prefix {prefix!r} {problem}") from None
        self._hosts = [Host(address, timeout, connect_timeout, max_idle) for address in hosts]

    @classmethod
    def from_url(cls, url: str) -> MemcachedStore:
        """Make the store that ``memcached://host:11211,host2:11211`` names; it connects at the first use.

        Options: ``prefix`` (``session:``), ``timeout`` and ``connect_timeout`` (2 seconds each),
        ``max_idle`` (50 connections to each host).

        Raises:
            ConfigurationError: The URL has a mistake.
        """
        parsed = parse_url(url, _OPTIONS)
        shown = without_password(url)
        if parsed.scheme != "memcached" or parsed.path not in ("", "/"):
            raise ConfigurationError(f"{shown!r} should be like memcached://host:11211,host2:11211, without a path")
        if parsed.user or parsed.password:
            raise ConfigurationError(f"{shown!r} has a user or password; memcached's text protocol has no log-in")
        hosts = parsed.hosts or [("localhost", PORT)]
        return cls([(host, port or PORT) for host, port in hosts], **parsed.options)

    def __repr__(self) -> str:
        hosts = ",".join(host.name for host in self._hosts)
        return f"<{type(self).__name__} memcached://{hosts} prefix={self._prefix!r}>"

    def load(self, key: str) -> Record | None:
        """Read a record. A value that is none is a record without data."""
        name = self._prefix + key
        found, cas = self._host(key).call("gets", name)
        record = values.live(found)
        if not record or not record.version:
            return record
        return record._replace(version=values.Version(record.version, name, cas, record.expires))

    def create(self, key: str, data: bytes, ttl: int) -> bool:
        """Write a new record, unless the key is taken."""
        host, name = self._host(key), self._prefix + key
        version = values.new_version()
        value = values.packed(values.ends_in(ttl), version, data)
        if host.call("add", name, value, expire=host.expiry(ttl)):
            return True
        found, cas = host.call("gets", name)
        if values.version_in(found) == version:
            # The connection dropped after the server had stored it.
            return True
        if cas is None or values.live(found) is not None:
            return False
        return bool(host.call("cas", name, value, cas, expire=host.expiry(ttl)))

    def update(self, key: str, data: bytes, ttl: int, version: Any) -> bool:
        """Write a record that still has the version."""
        new = values.new_version()
        value = values.packed(values.ends_in(ttl), new, data)
        if self._is_as_loaded_and_set(key, value, ttl, version):
            return True
        return self._change(key, ttl, lambda record: value if record.version == version else None, new)

    def touch(self, key: str, ttl: int) -> bool:
        """Let the record end ``ttl`` seconds from now."""
        ends = values.ends_in(ttl)
        return self._change(key, ttl, lambda record: values.packed(ends, record.version, record.data))

    def delete(self, key: str) -> None:
        """Remove the record, if there is one."""
        if not is_key(key):
            return
        host, name = self._host(key), self._prefix + key
        # pymemcache says the same of a record that was not there and of an answer that it does not know.
        if not host.call("delete", name) and host.call("get", name) is not None:
            raise StoreError("memcached failed: it did not remove a record")

    def close(self) -> None:
        """Close the connections."""
        for host in self._hosts:
            host.close()

    def _is_as_loaded_and_set(self, key: str, value: bytes, ttl: int, version: Any) -> bool:
        """Try it without reading again; False says nothing yet: a touch may have come between."""
        # numbers of other hosts are no others than this one's
        if not isinstance(version, values.Version) or version.name != self._prefix + key:
            return False
        if version.expires <= time.time():
            return False
        host = self._host(key)
        return bool(host.call("cas", version.name, value, version.cas, expire=host.expiry(ttl)))

    def _change(self, key: str, ttl: int, changed: Callable[[Record], bytes | None], new: bytes | None = None) -> bool:
        """Store what ``changed`` makes of the live record; again, if something else was faster.

        False if there is no live record, or ``changed`` wants nothing stored.
        """
        host, name = self._host(key), self._prefix + key
        for _ in range(_TRIES):
            found, cas = host.call("gets", name)
            version, record = values.version_in(found), values.live(found)
            if new is not None and version == new:
                return True
            value = changed(record) if record and version else None
            if value is None:
                return False
            if host.call("cas", name, value, cas, expire=host.expiry(ttl)):
                return True
        raise StoreError(f"a record in memcached was changed by others {_TRIES} times in a row")

    def _host(self, key: str) -> Host:
        """The key's host: the one that a hash of both ranks first.

        A host that is added or taken away moves only the keys that it gets or had
        (Thaler and Ravishankar, "A Name-Based Mapping Scheme for Rendezvous", 1996).
        """
        if len(self._hosts) == 1:
            return self._hosts[0]
        return max(self._hosts, key=lambda host: hashlib.sha256(f"{host.name} {key}".encode()).digest())
