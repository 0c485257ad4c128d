"""One request's changes, applied to what other requests have saved meanwhile.

Keys that this request set or deleted since it read the session stay set or deleted; all others become what the newer
data say. So two requests that changed different keys both win, and on the same key the last one wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from session_mw.protocols import Serializer
from session_mw.state import SIGNER, is_bound


def merge(
    serializer: Serializer, base: Mapping[str, Any], mine: Mapping[str, Any], newer: Mapping[str, Any]
) -> dict[str, Any]:
    """The newer items with this request's changes on top.

    Lists and dicts stay the same objects, since the application may hold them, and change them
    while it streams its body.

    Args:
        serializer: Says whether two values are the same: they are if they are written alike.
        base: What this request read.
        mine: What it holds now.
        newer: What others have saved since.
    """
    changed = {key for key in base.keys() | mine.keys() if _differs(serializer, key, base, mine)}
    merged = {key: _brought_up(mine.get(key), value) for key, value in newer.items() if key not in changed}
    merged.update((key, value) for key, value in mine.items() if key in changed)
    return merged


def merge_metadata(
    serializer: Serializer, base: Mapping[str, Any], mine: Mapping[str, Any], newer: Mapping[str, Any]
) -> dict[str, Any]:
    """As :func:`merge`; but once a session is bound to a device, it stays so, and the first device wins."""
    merged = merge(serializer, base, mine, newer)
    own, theirs = mine.get(SIGNER, ""), newer.get(SIGNER, "")
    # Under another name it is another session: the principal has changed.
    if is_bound(newer) and own[:16] == theirs[:16]:
        merged[SIGNER] = theirs
    return merged


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


def _differs(serializer: Serializer, key: Any, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    if (key in one) != (key in other):
        return True
    return serializer.dumps({key: one[key]}) != serializer.dumps({key: other[key]})
