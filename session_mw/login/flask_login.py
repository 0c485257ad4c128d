"""What Flask-Login keeps in a session, so that applications with it and with this share one log-in.

Read in the source of Flask-Login 0.6.3 (``utils.login_user``, ``utils._create_identifier``,
``LoginManager._session_protection_failed``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from session_mw.secret_keys import has_bytes
from session_mw.session import Session

USER_ID = "_user_id"
FRESH = "_fresh"
CLIENT = "_id"
"""Of whom the session is: Flask-Login's default protection takes the freshness away where it differs."""
REMEMBER = ("_remember", "_remember_seconds")
"""Notes to Flask-Login about its own remember cookie."""
REMEMBER_COOKIE = "remember_token"
"""That cookie's name, where the application has not given it another one."""


def is_user_id(value: object) -> bool:
    """Whether a value can be a user's id here: a non-empty str that UTF-8 can write."""
    return isinstance(value, str) and value != "" and has_bytes(value)


def user_id_in(session: Session) -> str | None:
    """The id of the user who is logged in; None: nobody, or somebody with an id of another type."""
    value = session.get(USER_ID)
    return value if is_user_id(value) else None


def client_of(environ: Mapping[str, Any]) -> str:
    """What Flask-Login would keep as ``_id``: a hash of the client's address and its User-Agent.

    It goes by the first entry of X-Forwarded-For, as Flask-Login does, which a client can choose: nothing
    depends on it here.
    """
    address: bytes | None = None
    forwarded = environ.get("HTTP_X_FORWARDED_FOR", environ.get("REMOTE_ADDR"))
    if forwarded is not None:
        address = str(forwarded).encode(errors="replace").split(b",")[0].strip()
    agent = environ.get("HTTP_USER_AGENT")
    browser = None if agent is None else str(agent).encode(errors="replace")
    # The repr of bytes is meant: Flask-Login formats bytes into a str.
    return hashlib.sha512(f"{address!r}|{browser!r}".encode()).hexdigest()


def has_remember_cookie(header: str) -> bool:
    """Whether the Cookie header holds Flask-Login's own remember cookie."""
    return f"{REMEMBER_COOKIE}=" in header


def clear_remember_cookie(session: Session) -> None:
    """Have Flask-Login take its own remember cookie for deleted, and delete it with its next response."""
    session[REMEMBER[0]] = "clear"
