"""What a session is bound to, as it stands in the session's metadata.

    AbCdEfGhIjKlMnOp                          the session's name; it is not bound yet
    AbCdEfGhIjKlMnOp@1700000000               and when somebody logged in, whose browser was offered to bind it
    AbCdEfGhIjKlMnOp.A2E0...                  the name and the device's public key: a session in a cookie
    AbCdEfGhIjKlMnOp.A2E0....1700000000       and when it was bound: a stored session

Challenges for a registration, and proof cookies, are bound to the name. It stays where an id changes, and sessions in
cookies have it too.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from session_mw.codecs.base64url import b64encode
from session_mw.manager import manager_of
from session_mw.session import Session
from session_mw.state import SIGNER

ES256 = "ES256"
RS256 = "RS256"
ES256_KEY = 44
"""Characters of a compressed point of P-256 as base64url: 33 bytes."""
NAME_SIZE = 12
"""Bytes of a session's name."""
NAME_LENGTH = 16
"""Characters of it, as base64url."""
IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{22}")
"""What :attr:`Binding.session_identifier` looks like."""


class Binding(NamedTuple):
    """What a session is bound to."""

    name: str
    """The session's name; it is the server's alone."""
    key: str
    """The public key as base64url: a compressed point of P-256, or an RSA key's modulus."""
    since: int | None = None
    """Unix time at which it was bound; None: it is not known, as of sessions in cookies."""

    @property
    def session_identifier(self) -> str:
        """What the browser calls the session. It stays when the session's id changes.

        It is made of the key: where a browser registers twice at once, each key has a name, and the one that does
        not stand in the session ends at its next refresh.
        """
        return b64encode(hashlib.sha256(self.key.encode()).digest()[:16])

    @property
    def algorithm(self) -> str:
        """With which the device signs: ``ES256`` or ``RS256``."""
        return algorithm_of(self.key)

    @property
    def subject(self) -> str:
        """What a proof cookie says: all of a short key, from which a session that lost it gets it back."""
        key = self.key if len(self.key) == ES256_KEY else hashlib.sha256(self.key.encode()).hexdigest()
        return f"{self.name}.{key}"


def read_binding(value: str) -> Binding | None:
    """What stands in a session's metadata; None where it is only a name, or nothing."""
    name, key, since = (*value.split("."), "", "")[:3]
    return Binding(name, key, int(since) if since else None) if key else None


def offered_at(metadata: Mapping[str, Any]) -> int:
    """Unix time at which somebody logged in, and the browser got the first offer; 0: it is not known."""
    return int(metadata.get(SIGNER, "").partition("@")[2] or 0)


def binding_in(metadata: Mapping[str, Any]) -> Binding | None:
    """What a session with these metadata is bound to; None: to nothing."""
    return read_binding(metadata.get(SIGNER, ""))


def binding_of(session: Session) -> Binding | None:
    """What a session is bound to; None: to nothing, or it does not count in this request."""
    return binding_in(session._touch().metadata)


def proven_until(session: Session) -> int | None:
    """Unix time until which the proof holds that the request brought; None: it brought none for this session."""
    binding, sessions = binding_of(session), manager_of(session)
    guard: Any = None if sessions is None else sessions.guard
    if binding is None or guard is None:
        return None
    until: int | None = guard.proven_until(session, binding)
    return until


def algorithm_of(key: str) -> str:
    """With which a device signs that has the key."""
    return ES256 if len(key) == ES256_KEY else RS256
