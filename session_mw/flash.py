"""One-time messages, kept in any session that is a mutable mapping.

The key and the shape are Flask's (``_flashes``: a list of ``(category, message)``), so that
Flask's ``flash`` and ``get_flashed_messages`` and these functions read each other's messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

FLASHES_KEY = "_flashes"


def flash(session: MutableMapping[str, Any], message: str, category: str = "message") -> None:
    """Keep a message for the next page that shows messages.

    Args:
        session: Any mutable mapping, for example ``environ["session"]``.
        message: The text; ``markupsafe.Markup`` stays ``Markup``.
        category: As in Flask ``message``, ``success``, ``info``, ``warning``, ``error`` or a word of your own.
    """
    # A session that is a plain mapping learns of a change only by assignment.
    session[FLASHES_KEY] = [*_kept(session), (category, message)]


def pop_flashes(session: MutableMapping[str, Any], category_filter: Iterable[str] = ()) -> list[tuple[str, str]]:
    """Take the messages out of the session, the oldest first.

    A session without messages is only read, so that it sends no cookie. Unlike Flask's
    ``get_flashed_messages``, a second call in the same request finds the session empty.

    Args:
        session: Any mutable mapping, for example ``environ["session"]``.
        category_filter: Take only messages of these categories, and leave the others for
            another call. Empty means all.

    Returns:
        ``(category, message)`` pairs.
    """
    if FLASHES_KEY not in session:
        return []
    taken = peek_flashes(session, category_filter)
    kept = _kept(session)
    if taken or not kept:
        left = [pair for pair in kept if pair not in taken]
        if left:
            session[FLASHES_KEY] = left
        else:
            del session[FLASHES_KEY]
    return taken


def peek_flashes(session: Mapping[str, Any], category_filter: Iterable[str] = ()) -> list[tuple[str, str]]:
    """The messages that :func:`pop_flashes` would take; they stay in the session."""
    wanted = (category_filter,) if isinstance(category_filter, str) else tuple(category_filter)
    return [pair for pair in _kept(session) if not wanted or pair[0] in wanted]


def _kept(session: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The well-formed messages; another program may have written anything under the key."""
    flashes = session.get(FLASHES_KEY)
    if not isinstance(flashes, (list, tuple)):
        return []
    # Tuples come back as lists from a session that was written as plain JSON.
    return [(pair[0], pair[1]) for pair in flashes if isinstance(pair, (list, tuple)) and len(pair) == 2]
