"""What is written of a session, and whether that differs from what was read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from session_mw.exceptions import BadToken, ExpiredToken, NotSerializable, item_path
from session_mw.protocols import Serializer
from session_mw.session import Session

CREATED = "_created"
PRINCIPAL = "_principal"
_ABSENT: Any = object()


@dataclass(frozen=True)
class Lifetimes:
    """For how long a session is valid, in seconds."""

    idle: int
    absolute: int | None
    leeway: int

    def check_written(self, written: int, now: int) -> None:
        """Refuse a time of writing that is in the future or too long ago.

        Raises:
            BadToken: ``future``.
            ExpiredToken: Older than the lifetime; exactly as old is still valid.
        """
        if written > now + self.leeway:
            raise BadToken("future")
        if now - written > self.idle:
            raise ExpiredToken

    def check_created(self, created: int, now: int) -> None:
        """Refuse a time of creation in the same way; only an absolute lifetime ends it."""
        if created > now + self.leeway:
            raise BadToken("bad_payload")
        if self.absolute is not None and now - created > self.absolute:
            raise ExpiredToken

    def expires(self, created: int, now: int) -> int:
        """Unix time at which a session that is written or used now ends."""
        idle = now + self.idle
        return idle if self.absolute is None else min(idle, created + self.absolute)


def pack(serializer: Serializer, session: Session) -> bytes:
    """The session's payload: its data, and beside them what is hidden from the dict.

    Raises:
        NotSerializable: A value cannot be written, or a key has a name that is reserved.
    """
    data = session._plain()
    for name in (CREATED, PRINCIPAL):
        if name in data:
            raise NotSerializable(f"[{name!r}]", "the name is reserved for the session's own facts; use another")
    try:
        return serializer.dumps(_with_hidden(data, session))
    except NotSerializable as error:
        if not error.path and (CREATED in data or PRINCIPAL in data):
            _check_keys(data, error)
        raise


def unpack(serializer: Serializer, payload: bytes) -> tuple[dict[str, Any], int | None, str | None]:
    """Read a payload.

    Returns:
        The data as the application sees them; Unix time at which the session began, if the payload
        says so; whose session it is.

    Raises:
        BadToken: ``bad_payload``: it is no session's.
    """
    data = serializer.loads(payload)
    if CREATED not in data and PRINCIPAL not in data:
        return data, None, None
    return data, *_hidden_in(data)


def _hidden_in(data: dict[str, Any]) -> tuple[int | None, str | None]:
    """Take out of the data what is hidden from the application: when it began, and whose it is."""
    created, principal = data.pop(CREATED, _ABSENT), data.pop(PRINCIPAL, _ABSENT)
    if created is _ABSENT:
        created = None
    elif type(created) is not int or created < 0:
        raise BadToken("bad_payload")
    if principal is _ABSENT:
        principal = None
    elif type(principal) is not str or not principal:
        raise BadToken("bad_payload")
    return created, principal


def changed_payload(serializer: Serializer, session: Session) -> bytes | None:
    """What to write, or None if nothing was written to the session or changed inside it."""
    if session._dirty:
        return pack(serializer, session)
    read = session._payload
    if not session._exposed or not read:
        return None
    try:
        payload = pack(serializer, session)
    except NotSerializable:
        # Another writer may have kept within 1 MiB what takes more in our spelling (raw UTF-8, 1e15).
        if _is_as_read(serializer, session, read):
            return None
        raise
    return None if payload == read or _is_as_read(serializer, session, read) else payload


def is_empty(session: Session) -> bool:
    """Whether nothing is worth keeping."""
    return not dict.__len__(session) and session._principal is None


def _is_as_read(serializer: Serializer, session: Session, read: bytes) -> bool:
    """Whether the data are those that were read, which Flask's JSON provider may have spelled otherwise."""
    # The texts tell 1 from True and 1.0, which are equal, and find NaN the same as NaN, which is not.
    return repr(unpack(serializer, read)[0]) == repr(session._plain())


def _check_keys(data: dict[Any, Any], error: NotSerializable) -> None:
    """Name a key that is no str, where it is what keeps the data from being written beside what is hidden."""
    others = [key for key in data if not isinstance(key, str)]
    try:
        sorted(data)
    except TypeError:
        raise NotSerializable(item_path(others[0]), "its key is not a str; write str(key)") from error


def _with_hidden(data: dict[str, Any], session: Session) -> dict[str, Any]:
    if session._keeps_created:
        data[CREATED] = session._created
    if session._principal is not None:
        data[PRINCIPAL] = session._principal
    return data
