"""redis-py clients and pools that do nothing besides a command's sending and its answer's reading.

Before each command redis-py's own pools ask the socket whether it is in order, and its
client times, counts and wraps the call: a third of the whole. Here a connection that
was dropped is noticed when it is used, and then tried once more.
"""

from __future__ import annotations

import queue
from typing import Any

from redis import ConnectionPool, Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.sentinel import SentinelConnectionPool


class KeptConnections(ConnectionPool):
    """A pool whose connections are taken as they were left; who finds none free waits for one."""

    def reset(self) -> None:
        """Begin without connections: when made, and in a forked process."""
        # One for each connection that may be in use; taking one and putting it back is a call into C. The class is
        # looked up here, since gevent may have put another there after the application was loaded.
        self._places: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(self.max_connections):
            self._places.put(None)
        self._longest_wait = self.connection_kwargs["socket_connect_timeout"]
        super().reset()

    def get_connection(self, command_name: str | None = None, *keys: Any, **options: Any) -> Any:
        """Take a connection, which connects by itself when it is used.

        Raises:
            redis.ConnectionError: None was given back in time.
        """
        self._checkpid()
        try:
            self._places.get(timeout=self._longest_wait)
        except queue.Empty:
            raise RedisConnectionError("all connections were in use for too long") from None
        with self._lock:
            connection = self._available_connections.pop() if self._available_connections else self.make_connection()
            self._in_use_connections.add(connection)
        return connection

    def release(self, connection: Any) -> None:
        """Give a connection back; one to a former master or of a parent process goes."""
        with self._lock:
            self._in_use_connections.discard(connection)
            if self.owns_connection(connection):
                self._available_connections.append(connection)
            else:
                self._created_connections -= 1
                connection.disconnect()
        self._places.put(None)


class KeptMasterConnections(KeptConnections, SentinelConnectionPool):
    """The same, to the master that Sentinels name; they are asked by ``connect()`` only."""

    def get_connection(self, command_name: str | None = None, *keys: Any, **options: Any) -> Any:
        """Take a connection that is connected."""
        connection = super().get_connection()
        try:
            connection.connect()
        except BaseException:
            self.release(connection)
            raise
        return connection


class LeanRedis(Redis):
    """A client that answers with what the server said: bytes, numbers and lists."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command and read its answer; again, if the connection drops. So it has to bear being sent twice."""
        connection: Any = self.connection_pool.get_connection()
        try:
            command = _packed(args)
            try:
                return _answer(connection, command)
            except RedisConnectionError:
                connection.disconnect()
                # not left to the sending, which does not ask Sentinels where the master is now
                connection.connect()
                return _answer(connection, command)
        except ResponseError:
            raise
        except BaseException:
            # its answer may still come, and would be taken for the next command's
            connection.disconnect()
            raise
        finally:
            self.connection_pool.release(connection)


def _packed(words: tuple[str | bytes | int, ...]) -> bytes:
    """A command in the Redis protocol; redis-py's own way takes three times as long."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        text = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(text), text))
    return b"".join(parts)


def _answer(connection: Any, command: bytes) -> Any:
    connection.send_packed_command([command])
    return connection.read_response()
