"""Sessions whose data live in the cookie."""

from __future__ import annotations

from session_mw.cookies import MAX_CANDIDATES, MAX_COOKIE, SessionCookie
from session_mw.exceptions import BadToken, CookieTooLarge, NotSerializable
from session_mw.homes.contents import Contents, Lifetimes, changed_payload, is_empty, pack, unpack
from session_mw.protocols import Codec, Opened, Serializer
from session_mw.refusals import RefusalLog
from session_mw.session import Session

_Found = tuple[str, Opened, Contents, int]
"""A token, what was in it, and Unix time at which its session began."""


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
        self._serializer = serializer
        self._cookie = cookie
        self._lifetimes = lifetimes
        self._refresh_on = refresh
        self._hides_created = lifetimes.absolute is not None and not codec.carries_created
        self._max_token = MAX_COOKIE - len(cookie.name)
        self._refusals = RefusalLog()

    def load(self, session: Session, now: int) -> None:
        """Fill the session from the one token in its Cookie header that can be trusted, if there is one."""
        tokens = self._candidates(session)
        too_many = len(tokens) > MAX_CANDIDATES
        genuine = [] if too_many else [found for token in tokens if (found := self._find(token, now)) is not None]
        if len(genuine) == 1:
            self._fill(session, *genuine[0])
            return
        session._created = now
        session._keeps_created = self._hides_created
        if genuine or too_many:
            session._conflict = True
            self._refusals.log("ambiguous", session._header)

    def save(self, session: Session, now: int) -> list[str]:
        """Write what has changed since the last call.

        Returns:
            The Set-Cookie texts: the new cookie, or its deletion, or none.

        Raises:
            NotSerializable: A value cannot be written.
            CookieTooLarge: A browser would not keep the cookie.
        """
        payload = changed_payload(self._serializer, session)
        if payload is not None:
            return self._write(session, payload, now)
        token = session._token
        if not self._refresh_on or session._fresh or not token or dict.get(session, "_permanent") is not True:
            return []
        return self._refresh(session, token, now)

    def refresh_untouched(self, session: Session, now: int) -> list[str]:
        """The Set-Cookie text of a permanent session that nobody looked at; it stays unlooked at."""
        if not self._refresh_on or session._fresh:
            return []
        tokens = self._candidates(session)
        found = self._find(tokens[0], now, only_permanent=True) if len(tokens) == 1 else None
        if len(tokens) == 1 and found is None:
            return []
        unseen = Session()
        unseen._header, unseen._https = session._header, session._https
        if found is None:
            self.load(unseen, now)
        else:
            self._fill(unseen, *found)
        session._refresh_only = session._fresh = True
        return self.save(unseen, now)

    def _candidates(self, session: Session) -> list[str]:
        values = self._cookie.values(session._header)
        if len(values) < 2:
            return values
        shape = self._codec.shape
        tokens = [value for value in values if len(value) <= MAX_COOKIE and shape.fullmatch(value)]
        if len(tokens) < len(values):
            self._refusals.log("malformed", session._header)
        return tokens

    def _find(self, token: str, now: int, only_permanent: bool = False) -> _Found | None:
        # The one boundary: whatever a token makes the code below raise, the application sees no more
        # than an empty session.
        try:
            if len(token) > MAX_COOKIE:
                raise BadToken("malformed")
            opened = self._codec.decode(token)
            self._lifetimes.check_written(opened.written, now)
            if only_permanent and b"_permanent" not in opened.payload and b"\\u" not in opened.payload:
                return None
            contents = unpack(self._serializer, opened.payload)
            created = _created(contents, opened)
            self._lifetimes.check_created(created, now)
        except Exception as error:  # noqa: BLE001 (a client can never cause an exception)
            self._refusals.refused(token, error)
            return None
        if not opened.current:
            self._refusals.old_key(token)
        return token, opened, contents, created

    def _fill(self, session: Session, token: str, opened: Opened, contents: Contents, created: int) -> None:
        dict.update(session, contents.data)
        session._new = False
        session._token = token
        session._payload = opened.payload
        session._created = created
        if contents.created is not None:
            session._keeps_created = True
        if contents.principal is not None:
            session._principal = contents.principal

    def _write(self, session: Session, payload: bytes, now: int) -> list[str]:
        if is_empty(session):
            cookies = self._delete(session)
        else:
            if self._hides_created and not session._keeps_created:
                session._keeps_created = True
                payload = pack(self._serializer, session)
            cookies = self._send(session, self._codec.encode(payload, session._created, now), now)
            session._payload = payload
        session._dirty = session._forced = session._refresh_only = False
        session._exposed = True
        return cookies

    def _delete(self, session: Session) -> list[str]:
        known, session._token, session._payload = session._token, "", b""
        return [] if not known else [self._cookie.delete(session._https)]

    def _refresh(self, session: Session, token: str, now: int) -> list[str]:
        try:
            cookies = self._renewed(session, token, now)
        except (CookieTooLarge, NotSerializable):
            # No browser keeps a cookie of that size, but another client may; it goes on without the refresh.
            cookies = []
        session._refresh_only = True
        return cookies

    def _renewed(self, session: Session, token: str, now: int) -> list[str]:
        if self._hides_created and not session._keeps_created:
            return self._write(session, pack(self._serializer, session), now)
        return self._send(session, self._codec.renew(token, now), now)

    def _send(self, session: Session, token: str, now: int) -> list[str]:
        if len(token) > self._max_token:
            raise CookieTooLarge(len(token) + len(self._cookie.name), MAX_COOKIE, self._largest(session))
        session._token = token
        session._fresh = True
        permanent = dict.get(session, "_permanent") is True
        expires = self._lifetimes.expires(session._created, now) if permanent else None
        return [self._cookie.set(token, session._https, expires)]

    def _largest(self, session: Session) -> str:
        sizes = {key: len(self._serializer.dumps({key: value})) - 2 for key, value in dict.items(session)}
        largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:3]
        return ", ".join(f"{key!r} {sizes[key]}" for key in largest)


def _created(contents: Contents, opened: Opened) -> int:
    if contents.created is not None:
        return contents.created
    return opened.written if opened.created is None else opened.created
