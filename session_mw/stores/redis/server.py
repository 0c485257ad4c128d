"""What is said to Redis, and what its answers mean: one error for all that can go wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from redis import Redis
from redis.cluster import RedisCluster
from redis.exceptions import NoScriptError, RedisClusterException, RedisError, ResponseError

from session_mw.exceptions import ConfigurationError, StoreError
from session_mw.stores.redis.clients import Client, close
from session_mw.stores.redis.scripts import Script
from session_mw.stores.redis.values import HEADER_LENGTH

_DRIVER_ERRORS = (RedisError, RedisClusterException, OSError)
# redis-py reads numbers in answers that may be no Redis's: a wrong port, a proxy.
_ANSWER_ERRORS = (*_DRIVER_ERRORS, ValueError)
_ASKED_AT_ONCE = 500


class Server:
    """A server, or a cluster of them.

    Args:
        client: A redis-py client that returns bytes, or a function that makes it at the first use.

    Raises:
        ConfigurationError: The client is none, or decodes responses.
        StoreError: From every method: the server failed; redis-py's error is the cause.
    """

    def __init__(self, client: Client | Callable[[], Client]) -> None:
        self._client: Any = None
        if isinstance(client, (Redis, RedisCluster)):
            self._client = _returning_bytes(client)
        elif callable(client):
            self._connect = client
        else:
            raise ConfigurationError(
                f"a redis-py client is needed, not {type(client).__name__}; see RedisStore.from_url"
            )

    def call(self, *command: str | bytes | int) -> Any:
        """Send a command; its answer."""
        client = self._client or self._open()
        try:
            return client.execute_command(*command)
        except _ANSWER_ERRORS as error:
            raise _failed(error) from error

    def run(self, script: Script, keys: list[str], *args: str | bytes | int) -> Any:
        """Run a script, whose text is sent where the server has not seen it; its answer."""
        try:
            return self.call("EVALSHA", script.sha, len(keys), *keys, *args)
        except StoreError as error:
            if not isinstance(error.__cause__, NoScriptError):
                raise
        return self.call("EVAL", script.text, len(keys), *keys, *args)

    def headers(self, names: list[str]) -> Iterator[bytes]:
        """The beginnings of several values; empty where there is none, or no string."""
        client = self._client or self._open()
        for start in range(0, len(names), _ASKED_AT_ONCE):
            pipeline = client.pipeline(transaction=False)
            for name in names[start : start + _ASKED_AT_ONCE]:
                pipeline.getrange(name, 0, HEADER_LENGTH - 1)
            try:
                answers = pipeline.execute(raise_on_error=False)
            except _ANSWER_ERRORS as error:
                raise _failed(error) from error
            yield from map(_header, answers)

    def is_cluster(self) -> bool:
        """Whether keys are spread over several servers."""
        return isinstance(self._client or self._open(), RedisCluster)

    def close(self) -> None:
        """Close the connections, and the client that was given."""
        if self._client is not None:
            close(self._client)

    def _open(self) -> Any:
        try:
            # Without a lock: one that another thread holds during a fork stays locked in the child.
            self._client = _returning_bytes(self._connect())
        except _DRIVER_ERRORS as error:
            raise _failed(error) from error
        return self._client


def bytes_in(answer: Any) -> bytes:
    """An answer that has to be a string.

    Raises:
        StoreError: It is none.
    """
    if isinstance(answer, bytes):
        return answer
    raise StoreError(f"Redis failed: it answered with an object of type {type(answer).__name__}")


def is_wrong_type(error: StoreError) -> bool:
    """Whether a command failed because the value is no string."""
    return _says_wrong_type(error.__cause__)


def is_refusal(error: StoreError) -> bool:
    """Whether the server was reached, and would not do what it was told."""
    return isinstance(error.__cause__, ResponseError)


def _returning_bytes(client: Client) -> Client:
    if client.get_encoder().decode_responses:
        raise ConfigurationError("the Redis client decodes what it reads; make it with decode_responses=False")
    return client


def _header(answer: Any) -> bytes:
    if isinstance(answer, Exception):
        if _says_wrong_type(answer):
            return b""
        raise _failed(answer) from answer
    return bytes_in(answer)


def _says_wrong_type(error: BaseException | None) -> bool:
    return str(error).startswith("WRONGTYPE")


def _failed(error: Exception) -> StoreError:
    return StoreError(f"Redis failed: {type(error).__name__}")
