"""Sends commands to Redis: with a time limit for each operation, one retry, and one kind of error."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from redis import Redis, connection
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.exceptions import AuthenticationError, NoScriptError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from session_mw.exceptions import ConfigurationError, StoreError, kind_of
from session_mw.stores.redis.clients import Client, ClusterClient, close, location_of_client, secrets_of_client
from session_mw.stores.redis.connections import NoPlaceError, abandon, deadline, fresh_pool
from session_mw.stores.redis.errors import DRIVER_ERRORS, WrongServerError, failed, is_read_only, says_wrong_type
from session_mw.stores.redis.scripts import Script
from session_mw.stores.redis.values import HEADER_LENGTH

logger = logging.getLogger("session_mw")

T = TypeVar("T")

_ASKED_AT_ONCE = 500
_USUAL_TIMEOUT = getattr(connection, "DEFAULT_SOCKET_TIMEOUT", None)
"""Before its version 8 redis-py waits for ever by default."""


_ONCE_MORE = Retry(NoBackoff(), 1, (RedisConnectionError, WrongServerError))
"""After a dropped connection, or one to a former master, a command is sent again at once; not after a time-out."""


class Server:
    """A server, or a cluster of them.

    Each process has a client of its own, so a child does not use locks or connections that a thread of its parent
    held during the fork. Whenever a call was interrupted or not answered, the client is replaced by one with new
    connections. Otherwise a late answer could be read as that of another command, a pool's place could be lost, and
    the next connection could be as stale.

    Args:
        make: Makes a client that returns bytes; called at the first use, and whenever the client is replaced.
        timeout: Seconds that an operation may take; None leaves it to a ready client's own limits.
        where: The hosts, for messages; empty if the client tells.
        secrets: Texts that no message may show, besides user and password of a ready client.
        client: A ready client.

    Raises:
        StoreError: From every method: the server failed; redis-py's error is the cause.
    """

    def __init__(
        self,
        make: Callable[[], Client],
        timeout: float | None = None,
        where: str = "",
        secrets: tuple[str, ...] = (),
        client: Client | None = None,
    ) -> None:
        self._make = make
        self.client = client
        """The client that was given, or made last."""
        self._timeout = timeout
        self._where = where
        self._secrets = secrets
        self._clients: dict[int, Client] = {}
        """The client of this process, under its id."""
        self._inherited: list[Client] = []

    def begin(self) -> None:
        """Start an operation. All its commands together must end within the time-out."""
        if self._timeout is not None:
            deadline.set(time.monotonic() + self._timeout)
        else:
            deadline.set(None)

    def call(self, *command: str | bytes | int) -> Any:
        """Send a command; its answer."""
        return self._ask(lambda client: client.execute_command(*command))

    def run(self, script: Script, keys: list[str], *args: str | bytes | int) -> Any:
        """Run a script, whose text is sent where the server has not seen it; its answer.

        redis-py's own ``Script`` loads the text into every node of a cluster, which fails if one of them is down.
        """
        try:
            return self.call("EVALSHA", script.sha, len(keys), *keys, *args)
        except StoreError as error:
            if not isinstance(error.__cause__, NoScriptError):
                raise
        return self.call("EVAL", script.text, len(keys), *keys, *args)

    def headers(self, names: list[str]) -> Iterator[bytes]:
        """The beginnings of several values; empty if there is no value, or it is not a string.

        Each round trip may take the time-out.
        """
        for start in range(0, len(names), _ASKED_AT_ONCE):
            asked = names[start : start + _ASKED_AT_ONCE]
            self.begin()
            for answer in self._ask(lambda client, asked=asked: _beginnings(client, asked)):  # type: ignore[misc]
                if not isinstance(answer, Exception):
                    yield bytes_in(answer)
                elif says_wrong_type(answer):
                    yield b""
                else:
                    raise self._failed(answer) from answer

    def is_cluster(self) -> bool:
        """Whether keys are spread over several servers."""
        return self._ask(lambda client: isinstance(client, RedisCluster))

    def close(self) -> None:
        """Close the connections, and the client that was given."""
        client = self._clients.pop(os.getpid(), None)
        if client is not None:
            close(client)

    def _ask(self, ask: Callable[[Any], T]) -> T:
        def attempt() -> T:
            client = self._clients.get(os.getpid())
            if client is None:
                client = self._open()
            try:
                return ask(client)
            except NoPlaceError:
                raise
            except ResponseError as error:
                if not is_read_only(error):
                    raise
                self._give_up(client)
                raise WrongServerError(str(error)) from error
            except BaseException:
                self._give_up(client)
                raise

        try:
            return _ONCE_MORE.call_with_retry(attempt, _raise_if_final)
        except WrongServerError as error:
            raise self._failed(error) from error.__cause__
        except DRIVER_ERRORS as error:
            raise self._failed(error) from error

    def _failed(self, error: BaseException) -> StoreError:
        where, secrets = self._where, self._secrets
        if not where and self.client is not None:
            where = ", ".join(location_of_client(self.client, "").hosts)
            secrets = secrets_of_client(self.client)
        return failed(error, where, secrets)

    def _open(self) -> Client:
        # Not under a lock, because another thread could hold it during a fork. If two threads make a client at the same
        # time, both use the one that is entered first.
        for process in list(self._clients):
            if process != os.getpid():
                # Dropping a parent process's client closes this process's copies of its connections.
                inherited = self._clients.pop(process, None)
                if isinstance(inherited, RedisCluster) and not isinstance(inherited, ClusterClient):
                    # This one is kept: when it is collected it takes a lock, which may have been held during the fork.
                    self._inherited.append(inherited)
        self.client = self._clients.setdefault(os.getpid(), self._make())
        return self.client

    def _give_up(self, client: Client) -> None:
        if self._clients.get(os.getpid()) is client:
            self._clients.pop(os.getpid(), None)
        if isinstance(client, RedisCluster):
            pools = [node.redis_connection.connection_pool for node in client.get_nodes() if node.redis_connection]
        else:
            pools = [client.connection_pool]
        for pool in pools:
            abandon(pool)


def from_client(client: Client | Callable[[], Client]) -> Server:
    """The server of a ready client, or of a function that makes one.

    Raises:
        ConfigurationError: It is not such an object, or it decodes responses.
    """
    if isinstance(client, (Redis, RedisCluster)):
        _check(client)
        ready = client
        return Server(lambda: _equipped(ready), client=ready)
    if callable(client):
        make = client
        return Server(lambda: _equipped(_check(make())))
    raise ConfigurationError(f"a redis-py client is needed, not {kind_of(client)}; see RedisStore.from_url")


def bytes_in(answer: Any) -> bytes:
    """An answer that must be a string.

    Raises:
        StoreError: It is not.
    """
    if isinstance(answer, bytes):
        return answer
    raise StoreError(f"Redis failed: it answered with an object of type {type(answer).__name__}")


def is_wrong_type(error: StoreError) -> bool:
    """Whether a command failed because the value is not a string."""
    return says_wrong_type(error.__cause__)


def is_refusal(error: StoreError) -> bool:
    """Whether the server answered with an error."""
    return isinstance(error.__cause__, ResponseError)


def _check(client: Client) -> Client:
    if client.get_encoder().decode_responses:
        raise ConfigurationError("the Redis client decodes what it reads; make it with decode_responses=False")
    if isinstance(client, RedisCluster):
        settings: dict[str, Any] = client.get_connection_kwargs()
    elif client.connection is not None:
        raise ConfigurationError(
            "the Redis client has one connection for all threads; leave out single_connection_client"
        )
    else:
        settings = client.connection_pool.connection_kwargs
    if settings.get("socket_timeout", _USUAL_TIMEOUT) is None:
        logger.warning("the Redis client has no socket_timeout: a request may wait for ever for a server that hangs")
    return client


def _equipped(client: Client) -> Client:
    """A ready client with a new pool, whose connections can be interrupted at any point."""
    if isinstance(client, Redis):
        pool = fresh_pool(client.connection_pool)
        if pool is not client.connection_pool:
            client.connection_pool = pool
            # Otherwise redis-py closes the pool when the client is collected, for which it takes a lock that may have
            # been held during a fork.
            client.auto_close_connection_pool = False
    return client


def _raise_if_final(error: Exception) -> None:
    if isinstance(error, (AuthenticationError, NoPlaceError)):
        raise error


def _beginnings(client: Any, names: list[str]) -> list[Any]:
    pipeline = client.pipeline(transaction=False)
    for name in names:
        pipeline.getrange(name, 0, HEADER_LENGTH - 1)
    answers: list[Any] = pipeline.execute(raise_on_error=False)
    for answer in answers:
        # A cluster's pipeline returns these errors where it should raise them.
        if isinstance(answer, (RedisConnectionError, RedisTimeoutError)) or is_read_only(answer):
            raise answer
    return answers
