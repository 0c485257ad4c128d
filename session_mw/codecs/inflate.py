"""One zlib stream, inflated no further than a session may be long or large."""

from __future__ import annotations

import zlib

from session_mw.cookies import MAX_COOKIE
from session_mw.exceptions import BadToken, NotSerializable
from session_mw.protocols import MAX_PAYLOAD

SMALL = 64 * 1024
"""A payload of up to so many bytes takes less than 3 MB of memory when it is read, whatever it holds."""
MAX_COMPRESSED = MAX_COOKIE * 3 // 4
"""Bytes that fit into a cookie as base64."""
MAX_MEMORY = 4_000_000
"""Bytes that reading a longer payload may take, as they are estimated."""
_TAKEN = {b",": 40, b'"': 30, b"[": 80, b"{": 240}
"""Bytes for a number, for half a string, for a list and for a dict, besides their content."""

_UP_TO_LATIN_1 = bytes(range(0xC4))
"""The bytes of UTF-8 text in which no character is beyond U+00FF."""


def inflate(data: bytes) -> bytes:
    """Inflate one whole stream with nothing after it, and stop where more than the limit comes out.

    Raises:
        BadToken: ``bad_payload``: it is not a zlib stream, it is cut short or followed by something, it is
            longer, or it takes too much memory to read.
    """
    stream = zlib.decompressobj()
    try:
        payload = stream.decompress(data, MAX_PAYLOAD + 1)
    except zlib.error:
        raise BadToken("bad_payload") from None
    if not stream.eof or stream.unused_data or len(payload) > MAX_PAYLOAD or _is_large_to_read(payload):
        raise BadToken("bad_payload")
    return payload


def check_inflated(payload: bytes, compressed: bytes) -> None:
    """Do not let a cookie be written that :func:`inflate` would reject when it comes back.

    Raises:
        NotSerializable: The payload takes too much memory to be read.
    """
    if len(compressed) <= MAX_COMPRESSED and _is_large_to_read(payload):
        problem = f"{len(payload)} bytes of JSON with so many values or wide characters take too much memory to be read"
        raise NotSerializable("", f"{problem} from a cookie; move it to the server: store='sqlite:///sessions.db'")


def _is_large_to_read(payload: bytes) -> bool:
    """Whether reading takes more than 4 MB: three bytes of text, ``[],``, become a list of 80 bytes.

    Many applications keep a list that the visitor fills. A cookie of a few KB could then make the server take 25 MB
    at each request.
    """
    if len(payload) <= SMALL:
        return False
    # A single character beyond Latin-1 makes Python keep the whole text at two or four bytes for each character.
    escaped = payload.count(rb"\u") > payload.count(rb"\u00")
    is_wide = escaped or bool(payload.translate(None, _UP_TO_LATIN_1))
    # The payload, its text, and the strings that are cut out of the text.
    content = len(payload) * (1 + 4 + 4 if is_wide else 1 + 1 + 1)
    return content + sum(payload.count(mark) * taken for mark, taken in _TAKEN.items()) > MAX_MEMORY
