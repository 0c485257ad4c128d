"""Redis and Valkey URLs, and the redis-py clients that they name.

redis-py has no URLs for Sentinel, Cluster and Valkey, and passes an option that it does not know to
the first connection, where it fails. So URLs are parsed here, and redis-py never sees them.
"""

from __future__ import annotations

import functools
import random
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import unquote

from redis import VERSION, Redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.connection import BlockingConnectionPool, Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import RedisClusterException, RedisError
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelManagedConnection, SentinelManagedSSLConnection

from session_mw.exceptions import ConfigurationError
from session_mw.protocols import Location
from session_mw.stores.options import StoreURL, nearest, parse_url, positive, seconds, without_password, yes_no
from session_mw.stores.redis.connections import MasterPool, Places, deadline, seconds_left, timed

Client: TypeAlias = "Redis | RedisCluster"

CONNECT_SECONDS = 2.0
READ_SECONDS = 2.0
CONNECTIONS = 50

_NO_MORE_TRIES: dict[str, Any] = {"cluster_error_retry_attempts": 0} if VERSION[0] < 6 else {}
"""redis-py 5 has retries of its own besides ``retry``; later versions have not, and warn of this argument."""

SCHEMES = [
    *(
        f"{server}{kind}"
        for server in ("redis", "rediss", "valkey", "valkeys")
        for kind in ("", "+sentinel", "+cluster")
    ),
    "redis+unix",
    "valkey+unix",
]


def _prefix(text: str) -> str:
    if not text.isascii() or not text.isprintable():
        raise ValueError("must be printable ASCII")
    return text


def _cert_reqs(text: str) -> str:
    if text not in ("required", "optional", "none"):
        raise ValueError("must be required, optional or none")
    return text


def _database_number(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 5:
        raise ValueError("must be a database's number")
    return int(text)


_OPTIONS: dict[str, Callable[[str], Any]] = {
    "prefix": _prefix,
    "timeout": seconds,
    "connect_timeout": seconds,
    "max_connections": positive,
}
_TLS_OPTIONS: dict[str, Callable[[str], Any]] = {
    "ssl_ca_certs": str,
    "ssl_certfile": str,
    "ssl_keyfile": str,
    "ssl_cert_reqs": _cert_reqs,
    "ssl_check_hostname": yes_no,
}


@dataclass(frozen=True)
class Target:
    """A URL, parsed."""

    make: Callable[[], Client] = field(repr=False)
    """Makes a client, which connects at its first use; a cluster's client connects when it is made."""
    location: Location
    where: str
    """The hosts with their ports, for messages."""
    prefix: str
    timeout: float
    """Seconds that an operation may take."""
    secrets: tuple[str, ...] = field(repr=False)
    """User and password, which no message may show."""


class ClusterClient(RedisCluster):
    """redis-py's client without its ``__del__``, which takes a lock that may be held for ever in a forked process."""

    def __del__(self) -> None:
        """Do nothing: the connections close themselves."""


def target(url: str) -> Target:
    """Parse a URL.

    Raises:
        ConfigurationError: The URL has a mistake.
    """
    shown = without_password(url)
    scheme = url.partition("://")[0].lower()
    if scheme not in SCHEMES:
        raise ConfigurationError(f"{shown!r} has no scheme of Redis; {nearest(scheme, SCHEMES)}")
    server, _, kind = scheme.partition("+")
    tls = server in ("rediss", "valkeys")
    own: dict[str, Callable[[str], Any]] = {"db": _database_number} if kind == "unix" else {}
    parsed = parse_url(url, {**_OPTIONS, **own, **(_TLS_OPTIONS if tls else {})})
    make = {"": _single, "unix": _unix, "sentinel": _sentinel, "cluster": _cluster}[kind]
    hosts = parsed.hosts or [("localhost", None)]
    usual_port = 26379 if kind == "sentinel" else 6379
    where = ", ".join(f"{host}:{port or usual_port}" for host, port in hosts)
    verified = parsed.options.get("ssl_check_hostname", True) and parsed.options.get("ssl_cert_reqs") != "none"
    # without_password() puts three stars in the place of user and password.
    has_password = parsed.password is not None or parsed.user == "***"
    return Target(
        make(parsed, tls, shown),
        Location("redis", shown, "", tuple(host for host, _ in hosts), tls, verified, has_password),
        unquote(parsed.path) if kind == "unix" else where,
        parsed.options.get("prefix", "session:"),
        parsed.options.get("timeout", READ_SECONDS),
        tuple(filter(None, (parsed.user, parsed.password))),
    )


def location_of_client(client: Client, shown: str) -> Location:
    """Where a ready client connects to, as far as its settings tell."""
    pool = getattr(client, "connection_pool", None)
    manager = getattr(pool, "sentinel_manager", None)
    if isinstance(client, RedisCluster):
        arguments = client.get_connection_kwargs()
        hosts = tuple(str(node.host) for node in client.nodes_manager.startup_nodes.values())
    else:
        arguments = dict(getattr(pool, "connection_kwargs", {}))
        hosts = (str(arguments.get("host", "localhost")),)
    if manager is not None:
        hosts = tuple(str(one.connection_pool.connection_kwargs.get("host")) for one in manager.sentinels)
    connection_class = getattr(pool, "connection_class", Connection)
    tls = bool(arguments.get("ssl")) or (
        isinstance(connection_class, type) and issubclass(connection_class, SSLConnection)
    )
    trusts_all = arguments.get("ssl_cert_reqs", "required") in ("none", None, ssl.CERT_NONE)
    verified = not trusts_all and bool(arguments.get("ssl_check_hostname", True))
    password = bool(arguments.get("password") or arguments.get("credential_provider"))
    return Location("redis", shown, "", hosts, tls, verified, password)


def secrets_of_client(client: Client) -> tuple[str, ...]:
    """User and password of a ready client, which no message may show."""
    if isinstance(client, RedisCluster):
        arguments = client.get_connection_kwargs()
    else:
        arguments = client.connection_pool.connection_kwargs
    return tuple(str(arguments[name]) for name in ("username", "password") if arguments.get(name))


def close(client: Client) -> None:
    """Close all connections, also those to Sentinels."""
    client.close()
    pool = getattr(client, "connection_pool", None)
    if pool is not None:
        pool.disconnect()
    for sentinel in getattr(getattr(pool, "sentinel_manager", None), "sentinels", []):
        sentinel.connection_pool.disconnect()


def _connection(url: StoreURL) -> dict[str, Any]:
    """The arguments that every kind of client hands to its connections."""
    return {
        "username": url.user,
        "password": url.password,
        # RESP 2 is enough, and needs no HELLO, which Redis before 6 does not know.
        "protocol": 2,
    }


def _tcp(url: StoreURL, tls: bool) -> dict[str, Any]:
    options = {name: value for name, value in url.options.items() if name in _TLS_OPTIONS}
    # redis-py before 6 does not check the host's name by default.
    checked = {"ssl_check_hostname": options.get("ssl_cert_reqs") != "none"} if tls else {}
    return {"socket_keepalive": True, **checked, **options}


def _pool(url: StoreURL, connection_class: type) -> dict[str, Any]:
    """The arguments for every kind of pool. The store retries, so connections do not."""
    connect_seconds = url.options.get("connect_timeout", CONNECT_SECONDS)
    return {
        "connection_class": timed(connection_class, connect_seconds, url.options.get("timeout", READ_SECONDS)),
        "max_connections": url.options.get("max_connections", CONNECTIONS),
        "queue_class": Places,
        "timeout": None,
    }


def _single(url: StoreURL, tls: bool, shown: str) -> Callable[[], Client]:
    if len(url.hosts) > 1:
        raise ConfigurationError(f"{shown!r} names several hosts; write redis+sentinel:// or redis+cluster://")
    host, port = url.hosts[0] if url.hosts else ("localhost", None)
    pool = _pool(url, SSLConnection if tls else Connection)
    place = {"host": host, "port": port or 6379, "db": _database(url.path, shown)}
    return lambda: Redis(connection_pool=BlockingConnectionPool(**pool, **place, **_connection(url), **_tcp(url, tls)))


def _unix(url: StoreURL, _: bool, shown: str) -> Callable[[], Client]:
    if url.hosts or url.path in ("", "/"):
        raise ConfigurationError(f"{shown!r} must name a socket's file: redis+unix:///run/redis/redis.sock?db=0")
    pool = _pool(url, UnixDomainSocketConnection)
    place = {"path": unquote(url.path), "db": url.options.get("db", 0)}
    return lambda: Redis(connection_pool=BlockingConnectionPool(**pool, **place, **_connection(url)))


def _sentinel(url: StoreURL, tls: bool, shown: str) -> Callable[[], Client]:
    name, _, database = url.path.removeprefix("/").partition("/")
    if not name or not url.hosts:
        raise ConfigurationError(f"{shown!r} must name hosts and the master: redis+sentinel://host:26379/master/0")
    pool = _pool(url, SentinelManagedSSLConnection if tls else SentinelManagedConnection)
    pool.update(db=_database(f"/{database}", shown), **_connection(url), **_tcp(url, tls))
    # One Sentinel that hangs must leave time to ask the others, and the master.
    share = url.options.get("timeout", READ_SECONDS) / (len(url.hosts) + 1)
    own_class = timed(SSLConnection if tls else Connection, share, share)
    own = {**_pool(url, Connection), **_tcp(url, tls), "protocol": 2, "connection_class": own_class}

    def make() -> Client:
        manager = Sentinel([])
        manager.sentinels = [
            Redis(connection_pool=BlockingConnectionPool(host=host, port=port or 26379, **own))
            for host, port in url.hosts
        ]
        client: Redis = manager.master_for(name, connection_pool_class=MasterPool, **pool)
        # Otherwise it closes its connections when it is garbage-collected, for which redis-py takes a lock.
        client.auto_close_connection_pool = False
        return client

    return make


def _cluster(url: StoreURL, tls: bool, shown: str) -> Callable[[], Client]:
    if url.path not in ("", "/", "/0"):
        raise ConfigurationError(f"{shown!r} has a path; a cluster has no databases, so leave it out")
    hosts, limit = url.hosts or [("localhost", None)], url.options.get("timeout", READ_SECONDS)
    arguments = {**_pool(url, SSLConnection if tls else Connection), **_connection(url), **_tcp(url, tls)}
    # RedisCluster accepts a pool class only together with a URL. Before redis-py 6 it loses some TLS arguments, so that
    # they are bound to the class.
    pool_class: Any = functools.partial(BlockingConnectionPool, **arguments)

    def make() -> Client:
        rest = random.sample(hosts, len(hosts))
        while True:
            host, port = rest.pop()
            # One host that hangs must leave time to ask the others.
            share = deadline.set(time.monotonic() + seconds_left(limit) / (len(rest) + 1))
            try:
                return ClusterClient(
                    url=f"redis://{f'[{host}]' if ':' in host else host}:{port or 6379}",
                    connection_pool_class=pool_class,
                    retry=Retry(NoBackoff(), 0),
                    protocol=2,
                    **_NO_MORE_TRIES,
                )
            except (RedisError, RedisClusterException, OSError):
                if not rest:
                    raise
            finally:
                deadline.reset(share)

    return make


def _database(path: str, shown: str) -> int:
    try:
        return _database_number(path.removeprefix("/") or "0")
    except ValueError:
        raise ConfigurationError(f"the path of {shown!r} is no database; write its number, such as /0") from None
