"""The log of cookies that were rejected: a reason and a fingerprint, never the token."""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
from collections.abc import Mapping
from typing import Final

from session_mw.exceptions import BadToken

logger = logging.getLogger("session_mw")

REASONS: Final[Mapping[str, int]] = {
    "malformed": logging.INFO,
    "bad_signature": logging.INFO,
    "future": logging.INFO,
    "expired": logging.DEBUG,
    "bad_payload": logging.WARNING,
    "ended": logging.INFO,
    "unknown": logging.INFO,
    "ambiguous": logging.WARNING,
    "too_many": logging.INFO,
    "unproven": logging.WARNING,
}
"""Why a cookie's value is rejected, and at which level of logging it is told."""


class RejectionLog:
    """Logs rejections: ``expired`` at DEBUG, what anybody can send at INFO, what only a key's holder can at WARNING.

    The fingerprint tells whether two lines of one process speak of the same token. Its key
    is random, so that nobody can test a guessed token against a log.

    Args:
        shape: What a whole token looks like; one with a bad signature that looks otherwise is ``malformed``.
    """

    def __init__(self, shape: re.Pattern[str] | None = None) -> None:
        self._shape = shape
        self._key = secrets.token_bytes(16)

    def rejected(self, token: str, error: Exception, logged: set[str] | None = None) -> str:
        """Log that a cookie's value was rejected because of ``error``; the reason in one word."""
        reason = error.reason if isinstance(error, BadToken) else "bad_payload"
        self.log(reason, token, logged)
        return reason

    def log(self, reason: str, token: str, logged: set[str] | None = None) -> None:
        """Log that a cookie's value was rejected for a reason in one word.

        Args:
            logged: The reasons that were logged for the request, of which each gets one line: a client may send
                thousands of values. None: it sent only one.
        """
        if logged is not None:
            if reason in logged:
                return
            logged.add(reason)
        level = REASONS.get(reason, logging.INFO)
        if logger.isEnabledFor(level):
            said = self.reason_for(reason, token)
            logger.log(level, "session cookie refused: %s (fingerprint %s)", said, self._fingerprint(token))

    def reason_for(self, reason: str, token: str) -> str:
        """The reason, which is another one where the codec calls a signature bad of what is no token at all."""
        if reason == "bad_signature" and self._shape and not self._shape.fullmatch(token):
            return "malformed"
        return reason

    def unreadable(self, token: str, key: str) -> None:
        """Log that a stored session, found under ``key``, cannot be read."""
        logger.warning("the stored session %s… cannot be read; its visitor gets an empty one", key[:8])

    def would_reject(self, reason: str, token: str, logged: set[str] | None = None) -> None:
        """As :meth:`log`, of a value that was accepted only because what would reject it is being tried."""
        if logged is None or reason not in logged:
            logged = set() if logged is None else logged
            logged.add(reason)
            fingerprint = self._fingerprint(token)
            logger.log(REASONS[reason], "session cookie would be refused: %s (fingerprint %s)", reason, fingerprint)

    def old_key(self, token: str, what: str = "session cookie") -> None:
        """Log that a cookie, or a stored session, was accepted because a fallback key opens it."""
        if logger.isEnabledFor(logging.INFO):
            logger.info("%s accepted by an old key (fingerprint %s)", what, self._fingerprint(token))

    def _fingerprint(self, token: str) -> str:
        return hashlib.blake2b(token.encode(errors="replace"), key=self._key, digest_size=6).hexdigest()
