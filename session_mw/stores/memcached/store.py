"""Sessions in memcached, on one host or spread over several."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote

from session_mw.exceptions import ConfigurationError, StoreError
from session_mw.protocols import Location, Record
from session_mw.stores.memcached import values
from session_mw.stores.memcached.connection import Address
from session_mw.stores.memcached.host import Host
from session_mw.stores.options import StoreURL, parse_url, positive, seconds, without_password
from session_mw.stores.session_ids import is_key

PORT = 11211


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

    Nothing survives a restart of the server, and a full server drops the records that were not
    used for longest, so a session can end at any time. Each session id belongs to one host. While
    that host is down, its sessions raise ``StoreError``; another host is never asked for them. There
    is no index of principals.

    The version of a record is stored in its value. memcached's ``cas`` number would not do, because
    a touch changes it too. The number only makes sure that nothing is stored between the reading and
    the writing of one call. So a load is one round trip, and so is an update after a load, if nobody
    changed the record meanwhile.

    A session larger than the server keeps (1 MB, or its option ``-I``) raises ``NotSerializable``,
    and the record stays as it was, because the data is at fault and not the server.

    A call ends within ``timeout``, however many commands it takes; only the lookup of a host's
    name has the limits of the system's resolver. After a time-out all idle connections to that host
    are closed, because a firewall that has forgotten one has forgotten the others too.

    Args:
        hosts: Host and port of every server, or the path of its Unix socket; the same on all
            machines, in any order.
        prefix: Put before every session id. Applications that share a server need different ones.
        timeout: Seconds that a call may take.
        connect_timeout: Seconds of these to wait for a connection, at most.
        max_idle: How many connections to each host are kept while they are not in use.

    Raises:
        ConfigurationError: There is no host, a host is given twice, or the prefix cannot be part of a key.
    """

    def __init__(
        self,
        hosts: Sequence[Address],
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
    def from_url(cls, url: str, *, create: bool = True) -> MemcachedStore:
        """Make the store that ``memcached://host:11211,host2:11211`` names; it connects at the first use.

        ``memcached:///run/memcached.sock`` is a Unix socket. Options: ``prefix`` (``session:``),
        ``timeout`` and ``connect_timeout`` (2 seconds each), ``max_idle`` (50 connections to each host).

        Args:
            url: The URL.
            create: Without effect, because in memcached there is nothing to create; all stores accept it.

        Raises:
            ConfigurationError: The URL has a mistake.
        """
        parsed = _read_url(url)
        return cls(_addresses(parsed), **parsed.options)

    @classmethod
    def location_of(cls, url: str) -> Location:
        """Where the store is that the URL names. It opens nothing.

        Raises:
            ConfigurationError: The URL has a mistake.
        """
        return _location(without_password(url), _addresses(_read_url(url)))

    def __repr__(self) -> str:
        hosts = ",".join(host.name for host in self._hosts)
        return f"<{type(self).__name__} memcached://{hosts} prefix={self._prefix!r}>"

    def load(self, key: str) -> Record | None:
        """Read a record. A value that is not a record is returned as a record without data."""
        host, name, ends = self._begin(key)
        found, cas = host.call(ends, "gets", name)
        record = values.live(found)
        if not record or not record.version:
            return record
        return record._replace(version=values.Version(record.version, name, cas, record.expires))

    def create(self, key: str, data: bytes, ttl: int) -> bool:
        """Write a new record, unless the key is taken."""
        host, name, ends = self._begin(key)
        version = values.new_version()
        value = values.packed(values.ends_in(ttl), version, data)
        if host.call(ends, "add", name, value, expire=host.expiry(ttl, ends)):
            return True
        found, cas = host.call(ends, "gets", name)
        if values.version_in(found) == version:
            # The connection dropped after the server had stored the record, and the command was sent again.
            return True
        if cas is None or values.live(found) is not None:
            return False
        return bool(host.call(ends, "cas", name, value, cas, expire=host.expiry(ttl, ends)))

    def update(self, key: str, data: bytes, ttl: int, version: Any) -> bool:
        """Write a record that still has the version."""
        host, name, ends = self._begin(key)
        new = values.new_version()
        value = values.packed(values.ends_in(ttl), new, data)
        # A cas number means something only for the same host and prefix.
        is_same_record = isinstance(version, values.Version) and version.name == name and version.expires > time.time()
        if is_same_record and host.call(ends, "cas", name, value, version.cas, expire=host.expiry(ttl, ends)):
            return True
        # Somebody may have touched the record, or the connection dropped after the server had stored it.
        found, cas = host.call(ends, "gets", name)
        while values.version_in(found) != new:
            record = values.live(found)
            if record is None or not record.version or record.version != version:
                return False
            if host.call(ends, "cas", name, value, cas, expire=host.expiry(ttl, ends)):
                return True
            found, cas = self._changed_by_another(host, name, ends)
        return True

    def touch(self, key: str, ttl: int) -> bool:
        """Let the record expire ``ttl`` seconds from now."""
        host, name, ends = self._begin(key)
        found, cas = host.call(ends, "gets", name)
        while (record := values.live(found)) is not None and record.version:
            value = values.packed(values.ends_in(ttl), record.version, record.data)
            if host.call(ends, "cas", name, value, cas, expire=host.expiry(ttl, ends)):
                return True
            found, cas = self._changed_by_another(host, name, ends)
        return False

    def delete(self, key: str) -> None:
        """Remove the record, if there is one."""
        if not is_key(key):
            return
        host, name, ends = self._begin(key)
        # pymemcache returns False both if there was no record and if it did not understand the answer.
        if not host.call(ends, "delete", name) and host.call(ends, "get", name) is not None:
            raise StoreError(f"memcached failed at {host.name}: it did not remove a record")

    def close(self) -> None:
        """Close the connections."""
        for host in self._hosts:
            host.close()

    def describe(self) -> Location:
        """As :meth:`session_mw.protocols.LocatedStore.describe`."""
        return _location(repr(self), [host.address for host in self._hosts])

    def _begin(self, key: str) -> tuple[Host, str, float]:
        """The key's host, the key's name there, and when the call has to end.

        The host is the one for which a hash of host and key is greatest. So if a host is added or removed, only
        the keys move that it gets or had (Thaler and Ravishankar, "A Name-Based Mapping Scheme for Rendezvous",
        1996).
        """
        host = self._hosts[0]
        if len(self._hosts) > 1:
            host = max(self._hosts, key=lambda host: hashlib.sha256(f"{host.name} {key}".encode()).digest())
        return host, self._prefix + key, host.deadline()

    def _changed_by_another(self, host: Host, name: str, ends: float) -> Any:
        """A record's value and ``cas`` number, read anew because another writer was faster.

        Raises:
            StoreError: Other writers were faster until the time for the call was over.
        """
        if time.monotonic() >= ends:
            raise StoreError(f"a record in memcached at {host.name} was changed by others for the whole timeout")
        return host.call(ends, "gets", name)


def _read_url(url: str) -> StoreURL:
    parsed = parse_url(url, _OPTIONS)
    shown = without_password(url)
    if parsed.scheme != "memcached" or (parsed.hosts and parsed.path not in ("", "/")):
        raise ConfigurationError(
            f"{shown!r} should be like memcached://host:11211,host2:11211, without a path, "
            "or memcached:///run/memcached.sock"
        )
    if parsed.user or parsed.password:
        raise ConfigurationError(f"{shown!r} has a user or password; memcached's text protocol has no log-in")
    return parsed


def _addresses(parsed: StoreURL) -> list[Address]:
    if not parsed.hosts and parsed.path.strip("/"):
        return [unquote(parsed.path)]
    return [(host, port or PORT) for host, port in parsed.hosts or [("localhost", None)]]


def _location(shown: str, addresses: Sequence[Address]) -> Location:
    # A Unix socket can be reached only from this machine.
    hosts = tuple("localhost" if isinstance(address, str) else address[0] for address in addresses)
    return Location("memcached", shown, hosts=hosts)
