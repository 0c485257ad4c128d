"""What a store sees of a session: a key, when the session began, perhaps a head, and what else is sealed.

    001700000000  I 0042 ...            P...
    created       head, of that length  sealed payload

Created and head can be read without the visitor's token, for lists of a principal's sessions. Where there is nothing
to put into a head, there is none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from session_mw.backends.payload import METADATA
from session_mw.protocols import Record
from session_mw.state import COMPANION, LABEL, LIFETIME, NO_METADATA, PRINCIPAL, SINCE, is_bound

MARKER_TTL = 60
"""Seconds for which a record tells that its session has another id: late requests with the old id are recognized."""

LISTED = (COMPANION, LABEL, LIFETIME, SINCE)
"""The metadata that stand in the head too; the last one only where a list can show the session, under its principal."""
BOUND = "_bound"
"""The head's key that tells whether the session is bound to a device; the key of the device is not listed."""

_CREATED_DIGITS = 12
_ENDED = b"ended"
_HEAD = b"I"
_LENGTH_DIGITS = 4
_LENGTH_AT = _CREATED_DIGITS + len(_HEAD)
_HEAD_AT = _LENGTH_AT + _LENGTH_DIGITS


@lru_cache(maxsize=1024)
def key_of(token: str) -> str:
    """The store's key for a token; who reads the store learns no token."""
    return hashlib.sha256(token.encode()).hexdigest()


def companion_key(name: str) -> str:
    """The store's key of a companion, a record that ends with a session and the session with it.

    No token of a session makes such a key: it is made of other bytes.
    """
    return hashlib.sha256(b"session_mw companion\0" + name.encode()).hexdigest()


def joined(created: int, head: bytes, sealed: bytes) -> bytes:
    """A record's data.

    Args:
        created: Unix time at which the session began.
        head: What is listed of it; empty: nothing.
        sealed: The payload, as :class:`.records.Records` sealed it.
    """
    if not head:
        return b"%0*d%b" % (_CREATED_DIGITS, created, sealed)
    return b"%0*d%b%0*d%b%b" % (_CREATED_DIGITS, created, _HEAD, _LENGTH_DIGITS, len(head), head, sealed)


def marker(now: int) -> bytes:
    """What a record holds after its session got another id, at ``now`` (Unix time)."""
    return b"%b%0*d" % (_ENDED, _CREATED_DIGITS, now + MARKER_TTL)


def is_marker(record: Record) -> bool:
    """Whether the record says that its session got another id."""
    return _until(record) is not None


def is_live_marker(record: Record, now: int) -> bool:
    """Whether that is not long ago.

    The end of the record itself does not tell: a request that read the session before may have moved it.
    """
    until = _until(record)
    return until is not None and now < until


def created_of(record: Record) -> int | None:
    """Unix time at which a record's session began; None: it is not a session's, or of one that has ended."""
    created = record.data[:_CREATED_DIGITS]
    return int(created) if len(created) == _CREATED_DIGITS and created.isdigit() else None


def split(record: Record) -> tuple[bytes, bytes]:
    """What stands behind the creation time: the head, empty where there is none, and what is sealed."""
    data = record.data
    if data[_CREATED_DIGITS:_LENGTH_AT] == _HEAD:
        length = data[_LENGTH_AT:_HEAD_AT]
        if length.isdigit():
            end = _HEAD_AT + int(length)
            return data[_HEAD_AT:end], data[end:]
    return b"", data[_CREATED_DIGITS:]


def written_head(metadata: Mapping[str, Any]) -> bytes:
    """The head of a session with these metadata; empty where none of them is listed."""
    listed = {name: metadata[name] for name in LISTED if name in metadata and (name != SINCE or PRINCIPAL in metadata)}
    if is_bound(metadata):
        listed[BOUND] = True
    return json.dumps(listed, separators=(",", ":")).encode() if listed else b""


def read_head(head: bytes) -> Mapping[str, Any]:
    """The metadata in a head; none where it cannot be read, since a list has to go on."""
    try:
        read = json.loads(head) if head else NO_METADATA
    except (ValueError, RecursionError):
        return NO_METADATA
    if not isinstance(read, dict):
        return NO_METADATA
    listed = {name: read[name] for name in LISTED if name in read and METADATA[name](read[name])}
    if read.get(BOUND) is True:
        listed[BOUND] = True
    return listed


def _until(record: Record) -> int | None:
    until = record.data.removeprefix(_ENDED)
    is_marked = len(record.data) - len(until) == len(_ENDED) and len(until) == _CREATED_DIGITS and until.isdigit()
    return int(until) if is_marked else None
