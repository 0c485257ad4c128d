"""One zlib stream, inflated no further than a session may be long."""

from __future__ import annotations

import zlib

from session_mw.exceptions import BadToken
from session_mw.protocols import MAX_PAYLOAD


def inflate(data: bytes) -> bytes:
    """Inflate one whole stream with nothing after it, and stop where more than the limit comes out.

    Raises:
        BadToken: ``bad_payload``: it is none, it is cut short or followed by something, or it is longer.
    """
    stream = zlib.decompressobj()
    try:
        payload = stream.decompress(data, MAX_PAYLOAD + 1)
    except zlib.error:
        raise BadToken("bad_payload") from None
    if not stream.eof or stream.unused_data or len(payload) > MAX_PAYLOAD:
        raise BadToken("bad_payload")
    return payload
