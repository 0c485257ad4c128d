"""A remembered device: what its record holds, and how its secrets follow each other.

    cookie = series "." secret "." tag

The series names the record and stays. The record holds a hash of the secret that is to come next. When a cookie is
used, the browser gets the secret that follows; a used one that comes again later was copied, by whoever of the two.
It takes two steps, so that a request that fails uses nothing up:

    1  the request comes     the record gets what the following secret is made with; both are good
    2  the response leaves   the current secret is used, the following one is the current

The following secret is made from the current one with a random value in the record: tabs that restart together all get
the same one, and it does not matter which response the browser takes last. For their sake a used secret is still good
for ten seconds.

The tag says that a secret was made here. Without it, any guess would look like a copy of a used cookie, and whoever
knows a series could end it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from session_mw.codecs.base64url import b64encode
from session_mw.login.flask_login import is_user_id

GRACE = 10
"""Seconds for which a used secret is still good."""

_SHAPE = re.compile(r"([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{43})\.([A-Za-z0-9_-]{22})")


class Token(NamedTuple):
    """The parts of a cookie's value."""

    series: str
    secret: str
    tag: str

    @classmethod
    def parse(cls, value: str) -> Token | None:
        """Take a cookie's value apart; None where it has another shape."""
        found = _SHAPE.fullmatch(value)
        return None if found is None else cls(*found.groups())

    def __str__(self) -> str:
        return ".".join(self)


@dataclass
class Series:
    """What the record of a remembered device holds; no secret can be made of it alone."""

    user_id: str
    version: str | None
    """Digest of the ``session_version`` under which it was made."""
    begun: int
    """Unix time of the log-in."""
    tagging: str
    """Key of the tags."""
    current: str
    """Hash of the secret that is to come."""
    following: str = ""
    """Hash of the secret that follows it; empty as long as nobody brought the current one."""
    making: str = ""
    """What the following secret is made with."""
    used: list[list[Any]] = field(default_factory=list)
    """Secrets that were used just now: hash, Unix time, what the following one was made with."""
    since: str = ""
    """``_since`` of the session that it began with: it ends with the user's sessions, and with everyone's."""

    @classmethod
    def begin(cls, user_id: str, version: str | None, now: int) -> tuple[Series, Token]:
        """A new device, with its first cookie."""
        secret = secrets.token_urlsafe(32)
        series = cls(user_id, version, now, secrets.token_urlsafe(16), _hash(secret))
        return series, series.token(secrets.token_urlsafe(16), secret)

    @classmethod
    def loads(cls, payload: bytes) -> Series:
        """Read what :meth:`dumps` wrote.

        Raises:
            ValueError: It is nothing of ours.
        """
        try:
            series = cls(**json.loads(payload))
        except TypeError as error:
            raise ValueError("not a remembered device") from error
        if not series.is_well_formed():
            raise ValueError("not a remembered device")
        return series

    def is_well_formed(self) -> bool:
        """Whether every field has its type: the store may hold what somebody else has written."""
        texts = (self.tagging, self.current, self.following, self.making, self.since, self.version or "")
        return (
            is_user_id(self.user_id)
            and type(self.begun) is int
            and isinstance(self.used, list)
            and all(isinstance(text, str) for text in texts)
            and all(
                isinstance(entry, list) and [type(item) for item in entry] == [str, int, str] for entry in self.used
            )
        )

    def dumps(self) -> bytes:
        """The payload of the record."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    def token(self, name: str, secret: str) -> Token:
        """A cookie of the series called ``name``."""
        return Token(name, secret, _tag(self.tagging, secret))

    def made(self, token: Token) -> bool:
        """Whether the token's secret was ever made here."""
        return hmac.compare_digest(_tag(self.tagging, token.secret), token.tag)

    def accepts(self, secret: str, now: int) -> bool:
        """Whether a secret is good: it is not used, or was used just now."""
        hashed = _hash(secret)
        return hashed in (self.current, self.following) or any(
            entry[0] == hashed and now - entry[1] <= GRACE for entry in self.used
        )

    def follow(self, secret: str, secret_key: bytes, now: int) -> tuple[str, bool]:
        """Choose the secret that follows an accepted one.

        Args:
            secret_key: A second key for making it, which is not in the store; may be empty.

        Returns:
            The secret, the same one where the browser has a newer one already; and whether the record has changed.
        """
        hashed = _hash(secret)
        for used, _, making in self.used:
            if used == hashed:
                following = _following(secret, making, secret_key)
                return (following if _hash(following) == self.current else secret), False
        changed = False
        if hashed == self.following:
            # Its browser got the response after all, and the server was stopped before it could note that.
            self.advance(now)
            changed = True
        following = _following(secret, self.making, secret_key)
        if _hash(following) != self.following:
            self.making = secrets.token_urlsafe(16)
            following = _following(secret, self.making, secret_key)
            self.following, changed = _hash(following), True
        return following, changed

    def use_up(self, secret: str, now: int) -> bool:
        """Let a secret be used; False where it is already."""
        if _hash(secret) != self.current or not self.following:
            return False
        self.advance(now)
        return True

    def advance(self, now: int) -> None:
        """Let the current secret be used, and the following one the current."""
        recent = [entry for entry in self.used if now - entry[1] <= GRACE]
        self.used = [*recent, [self.current, now, self.making]]
        self.current, self.following, self.making = self.following, "", ""


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _tag(tagging: str, secret: str) -> str:
    return b64encode(hmac.digest(tagging.encode(), secret.encode(), "sha256")[:16])


def _following(secret: str, making: str, secret_key: bytes) -> str:
    # The old secret is 256 random bits that the store does not have: a copy of the store makes none of these.
    return b64encode(hmac.digest(making.encode() + b"\0" + secret_key, secret.encode(), "sha256"))
