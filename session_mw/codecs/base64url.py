"""base64 with the URL-safe alphabet and without padding (RFC 4648 §5), one spelling for each value."""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64

ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

_PADDING = (b"", b"", b"==", b"=")
_SPARE_BITS_ZERO = {2: b"AQgw", 3: b"AEIMQUYcgkosw048"}
_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_", b"+/")


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
    rest = len(text) % 4
    if text.translate(None, ALPHABET) or (rest and (rest == 1 or text[-1] not in _SPARE_BITS_ZERO[rest])):
        raise ValueError("not canonical base64")
    return a2b_base64(text.translate(_FROM_URL) + _PADDING[rest])
