"""Turns redis-py's errors into a :class:`StoreError` that tells what the server said and shows no secret."""

from __future__ import annotations

import re
from collections.abc import Iterable

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ChildDeadlockedError,
    ClusterDownError,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from session_mw.exceptions import StoreError


class WrongServerError(RedisError):
    """The connections lead to a replica, because the address belongs to another server by now."""


DRIVER_ERRORS = (
    RedisError,
    RedisClusterException,
    ChildDeadlockedError,
    OSError,
    # redis-py raises these if the answer does not come from Redis (a wrong port, a proxy).
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
)

# Errors whose words are shown. Those of others may contain what was sent or stored.
_TELLING = (RedisConnectionError, RedisTimeoutError, ResponseError, OSError)
_CODES: dict[type[Exception], str] = {
    MasterDownError: "MASTERDOWN",
    ClusterDownError: "CLUSTERDOWN",
    OutOfMemoryError: "OOM",
    NoPermissionError: "NOPERM",
    ReadOnlyError: "READONLY",
    BusyLoadingError: "LOADING",
}
"""redis-py cuts these codes off the message; since version 8 it keeps them in an attribute."""
_ECHO = re.compile(r",? with args beginning with.*| : .*<redis\..*", re.DOTALL)
"""Redis repeats the arguments of an unknown command, and redis-py adds its Sentinel clients with their settings."""
_MOST = 300


def failed(error: BaseException, where: str, secrets: Iterable[str]) -> StoreError:
    """The error to raise for one of redis-py's.

    Args:
        error: The driver's error, which becomes the cause. Its tracebacks are removed, because tools that report
            errors show the local variables of each frame, for example a password.
        where: The hosts, which redis-py does not always name.
        secrets: Texts that the message must not show.
    """
    told = error.__cause__ if isinstance(error, WrongServerError) and error.__cause__ else error
    words = _words_of(told)
    for secret in sorted(secrets, key=len, reverse=True):
        words = words.replace(secret, "***")
    shown = f": {words}" if words else ""
    place = f" ({where})" if where and where not in words else ""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop()
        if link is not None and id(link) not in seen:
            seen.add(id(link))
            link.__traceback__ = None
            waiting += [link.__cause__, link.__context__]
    return StoreError(f"Redis failed: {type(told).__name__}{shown}{place}")


def is_read_only(error: BaseException) -> bool:
    """Whether a server rejects a command because it is a replica; a script's error has the code among other words."""
    return isinstance(error, (ReadOnlyError, MasterDownError)) or (
        isinstance(error, ResponseError) and ("READONLY" in str(error) or "MASTERDOWN" in str(error))
    )


def says_wrong_type(error: BaseException | None) -> bool:
    """Whether a command failed because the value is not a string."""
    return str(error).startswith("WRONGTYPE")


def _words_of(error: BaseException) -> str:
    if not isinstance(error, _TELLING):
        return ""
    words = " ".join(_ECHO.sub("", str(error)).split())
    code = _code_of(error, words)
    if code and code not in words:
        words = f"{code} {words}"
    return words if len(words) <= _MOST else f"{words[:_MOST]}…"


def _code_of(error: BaseException, words: str) -> str:
    if code := getattr(error, "status_code", None):
        return str(code) if code != "ERR" else ""
    if isinstance(error, AuthenticationError):
        if "username-password" in words:
            return "WRONGPASS"
        return "NOAUTH" if words.startswith("Authentication required") else ""
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), "")
