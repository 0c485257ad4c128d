"""Sessions whose data live in the cookie."""

from __future__ import annotations

import time

from session_mw.backends.cookie_reader import CookieReader
from session_mw.backends.payload import Lifetimes, changed_payload, is_empty, pack
from session_mw.cookies import MAX_COOKIE, SessionCookie
from session_mw.exceptions import CookieTooLarge, NotSerializable
from session_mw.protocols import Codec, Serializer
from session_mw.session import Session

_BACKSLASH = ord("\\")
# Flask sorts the keys, and few sort before this one.
_PERMANENT_FIRST = b'{"_permanent":true'


class CookieHome(CookieReader):
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
        super().__init__(codec, serializer, cookie, lifetimes)
        self._refresh_on = refresh
        self._max_token = MAX_COOKIE - len(cookie.name)

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
        if not tokens:
            return []
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
        # "in" with bytes takes twice as long: it first tries to take them for an int.
        if payload.find(b"_permanent") < 0 and not (_BACKSLASH in payload and b"\\u00" in payload):
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
