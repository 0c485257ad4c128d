"""What a browser sends to prove that it has the key: a JWT (RFC 7519) with ``"typ": "dbsc+jwt"``."""

from __future__ import annotations

import re
from typing import Any

import jwt

from session_mw.device.binding import algorithm_of
from session_mw.device.keys import key_text, public_key

TYPE = "dbsc+jwt"
_JWT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_REFUSED = ("crit", "b64", "jku", "x5u", "x5c", "x5t", "x5t#S256", "zip", "enc")
"""Members of a header that name keys elsewhere, or change how a JWT is read (RFC 7515 §4.1, RFC 7797)."""
# The draft knows no times in a proof: its challenge says how old it may be. Nor is the server's own URL known behind
# a proxy, with which a browser's flag has it compare "aud".
_OPTIONS: Any = {"require": ["jti"], "verify_aud": False, "verify_iat": False, "verify_sub": False}


class BadProof(Exception):
    """It proves nothing. The text says why, and quotes nothing of what was sent."""


def read_registration(proof: str, algorithms: tuple[str, ...]) -> tuple[str, str]:
    """The challenge and the key in a proof that brings its key, as :func:`.keys.key_text` writes it.

    Raises:
        BadProof: The key did not sign it, or it is no such proof.
    """
    try:
        header = _header(proof)
        algorithm = header.get("alg")
        if algorithm not in algorithms:
            raise BadProof("its algorithm was not offered")
        key = key_text(header.get("jwk"), algorithm)
        return _challenge(proof, key), key
    # The one boundary: whatever a client sends raises nothing else.
    except Exception as error:
        raise _refusal(error) from error


def read_refresh(proof: str, key: str) -> str:
    """The challenge in a proof of a key that is known.

    Raises:
        BadProof: The key did not sign it, or it is no such proof.
    """
    try:
        if "jwk" in _header(proof):
            raise BadProof("it brings a key")
        return _challenge(proof, key)
    except Exception as error:
        raise _refusal(error) from error


def _header(proof: str) -> dict[str, Any]:
    if not _JWT.fullmatch(proof):
        raise BadProof("it is no JWT")
    header: dict[str, Any] = jwt.get_unverified_header(proof)
    if header.get("typ") != TYPE:
        raise BadProof("its type is another one")
    if any(name in header for name in _REFUSED):
        raise BadProof("its header has a member that is not understood")
    return header


def _challenge(proof: str, key: str) -> str:
    claims = jwt.decode(proof, public_key(key), algorithms=[algorithm_of(key)], options=_OPTIONS)
    challenge = claims["jti"]
    if not isinstance(challenge, str):
        raise BadProof("its challenge is no text")
    return challenge


def _refusal(error: Exception) -> BadProof:
    return error if isinstance(error, BadProof) else BadProof(f"it cannot be read ({type(error).__name__})")
