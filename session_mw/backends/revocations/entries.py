"""What is kept of an ending, and the facts of a session that it is judged by."""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from session_mw.exceptions import BadToken, StoreError
from session_mw.state import COMPANION, SID

ID: Final = 1
"""A session has ended; ``key`` is the digest of its id. Or its companion, and all sessions that end with that."""
RENEWED: Final = 2
"""A session has another id now; ``other`` is that one's digest."""
PRINCIPAL: Final = 3
"""All sessions and companions of a principal that are older; ``other`` is the digest of the session that was kept, or
0. A companion that was kept with it has an entry of its own, of the same time."""
EVERYONE: Final = 4
"""All sessions and companions that are older."""

NO_DIGEST: Final = 0
MICROSECONDS: Final = 1_000_000

SESSION_ID = re.compile("[A-Za-z0-9_-]{22}")
"""What a token holds as the session's id: 16 random bytes, as base64url."""
PUBLIC_ID = re.compile(r"([A-Za-z0-9_-]{22})(?:\.([A-Za-z0-9_-]{22}))?")
"""What :attr:`Session.id` looks like for a session in a cookie: that, and the name of its companion, where it has one.

So whoever ends a session by its id alone can end the companion, and whatever other sessions end with that.
"""

_ROW = struct.Struct(">BQQIQ")
ROW_SIZE: Final = _ROW.size
_LATEST = 0xFFFFFFFF
# An int of at most 60 bits takes 32 bytes in CPython, a longer one 48: a hundred thousand are held.
_BITS: Final = (1 << 60) - 1


class Entry(NamedTuple):
    """One ending."""

    kind: int
    """``ID``, ``RENEWED``, ``PRINCIPAL`` or ``EVERYONE``."""
    key: int
    """What has ended: a digest; 0 for ``EVERYONE``."""
    time: int
    """When, in microseconds of Unix time. For ``PRINCIPAL`` and ``EVERYONE`` no two of one store are the same."""
    expires: int
    """Unix time from which on no token can be valid that the entry speaks of."""
    other: int = NO_DIGEST
    """The digest of another session's id: see the kinds."""


def pack_entries(entries: Iterable[Entry]) -> bytes:
    """Entries as bytes, ``ROW_SIZE`` each."""
    return b"".join(_ROW.pack(kind, key, time, min(end, _LATEST), other) for kind, key, time, end, other in entries)


def unpack_entries(data: bytes) -> list[Entry]:
    """Read what :func:`pack_entries` wrote.

    Raises:
        StoreError: It is something else.
    """
    if len(data) % ROW_SIZE:
        raise StoreError("what is stored as endings of sessions is damaged")
    return [Entry(*row) for row in _ROW.iter_unpack(data)]


def digest_of_id(session_id: str) -> int:
    """The digest of a session's id; who reads the store learns no id."""
    return _digest(b"id", session_id)


def public_id(metadata: Mapping[str, Any]) -> str | None:
    """The id of a session in a cookie, of its metadata; None where it has none."""
    sid: str | None = metadata.get(SID)
    companion = metadata.get(COMPANION)
    return sid if sid is None or companion is None else f"{sid}.{companion}"


def digest_of_principal(principal: str) -> int:
    """The digest of a principal."""
    return _digest(b"principal", principal)


def digest_of_companion(name: str) -> int:
    """The digest of a companion's name."""
    return _digest(b"companion", name)


def _digest(person: bytes, text: str) -> int:
    digest = hashlib.blake2b(text.encode(), digest_size=8, person=person).digest()
    return int.from_bytes(digest, "big") & _BITS or 1


class Since(NamedTuple):
    """Since when a session is, as its token keeps it (``_since``). Times are microseconds of Unix time.

    A session is older than an ending where its mark is smaller than the ending's time. A mark that was looked up
    in the store is the time of the newest ending there: so it tells what came first, whatever clocks say.
    """

    begun: int
    """The mark of its beginning."""
    seen: int
    """The newest ending that was known when it began."""
    owned: int = 0
    """The mark of when it became its principal's; 0: as ``begun``."""
    longest: int = 0
    """The longest lifetime of its own that it ever had, in seconds: an old copy of its token may have that one."""

    def written(self) -> str:
        """As the token holds it."""
        fields = [self.begun, self.seen, self.owned, self.longest]
        while not fields[-1] and len(fields) > 2:
            fields.pop()
        if fields == [self.begun, self.begun]:
            fields.pop()
        return ".".join(f"{field:x}" for field in fields)

    @classmethod
    def read(cls, text: str) -> Since:
        """Read what :meth:`written` wrote.

        Raises:
            BadToken: ``bad_payload``: it is something else.
        """
        if not _SINCE.fullmatch(text):
            raise BadToken("bad_payload")
        begun, *others = (int(field, 16) for field in text.split("."))
        return cls(begun, *others) if others else cls(begun, begun)


_SINCE = re.compile(r"[0-9a-f]{1,16}(?:\.[0-9a-f]{1,16}){0,3}")


def written_mark(mark: int) -> str:
    """The mark of a stored session's beginning, as its record keeps it (``_since``)."""
    return f"{mark:x}"


def read_mark(text: str | None, created: int) -> int:
    """Read what :func:`written_mark` wrote; of a record without it, the second in which its session began."""
    try:
        return created * MICROSECONDS if text is None else int(text, 16)
    except ValueError:
        return 0


class Facts(NamedTuple):
    """What is asked of a session, or of a companion, to know whether it has ended."""

    id: int
    """The digest of its id; 0 where its token has none. Of a companion, the digest of its name."""
    principal: int
    """The digest of its principal, or 0."""
    begun: int
    seen: int
    owned: int
    companion: int = NO_DIGEST
    """The digest of its companion's name, or 0."""

    @classmethod
    def of_companion(cls, name: str, principal: str, since: str) -> Facts:
        """The facts of a companion: it is judged as a session is.

        Args:
            name: Its name.
            principal: Whose it is.
            since: ``_since`` of the session that it was made with.

        Raises:
            BadToken: ``bad_payload``: ``since`` is something else.
        """
        begun, seen, owned, _ = Since.read(since)
        return cls(digest_of_companion(name), digest_of_principal(principal), begun, seen, owned or begun)
