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

from session_mw.protocols import Record
from session_mw.state import COMPANION, LABEL, LIFETIME

ENDED = b"ended"
"""What a record holds for a while after its session got another id."""

LISTED = (COMPANION, LABEL, LIFETIME)
"""The metadata that stand in the head too."""

_CREATED_DIGITS = 12
_HEAD = b"I"
_LENGTH_DIGITS = 4
_HEAD_AT = _CREATED_DIGITS + len(_HEAD) + _LENGTH_DIGITS
MAX_HEAD = 9999


@lru_cache(maxsize=1024)
def key_of(token: str) -> str:
    """The store's key for a token; who reads the store learns no token."""
    return hashlib.sha256(token.encode()).hexdigest()


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


def created_of(record: Record) -> int | None:
    """Unix time at which a record's session began; None: it is not a session's, or of one that has ended."""
    created = record.data[:_CREATED_DIGITS]
    return int(created) if len(created) == _CREATED_DIGITS and created.isdigit() else None


def head_in(record: Record) -> bytes:
    """What stands in the head; empty where there is none."""
    return record.data[_HEAD_AT : _sealed_at(record.data)]


def sealed_in(record: Record) -> bytes:
    """What stands behind creation time and head."""
    return record.data[_sealed_at(record.data) :]


def written_head(metadata: Mapping[str, Any]) -> bytes:
    """The head of a session with these metadata; empty where none of them is listed."""
    listed = {name: metadata[name] for name in LISTED if name in metadata}
    return json.dumps(listed, separators=(",", ":")).encode() if listed else b""


def read_head(head: bytes) -> dict[str, Any]:
    """The metadata in a head; none where it cannot be read, since a list has to go on."""
    try:
        read = json.loads(head) if head else {}
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


def _sealed_at(data: bytes) -> int:
    length = data[_CREATED_DIGITS + len(_HEAD) : _HEAD_AT]
    if data[_CREATED_DIGITS : _CREATED_DIGITS + len(_HEAD)] == _HEAD and length.isdigit():
        return _HEAD_AT + int(length)
    return _CREATED_DIGITS
