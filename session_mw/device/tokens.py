"""What the server signs: challenges for browsers, and the proof cookies that it gives for them.

    challenge        time "." signature
    proof cookie     subject "." time "." signature

``time`` is Unix time in decimal digits. The signature is HMAC-SHA256 under the secret keys, of what the text is for and
belongs to; nothing is kept. ``subject`` is :attr:`.Binding.subject`.
"""

from __future__ import annotations

import re
from typing import Final

from session_mw.codecs.records import delimited
from session_mw.codecs.signed import PreparedSigner
from session_mw.device.binding import NAME_LENGTH
from session_mw.secret_keys import key_bytes
from session_mw.settings import Settings

REGISTER: Final = "register"
REFRESH: Final = "refresh"
_PROOF: Final = "proof"
_NAME: Final = b"name"

_PURPOSE = b"session_mw device"
_STAMP = re.compile(r"([0-9]{1,12})\.([A-Za-z0-9_-]{43})")
_PROOF_COOKIE = re.compile(
    r"([A-Za-z0-9_-]{16}\.(?:[A-Za-z0-9_-]{44}|[0-9a-f]{64}))\.([0-9]{1,12})\.([A-Za-z0-9_-]{43})"
)


class DeviceTokens:
    """Signs, and verifies with the current and older keys.

    Args:
        settings: The manager's, with a secret key.
    """

    def __init__(self, settings: Settings) -> None:
        keys = [key_bytes("secret_key", key) for key in (settings.secret_key, *settings.secret_key_fallbacks)]
        salt = delimited(_PURPOSE, settings.salt.encode(), settings.cookie_name.encode()).decode("latin-1")
        self._signer = PreparedSigner(keys, salt, "sha256")

    def name_of(self, basis: bytes, principal: str) -> str:
        """A name for a principal's session that ``basis`` identifies; the same one whoever makes it."""
        return self._signer.get_signature(delimited(_NAME, basis, principal.encode()))[:NAME_LENGTH].decode()

    def challenge(self, now: int, purpose: str, belongs_to: str) -> str:
        """A challenge for :data:`REGISTER` or :data:`REFRESH`.

        Args:
            belongs_to: The session's name, or the identifier that the browser has; neither holds a space.
        """
        return f"{now}.{self._signature(purpose, belongs_to, now)}"

    def issued(self, challenge: str, purpose: str, belongs_to: str) -> int | None:
        """Unix time at which a challenge was made for just that; None where it was not."""
        match = _STAMP.fullmatch(challenge)
        if match is None or not self._is_right(match[2], purpose, belongs_to, match[1]):
            return None
        return int(match[1])

    def prove(self, now: int, subject: str) -> str:
        """The proof cookie's text."""
        return f"{subject}.{now}.{self._signature(_PROOF, subject, now)}"

    def proven(self, text: str) -> tuple[str, int] | None:
        """What an authentic proof cookie says: its subject, and the Unix time at which it was made; None: it is not."""
        match = _PROOF_COOKIE.fullmatch(text)
        if match is None or not self._is_right(match[3], _PROOF, match[1], match[2]):
            return None
        return match[1], int(match[2])

    def _signature(self, purpose: str, belongs_to: str, stamp: int) -> str:
        return self._signer.get_signature(f"{purpose} {belongs_to} {stamp}").decode()

    def _is_right(self, signature: str, purpose: str, belongs_to: str, stamp: str) -> bool:
        return self._signer.verify_signature(f"{purpose} {belongs_to} {stamp}", signature)
