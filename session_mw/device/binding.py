"""What a session is bound to, as it stands in the session's metadata.

    AbCdEfGhIjKlMnOp.A2E0...     the session's name and, behind a dot, the public key

Before it is bound there is only the name. It is what a challenge for a registration and a proof cookie are bound to, and
it stays where an id would change or does not exist: a session in a cookie has none.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from session_mw.codecs.base64url import b64encode
from session_mw.session import Session
from session_mw.state import DEVICE

ES256 = "ES256"
RS256 = "RS256"
ES256_KEY = 44
"""Characters of a compressed point of P-256 as base64url: 33 bytes."""
IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{22}")
"""What :func:`identifier_of` makes."""
NAME_SIZE = 12
"""Bytes of a session's name; 16 characters of base64url."""


class Binding(NamedTuple):
    """What a session is bound to."""

    session_identifier: str
    """What the browser calls the session; it is made of the key, and stays when the session's id changes."""
    algorithm: str
    """With which the device signs: ``ES256`` or ``RS256``."""
    key: str
    """The public key as base64url: a compressed point of P-256, or an RSA key's modulus."""


def binding_in(metadata: Mapping[str, Any]) -> Binding | None:
    """What a session with these metadata is bound to; None: to nothing."""
    key = metadata.get(DEVICE, "").partition(".")[2]
    return None if not key else Binding(identifier_of(key), algorithm_of(key), key)


def binding_of(session: Session) -> Binding | None:
    """What a session is bound to; None: to nothing, or it does not count in this request."""
    return binding_in(session._touch().metadata)


def identifier_of(key: str) -> str:
    """The name of the session of a key, which the browser gets.

    Two browsers' windows may register at the same time, each with a key of its own. Each gets a name of its own then,
    and the one whose key does not stand in the session ends by itself at its next refresh.
    """
    return b64encode(hashlib.sha256(key.encode()).digest()[:16])


def algorithm_of(key: str) -> str:
    """With which a device signs that has the key."""
    return ES256 if len(key) == ES256_KEY else RS256
