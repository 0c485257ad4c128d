"""The CSRF token that a request brings: found in a header or a form, whose body stays readable."""

from __future__ import annotations

import io
import re
import sys
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

FORM_LIMIT = 1024 * 1024
"""Bytes at the start of a body in which the form's field is looked for."""

# The beginning of a longer value is enough to reject it: percent-encoded, a token has 264 bytes.
_URLENCODED_FIELD = re.compile(rb"(?:^|&)csrf_token=([^&]{0,300})")
_BOUNDARY = re.compile(r';[ \t]*boundary=(?:"([^"]{1,200})"|([^\s";]{1,200}))', re.IGNORECASE)
_PART_OF_FIELD = re.compile(rb'^(?i:content-disposition):[^\n]*;[ \t]*name="?csrf_token"?[ \t]*(?:;|$)', re.M)
_MAX_PARTS = 1000


def submitted_token(environ: WSGIEnvironment) -> object:
    """The header ``X-CSRF-Token``, or without one the form's field ``csrf_token``; None if both are missing.

    ``environ["wsgi.input"]`` can still be read from its start afterwards.
    """
    header = environ.get("HTTP_X_CSRF_TOKEN")
    if header:
        return header
    content_type = str(environ.get("CONTENT_TYPE", ""))
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "application/x-www-form-urlencoded":
        found = _URLENCODED_FIELD.search(_start_of_body(environ))
        return found and unquote_to_bytes(found[1]).decode("latin-1")
    if media_type == "multipart/form-data":
        return _multipart_field(_start_of_body(environ), content_type)
    return None


def _multipart_field(body: bytes, content_type: str) -> str | None:
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        return None
    delimiter = b"\n--" + (boundary[1] or boundary[2]).encode("utf-8", "replace")
    for part in (b"\n" + body).split(delimiter, _MAX_PARTS)[1:]:
        head, _, value = part[:8192].replace(b"\r\n", b"\n").partition(b"\n\n")
        if _PART_OF_FIELD.search(head):
            return value.rstrip(b"\r").decode("latin-1")
    return None


def _start_of_body(environ: WSGIEnvironment) -> bytes:
    """The first FORM_LIMIT bytes of the body, which stays readable from its start."""
    stream = environ.get("wsgi.input")
    declared = str(environ.get("CONTENT_LENGTH", ""))
    if declared.isascii() and declared.isdigit() and len(declared) <= 18:
        length = int(declared)
    else:
        # The input of servers that set this ends with the body, also where that came in chunks. Reading any other
        # input without a length would wait for a client that sends no more.
        length = sys.maxsize if environ.get("wsgi.input_terminated") else 0
    if stream is None or not length:
        return b""
    try:
        if hasattr(stream, "seekable") and stream.seekable():
            return _peek(stream, min(length, FORM_LIMIT))
        start = _read(stream, min(length, FORM_LIMIT))
    except Exception:  # noqa: BLE001  a client that hangs up or sends bad chunks: each server has its own errors
        return b""
    more = length > len(start) == FORM_LIMIT
    environ["wsgi.input"] = io.BufferedReader(_Rejoined(start, stream, length)) if more else io.BytesIO(start)
    return start


def _peek(stream: IO[bytes], limit: int) -> bytes:
    position = stream.tell()
    try:
        start = _read(stream, limit)
        if not start:  # Bottle and WebOb have read their copy of the body already and left it at its end
            stream.seek(0)
            start = _read(stream, limit)
        return start
    finally:
        stream.seek(position)


def _read(stream: IO[bytes], limit: int) -> bytes:
    start = bytearray()
    while len(start) < limit:
        block = stream.read(min(limit - len(start), 65536))
        if not block:
            break
        start += block
    return bytes(start)


class _Rejoined(io.RawIOBase):
    """What was read of a body, and after it the rest, never beyond the body's length."""

    def __init__(self, start: bytes, stream: IO[bytes], length: int) -> None:
        self._start = memoryview(start)
        self._stream = stream
        self._unread = length - len(start)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._start:
            block: bytes | memoryview = self._start[: len(buffer)]
            self._start = self._start[len(block) :]
        else:
            block = self._stream.read(min(len(buffer), self._unread))
            self._unread -= len(block)
        buffer[: len(block)] = block
        return len(block)
