"""Every error and warning of the package.

    WeakSecretKeyWarning(UserWarning)
    SessionError(Exception)
    ├── ConfigurationError (ValueError)
    ├── SessionUnavailable (RuntimeError)
    ├── MissingSession (LookupError)
    ├── BadToken
    │   └── ExpiredToken
    ├── NotSerializable (TypeError)
    ├── CookieTooLarge (ValueError)
    └── StoreError

No message holds a secret key, a token or session data. All can be pickled and copied, for
process pools and error reporters; as with any exception of Python, the cause and the traceback stay behind.
"""

from __future__ import annotations

import builtins
from traceback import walk_tb
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class WeakSecretKeyWarning(UserWarning):
    """The secret key is so short, so uniform or so well known that tokens can be forged."""


class SessionError(Exception):
    """The root of the package's own errors; a wrong argument is a ``TypeError`` or ``ValueError``."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        # Python's own __reduce__ calls the class with the message, and some classes take what the message is made of.
        return _restored, (type(self), self.args, self.__dict__)


class ConfigurationError(SessionError, ValueError):
    """A setting is wrong, or does not go with what is asked for.

    Raised when the manager or middleware is built; later only where ``environ_key`` is taken,
    where Flask's config is read then, or where the sessions cannot be listed or ended.
    """


class SessionUnavailable(SessionError, RuntimeError):
    """The session was written to, but nothing is set up to keep it."""


class MissingSession(SessionError, LookupError):
    """The WSGI environ holds no session: the middleware is not in front."""


class BadToken(SessionError):
    """A cookie's value cannot be trusted; the manager then opens an empty session.

    Attributes:
        reason: One word for logs: ``malformed``, ``bad_signature``, ``future``,
            ``expired`` or ``bad_payload`` (authentic, but its content is not a session).
    """

    @property
    def reason(self) -> str:
        return str(self.args[0])

    def __str__(self) -> str:
        return f"the session token was refused: {self.reason}"


class ExpiredToken(BadToken):
    """The token is authentic and older than the session's lifetime."""

    def __init__(self, reason: str = "expired") -> None:
        super().__init__(reason)


class NotSerializable(SessionError, TypeError):
    """The session holds a value that cannot be written.

    Attributes:
        path: Where it stands in the session, as Python would write it: ``['cart'][0]``.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"session{path} cannot be saved: {problem}")
        self.path = path


class CookieTooLarge(SessionError, ValueError):
    """Name and value of the cookie are longer than browsers keep (RFC 6265bis: 4096 bytes).

    Attributes:
        size: Bytes of the cookie's name and value together.
        limit: Bytes that browsers keep.
    """

    def __init__(self, size: int, limit: int, largest: str) -> None:
        super().__init__(
            f"the session cookie would be {size} bytes; browsers drop one of more than {limit}, and keep the old one. "
            f"Largest keys, in bytes of JSON: {largest}. "
            "Keep less in the session, or move it to the server: store='sqlite:///sessions.db'"
        )
        self.size = size
        self.limit = limit


class StoreError(SessionError):
    """The store failed, or was busy for too long; where its driver raised an error, that is the ``__cause__``."""


def _restored(kind: type[SessionError], args: tuple[Any, ...], attributes: dict[str, Any]) -> SessionError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error


def kind_of(value: object) -> str:
    """How a message names an object, whose own text may hold a secret."""
    return f"the class {value.__name__}" if isinstance(value, type) else f"an object of type {type_name(value)}"


def type_name(value: object) -> str:
    """The name of an object's type, with its module where the name is nearly a builtin's: ``numpy.bool_``, say."""
    kind = type(value)
    like = getattr(builtins, kind.__name__.rstrip("_"), kind)
    return kind.__name__ if like is kind else f"{kind.__module__}.{kind.__name__}"


def item_path(key: object) -> str:
    """How a message names an item of a dict or list, by its key or index."""
    try:
        return f"[{key!r}]"
    except Exception:  # noqa: BLE001 (the application's own type, or an int of too many digits)
        return f"[{kind_of(key)}]"


def not_loaded(error: Exception, package: str, extra: str) -> ConfigurationError:
    """What to say where an optional package could not be imported.

    Where a package is installed and cannot be loaded (a missing C library, a second sub-interpreter, a
    release that is too old), it does not help to install it; the error then quotes the import's own message.

    Args:
        error: What the import raised.
        package: What was to be imported.
        extra: The extra of session_mw that installs it.
    """
    absent = isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == package
    # Where the package is there and lacks one of its own modules, some of its code has run.
    ran = any(str(frame.f_globals.get("__name__")) == package for frame, _ in walk_tb(error.__traceback__))
    if absent and not ran:
        return ConfigurationError(f'the package {package!r} is missing: pip install "session_mw[{extra}]"')
    words = " ".join(str(error).split())[:500]
    return ConfigurationError(
        f"the package {package!r} is installed and cannot be loaded: {type(error).__name__}: {words}"
    )
