"""Reading of sessions whose data live in the cookie."""

from __future__ import annotations

import time
from typing import Any

from session_mw.backends.payload import Lifetimes, unpack
from session_mw.backends.token_cache import TokenReader
from session_mw.cookies import MAX_CANDIDATES, MAX_COOKIE, SessionCookie
from session_mw.protocols import Codec, Serializer
from session_mw.rejections import RefusalLog
from session_mw.session import Session

_Found = tuple[str, bytes, "dict[str, Any]", int, bool, "str | None"]
"""A token; its payload; the data in it; when its session began, and whether the payload says so; whose it is."""


class CookieReader:
    """Loads sessions from tokens.

    Args:
        codec: Payloads to tokens and back.
        serializer: Data to payloads and back.
        cookie: The cookie that carries the token.
        lifetimes: For how long a token is valid.
    """

    def __init__(self, codec: Codec, serializer: Serializer, cookie: SessionCookie, lifetimes: Lifetimes) -> None:
        self._codec = codec
        self._tokens = TokenReader(codec, lifetimes)
        self._serializer = serializer
        self._cookie = cookie
        self._lifetimes = lifetimes
        self._hides_created = lifetimes.absolute is not None and not codec.carries_created
        self._refusals = RefusalLog(codec.shape)

    def load(self, session: Session) -> None:
        """Fill the session from the one token in its Cookie header that can be trusted, if there is one."""
        session._begin_new()
        now = int(time.time())
        tokens = self._candidates(session)
        found = self._find(tokens[0], now) if len(tokens) == 1 else self._only_genuine(session, tokens, now)
        if found is None:
            session._created = now
            session._keeps_created = self._hides_created
            return
        token, payload, data, created, session._keeps_created, principal = found
        session._begin_saved(token, payload, data, created, principal)

    def _candidates(self, session: Session) -> list[str]:
        values = self._cookie.values(session._header)
        if len(values) < 2:
            return values
        shape = self._codec.shape
        tokens = [value for value in values if len(value) <= MAX_COOKIE and shape.fullmatch(value)]
        if len(tokens) < len(values):
            self._refusals.log("malformed", session._header)
        return tokens

    def _only_genuine(self, session: Session, tokens: list[str], now: int) -> _Found | None:
        too_many = len(tokens) > MAX_CANDIDATES
        genuine = [] if too_many else [found for token in tokens if (found := self._find(token, now)) is not None]
        if len(genuine) == 1:
            return genuine[0]
        if genuine or too_many:
            session._conflict = True
            self._refusals.log("ambiguous", session._header)
        return None

    def _find(self, token: str, now: int) -> _Found | None:
        # The one boundary: whatever a token makes the code below raise, the application sees no more
        # than an empty session.
        try:
            payload, written, created, current = self._tokens.open(token, now)
            data, began, principal = unpack(self._serializer, payload)
            if began is not None:
                created = began
            elif created is None:
                created = written
            self._lifetimes.check_created(created, now)
        except Exception as error:  # noqa: BLE001 (a client can never cause an exception)
            self._refusals.refused(token, error)
            return None
        if not current:
            self._refusals.old_key(token)
        return token, payload, data, created, began is not None, principal
