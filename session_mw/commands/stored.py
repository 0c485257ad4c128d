"""Stored sessions as the commands see them: one by its token, those of a principal, and their ends."""

from __future__ import annotations

import os
import warnings
from typing import Any, NamedTuple

from session_mw.backends.build import endings_of
from session_mw.backends.principals import SessionInfo
from session_mw.backends.revocations.entries import PUBLIC_ID
from session_mw.backends.revocations.follower import Revocations
from session_mw.config import settings_from_mapping
from session_mw.exceptions import SessionError, WeakSecretKeyWarning
from session_mw.manager import SessionManager
from session_mw.protocols import Store
from session_mw.settings import Settings
from session_mw.state import PRINCIPAL
from session_mw.stores.session_ids import is_key

KEY_VARIABLE = "SESSION_MW_SECRET_KEY"
"""The environment variable that may hold the secret key: others can see the command line."""


class Format(NamedTuple):
    """The settings that a site's records depend on."""

    cookie_name: str = "session"
    salt: str = "cookie-session"
    lifetime: str = "31 days"
    """Seconds, or a text such as ``30 days``; it is needed to tell when a session was last used."""


class Found(NamedTuple):
    """A stored session."""

    id: str
    data: dict[str, Any]
    created: int
    """Unix time."""
    expires: int
    """Unix time."""
    principal: str | None
    encrypted: bool


def find(store: Store, token: str, format_: Format) -> Found:
    """Read the session of a token, with the key where it is encrypted. Nothing is written, and the record not touched.

    Raises:
        SessionError: The store has no such session, or it cannot be read.
        StoreError: The store failed.
    """
    for sessions in _managers(store, format_):
        explained = sessions.explain({"HTTP_COOKIE": f"{format_.cookie_name}={token}"})
        if explained.failure is not None:
            raise explained.failure
        (found,) = explained.candidates
        if found.record is None:
            raise SessionError(
                f"no session has the id {found.key}: it has ended, or is in another store or under another prefix"
            )
        contents = found.contents
        if not found.reason and contents is not None and contents.data is not None and contents.created is not None:
            encrypted = sessions.settings.store_encryption
            principal = contents.metadata.get(PRINCIPAL)
            return Found(found.key, contents.data, contents.created, found.record.expires, principal, encrypted)
    hint = "" if os.environ.get(KEY_VARIABLE) else f"; if it is encrypted, set {KEY_VARIABLE}"
    raise SessionError(
        f"the session {found.key} is there and cannot be read with the cookie name {format_.cookie_name!r} and the "
        f"salt {format_.salt!r} (--cookie-name, --salt), or it is just ending{hint}"
    )


def list_all(store: Store, principal: str, format_: Format) -> list[SessionInfo]:
    """The principal's sessions, the last used first; encrypted ones too where the key is known.

    Raises:
        SessionError: The store lists no sessions by principal.
        StoreError: The store failed.
    """
    found = {info.id: info for sessions in _managers(store, format_) for info in sessions.sessions_of(principal)}
    return sorted(found.values(), key=lambda info: info.last_used, reverse=True)


def end(store: Store, session_id: str, format_: Format) -> None:
    """End a session, and the device that is remembered with it; an encrypted one's too where the key is known.

    Raises:
        SessionError: That is not an id, or no session has it.
        StoreError: The store failed.
    """
    if not is_key(session_id):
        raise SessionError(
            "a session's id is 64 hexadecimal digits, as session-mw sessions and inspect show it; of a session in a "
            "cookie it is what session.id says, 22 or 45 characters"
        )
    if store.load(session_id) is None:
        raise SessionError(f"no session has the id {session_id}; nothing was ended")
    # The one with the key first: the other one leaves nothing to be read.
    for sessions in reversed(_managers(store, format_)):
        sessions.end(session_id)


def end_all(store: Store, principal: str, format_: Format) -> int:
    """End all sessions of a principal, encrypted ones too where the key is known.

    Returns:
        How many were ended.

    Raises:
        SessionError: The store lists no sessions by principal.
        StoreError: The store failed.
    """
    return sum(sessions.end_all(principal) for sessions in _managers(store, format_))


def end_in_cookie(store: Store, session_id: str, format_: Format) -> None:
    """End a session in a cookie, and the device that is remembered with it. Nobody knows whether there is one.

    Args:
        store: What ``revocations`` is set to.
        session_id: What :func:`is_in_cookie` accepts.
        format_: The site's.

    Raises:
        StoreError: The store failed.
    """
    _endings(store, format_).end_id(session_id)


def end_all_in_cookies(store: Store, principal: str, format_: Format) -> None:
    """End all sessions in cookies of a principal, and the devices that are remembered with them.

    Args:
        store: What ``revocations`` is set to.
        principal: Whose.
        format_: The site's.

    Raises:
        StoreError: The store failed.
    """
    _endings(store, format_).end_principal(principal, None, None)


def has_endings(store: Store, format_: Format) -> bool:
    """Whether a store keeps the endings of sessions.

    Raises:
        StoreError: The store failed.
    """
    endings = _endings(store, format_)
    endings.follow()
    return endings.ledger.newest > 0


def is_in_cookie(session_id: str) -> bool:
    """Whether an id is that of a session in a cookie."""
    return PUBLIC_ID.fullmatch(session_id) is not None


def _endings(store: Store, format_: Format) -> Revocations:
    return endings_of(Settings(**settings_from_mapping(format_._asdict())), store)


def _managers(store: Store, format_: Format) -> list[SessionManager]:
    """A manager that reads plain records, and one for encrypted records where the key is known."""
    settings = {**format_._asdict(), "store": store}
    managers = [SessionManager.from_mapping(settings)]
    key = os.environ.get(KEY_VARIABLE)
    if key is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", WeakSecretKeyWarning)
            managers.append(SessionManager.from_mapping({**settings, "secret_key": key, "store_encryption": True}))
    return managers
