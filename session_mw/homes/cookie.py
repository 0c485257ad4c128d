"""Sessions whose data live in the cookie."""

from __future__ import annotations

import time
from typing import Any

from session_mw.cookies import MAX_CANDIDATES, MAX_COOKIE, SessionCookie
from session_mw.exceptions import CookieTooLarge, NotSerializable
from session_mw.homes.contents import Lifetimes, changed_payload, hidden_in, is_empty, pack
from session_mw.homes.tokens import TokenReader
from session_mw.protocols import Codec, Serializer
from session_mw.refusals import RefusalLog
from session_mw.session import Session

_Found = tuple[str, bytes, "dict[str, Any]", int, bool, "str | None"]
"""A token; its payload; the data in it; when its session began, and whether the payload says so; whose it is."""

# Flask sorts the keys, and few sort before this one.
_PERMANENT_FIRST = b'{"_permanent":true'


class CookieHome:
    """Loads sessions from tokens, and answers with the Set-Cookie texts that keep them.

    Args:
        codec: Payloads to tokens and back.
        serializer: Data to payloads and back.
        cookie: The cookie that carries the token.
        lifetimes: For how long a token is valid.
        refresh: Whether a permanent session is sent again though nothing changed.
    """

    def __init__(
        self, codec: Codec, serializer: Serializer, cookie: SessionCookie, lifetimes: Lifetimes, refresh: bool
    ) -> None:
        self._codec = codec
        self._tokens = TokenReader(codec, lifetimes)
        self._serializer = serializer
        self._cookie = cookie
        self._lifetimes = lifetimes
        self._refresh_on = refresh
        self._hides_created = lifetimes.absolute is not None and not codec.carries_created
        self._max_token = MAX_COOKIE - len(cookie.name)
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
        token, payload, data, created, keeps_created, principal = found
        dict.update(session, data)
        session._new = False
        session._token = token
        session._payload = payload
        session._created = created
        session._keeps_created = keeps_created
        session._principal = principal

    def save(self, session: Session) -> list[str]:
        """Write what has changed since the last call.

        Returns:
            The Set-Cookie texts: the new cookie, or its deletion, or none.

        Raises:
            NotSerializable: A value cannot be written.
            CookieTooLarge: A browser would not keep the cookie.
        """
        if session._dirty or session._exposed:
            payload = changed_payload(self._serializer, session)
            if payload is not None:
                return self._write(session, payload, int(time.time()))
        token = session._token
        if not self._refresh_on or session._fresh or not token or dict.get(session, "_permanent") is not True:
            return []
        return self._refresh(session, token, int(time.time()))

    def refresh_untouched(self, session: Session) -> list[str]:
        """The Set-Cookie text of a permanent session that nobody looked at; it stays unlooked at."""
        if session._fresh:
            return []
        tokens = self._candidates(session)
        if len(tokens) == 1 and (cookies := self._refresh_unread(session, tokens[0])) is not None:
            return cookies
        unseen = Session()
        unseen._header, unseen._https = session._header, session._https
        self.load(unseen)
        if unseen._token:
            self._tokens.found_sound(unseen._token)
        session._refresh_only = session._fresh = True
        return self.save(unseen)

    def _refresh_unread(self, session: Session, token: str) -> list[str] | None:
        """The same where the payload need not be read for it; None where it has to be."""
        now = int(time.time())
        try:
            payload, _, created, current = self._tokens.open(token, now)
        except Exception as error:  # noqa: BLE001 (a client can never cause an exception)
            self._refusals.refused(token, error)
            return []
        if b"_permanent" not in payload and not (b"\\" in payload and b"\\u00" in payload):
            return []
        if self._lifetimes.absolute is not None or not payload.startswith(_PERMANENT_FIRST):
            return None
        if not self._tokens.is_sound(token):
            return None
        if not current:
            self._refusals.old_key(token)
        session._refresh_only = session._fresh = True
        renewed = self._codec.renew(token, now)
        if not self._fits(renewed):
            return []
        self._tokens.keep(renewed, (payload, now, created, True), sound=True)
        return [self._cookie.set(renewed, session._https, now + self._lifetimes.idle)]

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
            data = self._serializer.loads(payload)
            began, principal = hidden_in(data)
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

    def _write(self, session: Session, payload: bytes, now: int) -> list[str]:
        if is_empty(session):
            cookies = self._delete(session)
        else:
            if self._hides_created and not session._keeps_created:
                session._keeps_created = True
                payload = pack(self._serializer, session)
            cookies = self._send(session, self._codec.encode(payload, session._created, now), payload, now)
        session._dirty = session._forced = session._refresh_only = False
        session._exposed = True
        return cookies

    def _delete(self, session: Session) -> list[str]:
        known, session._token, session._payload = session._token, "", b""
        return [] if not known else [self._cookie.delete(session._https)]

    def _refresh(self, session: Session, token: str, now: int) -> list[str]:
        keeps_created = session._keeps_created
        try:
            cookies = self._renewed(session, token, now)
        except (CookieTooLarge, NotSerializable):
            # No browser keeps a cookie of that size, but another client may; it goes on without the refresh.
            cookies, session._keeps_created = [], keeps_created
        session._refresh_only = True
        return cookies

    def _renewed(self, session: Session, token: str, now: int) -> list[str]:
        if self._hides_created and not session._keeps_created:
            return self._write(session, pack(self._serializer, session), now)
        return self._send(session, self._codec.renew(token, now), session._payload, now)

    def _send(self, session: Session, token: str, payload: bytes, now: int) -> list[str]:
        if not self._fits(token):
            raise CookieTooLarge(len(token) + len(self._cookie.name), MAX_COOKIE, self._largest(session))
        # The browser's next request brings it.
        created = session._created if self._codec.carries_created else None
        self._tokens.keep(token, (payload, now, created, True), sound=True)
        session._token, session._payload = token, payload
        session._fresh = True
        permanent = dict.get(session, "_permanent") is True
        expires = self._lifetimes.expires(session._created, now) if permanent else None
        return [self._cookie.set(token, session._https, expires)]

    def _fits(self, token: str) -> bool:
        return len(token) <= self._max_token

    def _largest(self, session: Session) -> str:
        sizes = {key: len(self._serializer.dumps({key: value})) - 2 for key, value in dict.items(session)}
        largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:3]
        return ", ".join(f"{key!r} {sizes[key]}" for key in largest)
