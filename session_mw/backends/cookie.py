"""Sessions whose data live in the cookie."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from session_mw.backends.kept_state import Guard, KeptState
from session_mw.backends.known_payloads import KnownPayloads
from session_mw.backends.lifetimes import Lifetimes
from session_mw.backends.payload import pack, unpack
from session_mw.backends.token_cache import TokenCache
from session_mw.cookies import MAX_CANDIDATES, MAX_COOKIE, SessionCookie
from session_mw.exceptions import CookieTooLarge, NotSerializable
from session_mw.lazy_dict import UNTOUCHED
from session_mw.notices import LARGE_COOKIE, Notices
from session_mw.protocols import Codec, Serializer
from session_mw.rejections import RejectionLog
from session_mw.session import OpenedSession, Session
from session_mw.state import CREATED, END, KEEP, LIFETIME, NO_METADATA, SILENT, VARIES, Outcome, told

_BACKSLASH = ord("\\")
# Flask sorts the keys, and few sort before this one.
_PERMANENT_FIRST = b'{"_permanent":true'


class CookieBackend:
    """Loads sessions from tokens, and refreshes those that nobody looked at.

    Args:
        codec: Payloads to tokens and back.
        serializer: Data to payloads and back.
        cookie: The cookie that carries the token.
        lifetimes: For how long a token is valid.
        refresh: Whether a permanent session is sent again though nothing changed.
        notices: Told what is sent.
        guard: May reject sessions that are authentic.
    """

    manager: Any = None
    store: Any = None

    def __init__(
        self,
        codec: Codec,
        serializer: Serializer,
        cookie: SessionCookie,
        lifetimes: Lifetimes,
        refresh: bool,
        notices: Notices,
        guard: Guard | None = None,
    ) -> None:
        self.codec = codec
        self.tokens = TokenCache(codec)
        self.serializer = serializer
        self.cookie = cookie
        self.lifetimes = lifetimes
        self.refresh = refresh
        self.notices = notices
        self.guard = guard
        self._known = None if guard is None else KnownPayloads(serializer)
        # Whether an authentic session may be rejected all the same.
        self.judges = guard is not None
        self.keeps_created = lifetimes.absolute is not None and not codec.carries_created
        self.max_token = MAX_COOKIE - len(cookie.name)
        self._rejections = RejectionLog(codec.shape)

    def load(self, session: Session) -> tuple[CookieState, dict[str, Any]]:
        """The one token in the Cookie header that can be trusted, if there is one: its state and its data."""
        now = int(time.time())
        tokens = self.cookie.values(session._header)
        if len(tokens) > 1:
            tokens = self._shaped(tokens)
        if len(tokens) == 1:
            found = self._find(tokens[0], now)
            if found is not None:
                return found if self.guard is None else self._admitted(session, found, now)
        state = self._fresh(now)
        return (state, {}) if len(tokens) < 2 else self._only_authentic(session, tokens, state, now)

    def _fresh(self, now: int) -> CookieState:
        """The state of a session that begins."""
        state: CookieState = CookieState()
        state.begin(self, now, {CREATED: now} if self.keeps_created else NO_METADATA)
        return state

    def _admitted(
        self, session: Session, found: tuple[CookieState, dict[str, Any]], now: int, logged: set[str] | None = None
    ) -> tuple[CookieState, dict[str, Any]]:
        """The session that was found, or an empty one where the guard rejects it."""
        if self.guard is None or self.guard.admits(session, found[0], self._rejections, logged):
            return found
        state = self._fresh(now)
        state.reject()
        return state, {}

    def save_unread(self, session: Session) -> Outcome:
        """Refresh a permanent session that nobody looked at; it stays unlooked at."""
        if session._refreshed or not self.refresh:
            return SILENT
        tokens = self.cookie.values(session._header)
        if len(tokens) > 1:
            tokens = self._shaped(tokens)
        if not tokens:
            return SILENT
        if len(tokens) == 1 and (outcome := self._refresh_unread(session, tokens[0])) is not None:
            return outcome
        unseen = OpenedSession(UNTOUCHED)
        unseen._begin(self, session._header, session._https, session._environ)
        state = unseen._touch()
        if isinstance(state, CookieState) and state.token:
            self.tokens.found_well_formed(state.token)
        session._refreshed = True
        outcome = state.save(unseen)
        return SILENT if outcome is VARIES else outcome

    def is_known_to_live(self, session: Session, payload: bytes) -> bool:
        """Whether the session with this payload may be refreshed unread."""
        return self.guard is None or self.guard.admits_unread(session, payload)

    def _shaped(self, values: list[str]) -> list[str]:
        """Those of several values that look like tokens."""
        shape, tokens, logged = self.codec.shape, [], set[str]()
        for value in values:
            if len(value) <= MAX_COOKIE and shape.fullmatch(value):
                tokens.append(value)
            else:
                self._rejections.log("malformed", value, logged)
        return tokens

    def _only_authentic(
        self, session: Session, tokens: list[str], fresh: CookieState, now: int
    ) -> tuple[CookieState, dict[str, Any]]:
        """The one of several tokens that opens. Where two do, one may have been planted: neither is trusted."""
        if len(tokens) <= MAX_CANDIDATES:
            logged: set[str] = set()
            authentic = [found for token in tokens if (found := self._find(token, now, logged)) is not None]
            if len(authentic) < 2:
                return self._admitted(session, authentic[0], now, logged) if authentic else (fresh, {})
        fresh.may_have_duplicates = True
        self._rejections.log("ambiguous" if len(tokens) <= MAX_CANDIDATES else "too_many", session._header)
        return fresh, {}

    def _find(self, token: str, now: int, logged: set[str] | None = None) -> tuple[CookieState, dict[str, Any]] | None:
        """The session in a token; None where it is rejected."""
        # The one boundary: whatever a token makes the code below raise, the application sees no more
        # than an empty session.
        try:
            payload, written, created, current = self.tokens.open(token)
            known = self._known
            data, metadata = unpack(self.serializer, payload) if known is None else known.unpack(payload)
            self.lifetimes.check_written(written, now, metadata.get(LIFETIME))
            created = metadata.get(CREATED, written if created is None else created)
            self.lifetimes.check_created(created, now)
        except Exception as error:  # noqa: BLE001 (a client can never cause an exception)
            self._reject(token, error, logged)
            return None
        if not current:
            self._rejections.old_key(token)
        state = CookieState()
        state.begin(self, created, metadata, token, payload, data.get("_permanent") is True)
        return state, data

    def _reject(self, token: str, error: Exception, logged: set[str] | None = None) -> None:
        if self._rejections.rejected(token, error, logged) == "bad_signature":
            self.notices.rejected(token)

    def _refresh_unread(self, session: Session, token: str) -> Outcome | None:
        """Refresh without reading the payload; None where it has to be read."""
        now = int(time.time())
        try:
            payload, written, created, current = self.tokens.open(token)
            has_own_lifetime = payload.find(b"_lifetime") >= 0
            if not has_own_lifetime:
                self.lifetimes.check_written(written, now)
            # "in" with bytes takes twice as long: it first tries to take them for an int.
            if payload.find(b"_permanent") < 0 and not (_BACKSLASH in payload and b"\\u00" in payload):
                return SILENT
            if has_own_lifetime or self.lifetimes.absolute is not None or not payload.startswith(_PERMANENT_FIRST):
                return None
        except Exception as error:  # noqa: BLE001 (a client can never cause an exception)
            self._reject(token, error)
            return SILENT
        if not self.tokens.is_well_formed(token) or (self.judges and not self.is_known_to_live(session, payload)):
            return None
        if not current:
            self._rejections.old_key(token)
        session._refreshed = True
        renewed = self.codec.renew(token, now)
        if len(renewed) > self.max_token:
            return SILENT
        self.tokens.keep(renewed, (payload, now, created, True), well_formed=True)
        return told([self.cookie.set(renewed, session._https, now + self.lifetimes.idle)], refresh_only=True)


class CookieState(KeptState[CookieBackend]):
    """What is known of a session whose data live in the cookie."""

    __slots__ = ()

    def save(self, session: Session) -> Outcome:
        """Write what has changed since the last call, or refresh the cookie.

        Raises:
            NotSerializable: A value cannot be written.
            CookieTooLarge: A browser would not keep the cookie.
        """
        backend = self._backend
        if session._changes:
            if self.rejected and self.principal is None:
                return self.leave(session)
            payload = self.changed(session)
            if payload is not None:
                return self._write(session, payload, int(time.time()))
        if not backend.refresh or session._refreshed or not self.token or not self.permanent:
            return VARIES
        return self._refresh(session, int(time.time()))

    def missing_metadata(self) -> Mapping[str, Any]:
        """What the token has to hold beside the data and does not hold yet."""
        if self._backend.keeps_created and CREATED not in self.metadata:
            return {CREATED: self.created}
        return NO_METADATA

    def _write(self, session: Session, payload: bytes, now: int) -> Outcome:
        backend = self._backend
        if not self.is_empty(session):
            missing = self.missing_metadata()
            if missing:
                self.metadata = {**self.metadata, **missing}
                payload = self.packed(session)
            permanent = dict.get(session, "_permanent") is True
            texts = [self._send(session, backend.codec.encode(payload, self.created, now), payload, permanent, now)]
        else:
            known = self.token != ""
            if self.intent == END:
                texts = self.deletion(session, known)
            else:
                texts = [backend.cookie.delete(session._https)] if known else []
            self.token, self.payload, self.permanent = "", b"", False
        self.intent, self._baseline = KEEP, None
        session._committed()
        return self.outcome(session, texts)

    def _refresh(self, session: Session, now: int) -> Outcome:
        """Send the saved session again, with a new time; whatever was written and discarded is not in it."""
        backend = self._backend
        token, payload, metadata = self.token, self.payload, self.saved_metadata()
        try:
            missing = self.missing_metadata()
            if missing:
                data, _ = unpack(backend.serializer, payload)
                payload = pack(backend.serializer, data, {**metadata, **missing})
                text = self._send(session, backend.codec.encode(payload, self.created, now), payload, True, now)
                self.metadata = {**self.metadata, **missing}
            else:
                text = self._send(session, backend.codec.renew(token, now), payload, True, now)
        except (CookieTooLarge, NotSerializable):
            # No browser keeps a cookie of that size, but another client may; it goes on without the refresh.
            return VARIES
        return self.outcome(session, [text], refresh_only=True)

    def _send(self, session: Session, token: str, payload: bytes, permanent: bool, now: int) -> str:
        """Make the cookie's text for a new token, and be its state."""
        backend = self._backend
        if len(token) > backend.max_token:
            raise CookieTooLarge(len(token) + len(backend.cookie.name), MAX_COOKIE, self._largest(session))
        # The browser's next request brings it.
        created = self.created if backend.codec.carries_created else None
        backend.tokens.keep(token, (payload, now, created, True), well_formed=True)
        self.token, self.payload, self.permanent = token, payload, permanent
        session._refreshed = True
        if backend.notices.watch or len(token) > LARGE_COOKIE:
            backend.notices.sets_cookie(len(token) + len(backend.cookie.name), session)
        expires = None
        if permanent:
            expires = backend.lifetimes.expires(self.created, now, self.saved_metadata().get(LIFETIME))
        return backend.cookie.set(token, session._https, expires)

    def _largest(self, session: Session) -> str:
        sizes = {key: len(self._backend.serializer.dumps({key: value})) - 2 for key, value in dict.items(session)}
        largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:3]
        return ", ".join(f"{key!r} {sizes[key]}" for key in largest)
