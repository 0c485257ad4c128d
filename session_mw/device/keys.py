"""Public keys of devices: read from a JWK (RFC 7517), kept as short text."""

from __future__ import annotations

from typing import Any, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey, EllipticCurvePublicNumbers
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from session_mw.codecs.base64url import b64decode, b64encode
from session_mw.device.binding import ES256, RS256, algorithm_of

PublicKey: TypeAlias = EllipticCurvePublicKey | RSAPublicKey

_COORDINATE = 32
"""Bytes; RFC 7518 §6.2.1.2 wants all of them, also where the first ones are zero."""
_EXPONENT = 65537
_WRITTEN_EXPONENT = "AQAB"
_MODULUS = range(256, 512 + 1)
"""Bytes: 2048 to 4096 bits. A larger one would make each verification slow."""
_SECRETS = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")


def key_text(jwk: Any, algorithm: str) -> str:
    """The key in a JWK as it is kept: a compressed point, or a modulus, as base64url.

    Args:
        jwk: What stands in a JWT's header: anything that JSON holds.
        algorithm: ``ES256`` or ``RS256``.

    Raises:
        ValueError: It is no public key for the algorithm.
    """
    if not isinstance(jwk, dict) or any(name in jwk for name in _SECRETS):
        raise ValueError("jwk is no public key")
    if algorithm == ES256 and jwk.get("kty") == "EC" and jwk.get("crv") == "P-256":
        x, y = (_bytes(jwk.get(name)) for name in ("x", "y"))
        if len(x) != _COORDINATE or len(y) != _COORDINATE:
            raise ValueError("a coordinate of another size")
        # It is checked that the point is on the curve.
        point = EllipticCurvePublicNumbers(int.from_bytes(x), int.from_bytes(y), SECP256R1()).public_key()
        return b64encode(point.public_bytes(Encoding.X962, PublicFormat.CompressedPoint))
    if algorithm == RS256 and jwk.get("kty") == "RSA" and jwk.get("e") == _WRITTEN_EXPONENT:
        modulus = _bytes(jwk.get("n"))
        _rsa_key(modulus)
        return b64encode(modulus)
    raise ValueError("jwk is of another type, curve or exponent")


def public_key(text: str) -> PublicKey:
    """The key of which :func:`key_text` made the text.

    Raises:
        ValueError: It is no key.
    """
    if algorithm_of(text) == ES256:
        return EllipticCurvePublicKey.from_encoded_point(SECP256R1(), _bytes(text))
    return _rsa_key(_bytes(text))


def _rsa_key(modulus: bytes) -> RSAPublicKey:
    if len(modulus) not in _MODULUS or modulus[0] == 0 or modulus[-1] % 2 == 0:
        raise ValueError("no modulus, or one of another size")
    return RSAPublicNumbers(_EXPONENT, int.from_bytes(modulus)).public_key()


def _bytes(text: Any) -> bytes:
    if not isinstance(text, str) or not text.isascii():
        raise ValueError("not base64url")
    return b64decode(text.encode())
