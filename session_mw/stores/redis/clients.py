"""Redis and Valkey URLs, and the redis-py clients that they stand for.

redis-py knows neither Sentinel, Cluster nor Valkey in a URL, and takes an option that it
does not know as an argument of the first connection. So nothing of a URL is passed on unread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from redis import Redis, SSLConnection
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry
from redis.sentinel import Sentinel

from session_mw.exceptions import ConfigurationError
from session_mw.stores.options import StoreURL, nearest, parse_url, positive, seconds, without_password, yes_no
from session_mw.stores.redis.connections import KeptConnections, KeptMasterConnections, LeanRedis

Client: TypeAlias = "Redis | RedisCluster"

CONNECT_SECONDS = 2.0
READ_SECONDS = 2.0
CONNECTIONS = 50

SCHEMES = [
    f"{server}{kind}" for server in ("redis", "rediss", "valkey", "valkeys") for kind in ("", "+sentinel", "+cluster")
]


def _prefix(text: str) -> str:
    if not text.isascii() or not text.isprintable():
        raise ValueError("must be printable ASCII")
    return text


def _cert_reqs(text: str) -> str:
    if text not in ("required", "optional", "none"):
        raise ValueError("must be required, optional or none")
    return text


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


def connector(url: str) -> tuple[Callable[[], Client], dict[str, Any]]:
    """Read a URL.

    Returns:
        What makes the client, and the URL's options. Nothing is connected yet; a client
        of a cluster connects as soon as it is made.

    Raises:
        ConfigurationError: The URL has a mistake.
    """
    scheme = url.partition("://")[0].lower()
    server, _, kind = scheme.partition("+")
    tls = server in ("rediss", "valkeys")
    if scheme not in SCHEMES:
        raise ConfigurationError(f"{without_password(url)!r} has no scheme of Redis; {nearest(scheme, SCHEMES)}")
    parsed = parse_url(url, {**_OPTIONS, **(_TLS_OPTIONS if tls else {})})
    make = {"": _single, "sentinel": _sentinel, "cluster": _cluster}[kind]
    return make(parsed, _connection(parsed, tls), without_password(url)), parsed.options


def close(client: Client) -> None:
    """Give back all connections, also those to Sentinels."""
    client.close()
    pool = getattr(client, "connection_pool", None)
    if pool is not None:
        pool.disconnect()
    for sentinel in getattr(getattr(pool, "sentinel_manager", None), "sentinels", []):
        sentinel.close()


def _connection(url: StoreURL, tls: bool) -> dict[str, Any]:
    """The arguments that every kind of client hands to its connections."""
    return {
        "username": url.user,
        "password": url.password,
        **_sockets(url),
        # redis-py before 6 leaves the host's name unchecked
        **({"ssl": True, "ssl_check_hostname": url.options.get("ssl_cert_reqs") != "none"} if tls else {}),
        **{name: value for name, value in url.options.items() if name in _TLS_OPTIONS},
    }


def _sockets(url: StoreURL) -> dict[str, Any]:
    return {
        "socket_timeout": url.options.get("timeout", READ_SECONDS),
        "socket_connect_timeout": url.options.get("connect_timeout", CONNECT_SECONDS),
        "socket_keepalive": True,
        # RESP 2 is enough here, and spares a HELLO, which Redis before 6 does not know
        "protocol": 2,
    }


def _retry_once() -> dict[str, Any]:
    """A dropped connection is tried again, at once; a server that does not answer in time is not."""
    return {
        "retry": Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        # redis-py 5 sends a command again for these only
        "retry_on_error": [RedisConnectionError],
    }


def _single(url: StoreURL, connection: dict[str, Any], shown: str) -> Callable[[], Client]:
    if len(url.hosts) > 1:
        raise ConfigurationError(f"{shown!r} names several hosts; write redis+sentinel:// or redis+cluster://")
    database = _database(url.path, shown)
    host, port = url.hosts[0] if url.hosts else ("localhost", None)
    if connection.pop("ssl", False):
        connection["connection_class"] = SSLConnection
    pool = KeptConnections(
        max_connections=url.options.get("max_connections", CONNECTIONS),
        host=host,
        port=port or 6379,
        db=database,
        **_retry_once(),
        **connection,
    )
    client = LeanRedis(connection_pool=pool)
    return lambda: client


def _sentinel(url: StoreURL, connection: dict[str, Any], shown: str) -> Callable[[], Client]:
    name, _, database = url.path.removeprefix("/").partition("/")
    if not name or not url.hosts:
        raise ConfigurationError(f"{shown!r} must name hosts and the master: redis+sentinel://host:26379/master/0")
    own = {key: value for key, value in connection.items() if key not in ("username", "password")}
    sentinels = Sentinel(
        [(host, port or 26379) for host, port in url.hosts],
        sentinel_kwargs={**own, **_retry_once()},
        max_connections=url.options.get("max_connections", CONNECTIONS),
        db=_database(f"/{database}", shown),
        **_retry_once(),
        **connection,
    )
    client = sentinels.master_for(name, redis_class=LeanRedis, connection_pool_class=KeptMasterConnections)
    return lambda: client


def _cluster(url: StoreURL, connection: dict[str, Any], shown: str) -> Callable[[], Client]:
    if url.path not in ("", "/", "/0"):
        raise ConfigurationError(f"{shown!r} has a path; a cluster has no databases, so leave it out")
    hosts = url.hosts or [("localhost", None)]
    return lambda: RedisCluster(
        startup_nodes=[ClusterNode(host, port or 6379) for host, port in hosts],
        max_connections=url.options.get("max_connections", CONNECTIONS),
        retry=_retry_once()["retry"],
        **connection,
    )


def _database(path: str, shown: str) -> int:
    text = path.removeprefix("/") or "0"
    if not (text.isascii() and text.isdigit()) or len(text) > 5:
        raise ConfigurationError(f"the path of {shown!r} is no database; write its number, such as /0")
    return int(text)
