"""One request's changes, applied to what other requests have saved meanwhile."""

from __future__ import annotations

from typing import Any

from session_mw.backends.payload import unpack
from session_mw.protocols import Serializer
from session_mw.session import Session


def merge(serializer: Serializer, session: Session, newer: dict[str, Any], principal: str | None) -> None:
    """Make the session hold the newer data, and be the newer principal's, with its own changes on top.

    Keys that the session set or deleted since it was read stay set or deleted; all others
    become what the newer data say. Lists and dicts stay the same objects, since the
    application may hold them, and change them while it streams its body.
    """
    base, _, base_principal = unpack(serializer, session._payload)
    mine = session._plain()
    changed = {key for key in base.keys() | mine.keys() if _differs(serializer, key, base, mine)}
    merged = {key: _brought_up(mine.get(key), value) for key, value in newer.items() if key not in changed}
    merged.update((key, value) for key, value in mine.items() if key in changed)
    dict.clear(session)
    dict.update(session, merged)
    if session._principal == base_principal:
        session._principal = principal


def _brought_up(mine: Any, newer: Any) -> Any:
    """The newer value, in the object that was there before."""
    # The texts tell 1 from True, which are equal.
    if repr(mine) == repr(newer):
        return mine
    if type(mine) is list and type(newer) is list:
        mine[:] = newer
        return mine
    if type(mine) is dict and type(newer) is dict:
        brought_up = {key: _brought_up(mine.get(key), value) for key, value in newer.items()}
        mine.clear()
        mine.update(brought_up)
        return mine
    return newer


def _differs(serializer: Serializer, key: Any, one: dict[str, Any], other: dict[str, Any]) -> bool:
    if (key in one) != (key in other):
        return True
    return serializer.dumps({key: one[key]}) != serializer.dumps({key: other[key]})
