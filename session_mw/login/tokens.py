"""What a remember cookie holds: the interface of its two kinds, and the signed one, which needs no store."""

from __future__ import annotations

import json
import logging
from typing import NamedTuple, Protocol

from session_mw.codecs.records import delimited
from session_mw.codecs.signed import SignedCodec
from session_mw.cookies import MAX_COOKIE
from session_mw.exceptions import BadToken
from session_mw.login.flask_login import is_user_id
from session_mw.secret_keys import key_bytes
from session_mw.settings import Settings

logger = logging.getLogger("session_mw")

PURPOSE = b"session_mw remember"


class Issued(NamedTuple):
    """A remember cookie to be sent."""

    value: str
    expires: int
    """Unix time at which it ends."""
    companion: str | None = None
    """The name of the record that remembers the device, which ends with its sessions; None without a store."""
    series: object = None
    """What :meth:`RememberTokens.save` writes."""


class Recalled(NamedTuple):
    """What an accepted remember cookie says."""

    value: str
    user_id: str
    version: str | None
    """Digest of the ``session_version`` under which it was made."""
    expires: int
    companion: str | None = None


class RememberTokens(Protocol):
    """Makes and reads the values of remember cookies."""

    def issue(self, user_id: str, version: str | None, now: int) -> Issued:
        """Make the cookie of a log-in; nothing is written yet."""

    def save(self, issued: Issued, since: str) -> None:
        """Write what :meth:`issue` made.

        Args:
            since: ``_since`` of the session that the device begins with.

        Raises:
            StoreError: The store does not answer.
        """

    def recall(self, value: str, now: int) -> Recalled | None:
        """Read a cookie; None where it is refused. Whatever a client sends raises nothing.

        Raises:
            StoreError: The store does not answer.
        """

    def accept(self, recalled: Recalled, version: str | None, now: int) -> Issued | None:
        """The cookie to be sent instead: the same one where the browser need not be told; None: it has ended meanwhile.

        Args:
            version: Digest of the ``session_version`` that the user has now: the cookie may be older than that the
                user has one, or than the current secret key.

        Raises:
            StoreError: The store does not answer.
        """

    def use_up(self, recalled: Recalled) -> bool:
        """The response went out: the old cookie is used. False where the device was ended meanwhile.

        Raises:
            StoreError: The store does not answer.
        """

    def forget(self, value: str) -> None:
        """Let a cookie be worth nothing from now on, where that can be, and the sessions of its device.

        Raises:
            StoreError: The store does not answer.
        """

    def end(self, companion: str, user_id: str) -> None:
        """The same, by the name of the device's record.

        Raises:
            StoreError: The store does not answer.
        """


class SignedTokens:
    """Tokens that expire, and cannot be taken back but by another ``session_version``.

    The payload is a list, where a session's is an object; so neither passes as the other even under one salt.

    Args:
        settings: The manager's, with a secret key.
        name: The remember cookie's.
        lifetime: Seconds for which a token is valid.
    """

    def __init__(self, settings: Settings, name: str, lifetime: int) -> None:
        keys = (settings.secret_key, *settings.secret_key_fallbacks)
        current, *fallbacks = (key_bytes("secret_key", key) for key in keys)
        salt = delimited(PURPOSE, settings.salt.encode(), name.encode()).decode("latin-1")
        self._codec = SignedCodec(current, fallbacks, salt=salt, digest="sha256")
        self._lifetime = lifetime
        self._leeway = settings.leeway_seconds
        self._room = MAX_COOKIE - len(name)

    def issue(self, user_id: str, version: str | None, now: int) -> Issued:
        """Sign a token.

        Raises:
            ValueError: The user's id is too long for a cookie.
        """
        value = self._encoded(user_id, version, now)
        if len(value) > self._room:
            raise ValueError(f"a user's id of {len(user_id)} characters is too long for a remember cookie")
        return Issued(value, now + self._lifetime)

    def save(self, issued: Issued, since: str) -> None:
        """Nothing: all is in the token."""

    def recall(self, value: str, now: int) -> Recalled | None:
        """Verify a token, then read it."""
        # The one boundary: a client can never cause an exception.
        try:
            if len(value) > MAX_COOKIE or not self._codec.shape.fullmatch(value):
                raise BadToken("malformed")
            payload, written, _, _ = self._codec.decode(value)
            if written > now + self._leeway:
                raise BadToken("future")
            if now >= written + self._lifetime:
                raise BadToken("expired")
            user_id, version = json.loads(payload)
            if not is_user_id(user_id) or not isinstance(version, (str, type(None))):
                raise BadToken("bad_payload")
        except Exception as error:  # noqa: BLE001
            logger.info("remember cookie refused: %s", error.reason if isinstance(error, BadToken) else "bad_payload")
            return None
        return Recalled(value, user_id, version, written + self._lifetime)

    def accept(self, recalled: Recalled, version: str | None, now: int) -> Issued | None:
        """The same token, made anew where something else would be signed today; it ends when it would have."""
        _, written, _, is_current = self._codec.decode(recalled.value)
        if is_current and version in (None, recalled.version):
            return Issued(recalled.value, recalled.expires)
        return Issued(self._encoded(recalled.user_id, version or recalled.version, written), recalled.expires)

    def use_up(self, recalled: Recalled) -> bool:
        """True: a signed token can be used again until it expires."""
        return True

    def forget(self, value: str) -> None:
        """Nothing: whoever has copied a signed token keeps it."""

    def end(self, companion: str, user_id: str) -> None:
        """Nothing: there are no records."""

    def _encoded(self, user_id: str, version: str | None, written: int) -> str:
        return self._codec.encode(json.dumps([user_id, version], separators=(",", ":")).encode(), written, written)
