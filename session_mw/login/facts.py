"""What a log-in keeps in the session beside Flask-Login's keys."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

from session_mw.codecs.base64url import b64encode
from session_mw.codecs.records import delimited
from session_mw.exceptions import kind_of
from session_mw.secret_keys import key_bytes
from session_mw.session import Session
from session_mw.settings import Settings

# Values that are no lists or dicts: handing one out makes a commit compare all of the session.
AT = "_login_at"
"""Unix time at which the password was given last; not there after a remember cookie."""
VERSION = "_login_version"
"""Digest of the user's ``session_version``."""
AGENT = "_login_agent"
"""Digest of the User-Agent, for ``protection``."""
UNTIL = "_login_until"
"""Unix time until which the record that remembers the device is there."""
ALL = (AT, VERSION, AGENT, UNTIL)

_PURPOSE = b"session_mw session_version"


def text_in(session: Session, key: str) -> str | None:
    """A fact that is a str; None where it is not there, or is of another type."""
    value = session.get(key)
    return value if isinstance(value, str) else None


def time_in(session: Session, key: str) -> int | None:
    """A fact that is a Unix time; None where it is not there, or is of another type."""
    value = session.get(key)
    return value if type(value) is int else None


def agent_of(environ: Mapping[str, Any]) -> str:
    """A digest of the User-Agent."""
    agent = str(environ.get("HTTP_USER_AGENT", ""))
    return b64encode(hashlib.sha256(agent.encode(errors="replace")).digest()[:16])


class Versions:
    """Digests of users' ``session_version``, which may be a password's hash or a counter.

    They stand in cookies that anyone can read, so they are keyed with the secret key where there is one;
    without one, sessions are in a store.

    Args:
        settings: The manager's.
    """

    def __init__(self, settings: Settings) -> None:
        keys = [] if settings.secret_key is None else [settings.secret_key, *settings.secret_key_fallbacks]
        self._keys = [key_bytes("secret_key", key) for key in keys] or [b"session_mw without a key"]

    def of(self, user_id: str, user: object) -> str | None:
        """The digest of a user's version; None where the object has none.

        Raises:
            TypeError: ``session_version`` is neither a str nor None.
        """
        version = _version(user)
        return None if version is None else self._digest(self._keys[0], user_id, version)

    def is_of(self, digest: str | None, user_id: str, user: object) -> bool:
        """Whether something was made under the version that the user has now, also under an old key.

        Args:
            digest: What :meth:`of` said then; None: the user had no version, or nobody asked.

        Raises:
            TypeError: ``session_version`` is neither a str nor None.
        """
        version = _version(user)
        if version is None or digest is None:
            return True
        given = digest.encode(errors="replace")
        digests = [self._digest(key, user_id, version).encode() for key in self._keys]
        return any(hmac.compare_digest(own, given) for own in digests)

    @staticmethod
    def _digest(key: bytes, user_id: str, version: str) -> str:
        message = delimited(_PURPOSE, user_id.encode(), version.encode(errors="surrogatepass"))
        return b64encode(hmac.digest(key, message, "sha256")[:18])


def _version(user: object) -> str | None:
    version = getattr(user, "session_version", None)
    if version is not None and not isinstance(version, str):
        raise TypeError(f"session_version is a str that changes with the password, not {kind_of(version)}")
    return version
