"""base64 with the URL-safe alphabet and without padding (RFC 4648 §5), one spelling for each value."""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_SPARE_BITS_ZERO = {1: b"", 2: b"AQgw", 3: b"AEIMQUYcgkosw048"}
_TO_URL = bytes.maketrans(b"+/", b"-_")
# A byte outside of the alphabet becomes NUL, which a2b_base64 skips; the length then tells that it was there.
_FROM_URL = bytes(b"+/"[b"-_".index(c)] if c in b"-_" else c if c in _ALPHABET else 0 for c in range(256))


def b64encode(data: bytes) -> str:
    """Encode as text of ``ceil(len(data) * 4 / 3)`` characters."""
    return b64ascii(data).decode()


def b64ascii(data: bytes) -> bytes:
    """Encode as ASCII bytes."""
    return b2a_base64(data, newline=False).translate(_TO_URL).rstrip(b"=")


def b64decode(text: bytes) -> bytes:
    """Decode ASCII text.

    Raises:
        ValueError: The text is not what :func:`b64encode` makes of any bytes.
    """
    data = a2b_base64(text.translate(_FROM_URL) + b"==")
    rest = len(text) % 4
    if len(data) != len(text) * 3 // 4 or (rest and text[-1] not in _SPARE_BITS_ZERO[rest]):
        raise ValueError("not canonical base64")
    return data
