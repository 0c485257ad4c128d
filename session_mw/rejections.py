"""The log of cookies that were rejected: a reason and a fingerprint, never the token."""

from __future__ import annotations

import hashlib
import logging
import re
import secrets

from session_mw.exceptions import BadToken

logger = logging.getLogger("session_mw")

_LEVELS = {
    "expired": logging.DEBUG,
    "bad_payload": logging.WARNING,
    "ambiguous": logging.WARNING,
    "unproven": logging.WARNING,
}


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
        level = _LEVELS.get(reason, logging.INFO)
        if logger.isEnabledFor(level):
            if reason == "bad_signature" and self._shape and not self._shape.fullmatch(token):
                reason = "malformed"
            logger.log(level, "session cookie refused: %s (fingerprint %s)", reason, self._fingerprint(token))

    def would_reject(self, reason: str, token: str) -> None:
        """Log that a cookie's value was accepted only because what would reject it is being tried."""
        level = _LEVELS.get(reason, logging.INFO)
        if logger.isEnabledFor(level):
            fingerprint = self._fingerprint(token)
            logger.log(level, "session cookie would be refused: %s (fingerprint %s)", reason, fingerprint)

    def old_key(self, token: str, what: str = "session cookie") -> None:
        """Log that a cookie, or a stored session, was accepted because a fallback key opens it."""
        if logger.isEnabledFor(logging.INFO):
            logger.info("%s accepted by an old key (fingerprint %s)", what, self._fingerprint(token))

    def _fingerprint(self, token: str) -> str:
        return hashlib.blake2b(token.encode(errors="replace"), key=self._key, digest_size=6).hexdigest()
