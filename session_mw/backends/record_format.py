"""What a store sees of a session: a key, when the session began, and what else is sealed."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from session_mw.protocols import Record

ENDED = b"ended"
"""What a record holds between its session's move to another id and its removal."""

_CREATED_DIGITS = 12


@lru_cache(maxsize=1024)
def key_of(token: str) -> str:
    """The store's key for a token; who reads the store learns no token."""
    return hashlib.sha256(token.encode()).hexdigest()


def joined(created: int, sealed: bytes) -> bytes:
    """A record's data: the creation time stands readable in front, for a list of a principal's sessions."""
    return b"%0*d" % (_CREATED_DIGITS, created) + sealed


def created_of(record: Record) -> int | None:
    """Unix time at which a record's session began; None: it is no session's, or one that has ended."""
    head = record.data[:_CREATED_DIGITS]
    return int(head) if len(head) == _CREATED_DIGITS and head.isdigit() else None


def sealed_in(record: Record) -> bytes:
    """What stands behind the creation time."""
    return record.data[_CREATED_DIGITS:]
