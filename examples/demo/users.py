"""Who may log in. Take a database instead, and argon2-cffi for the hashes: docs/login.md."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

PASSWORD = "correct horse"  # noqa: S105 - the demo shows it on its page


@dataclass(frozen=True)
class User:
    """One who may log in."""

    name: str
    salt: bytes = field(default_factory=lambda: secrets.token_bytes(16), repr=False)
    recovery_codes: list[str] = field(default_factory=lambda: [secrets.token_hex(4) for _ in range(6)], repr=False)


USERS = {name: User(name) for name in ("ada", "grace")}
_NOBODY = User("")


def hash_of(password: str, salt: bytes) -> bytes:
    """The scrypt hash of a password (RFC 7914), which takes 16 MiB and some hundredths of a second."""
    return hashlib.scrypt(password.encode(errors="replace"), salt=salt, n=2**14, r=8, p=1)


_HASHES = {user.name: hash_of(PASSWORD, user.salt) for user in (_NOBODY, *USERS.values())}


def is_password(name: str, password: str) -> bool:
    """Whether the password is the user's; it takes as long where there is no such user."""
    user = USERS.get(name, _NOBODY)
    is_right = hmac.compare_digest(hash_of(password, user.salt), _HASHES[user.name])
    return is_right and user is not _NOBODY
