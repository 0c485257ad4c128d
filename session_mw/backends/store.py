"""Sessions whose data live in a store; the cookie holds a random token."""

from __future__ import annotations

import logging
import re
import time
from typing import Any

from session_mw.backends.kept_state import Guard
from session_mw.backends.known_payloads import KnownPayloads
from session_mw.backends.lifetimes import Lifetimes
from session_mw.backends.payload import unpack
from session_mw.backends.principals import SessionInfo, end_sessions_with
from session_mw.backends.record_format import (
    BOUND,
    companion_key,
    created_of,
    is_live_marker,
    is_marker,
    key_of,
    read_head,
    split,
)
from session_mw.backends.revocations.entries import read_mark
from session_mw.backends.revocations.follower import Revocations
from session_mw.backends.store_state import StoreState
from session_mw.codecs.records import Records
from session_mw.cookies import MAX_CANDIDATES, SessionCookie
from session_mw.exceptions import BadToken, ExpiredToken
from session_mw.notices import Notices
from session_mw.protocols import Record, Serializer, Store, is_indexed
from session_mw.rejections import RejectionLog
from session_mw.session import Session
from session_mw.state import COMPANION, CREATED, LABEL, LIFETIME, SILENT, SINCE, Outcome

logger = logging.getLogger("session_mw")

_SECONDS_BETWEEN_TRACEBACKS = 60.0
SHAPE = re.compile("[A-Za-z0-9_-]{43}")


class StoreBackend:
    """Loads sessions from records.

    Args:
        store: Where the records are.
        records: Payloads to a record's data and back.
        serializer: Data to payloads and back.
        cookie: The cookie that carries the token.
        lifetimes: For how long a record lives.
        refresh: Whether a permanent session's cookie is sent again when only its record's end was moved.
        notices: Told what is sent.
        endings: Knows when all sessions were ended.
        guard: May reject sessions that are authentic.
    """

    manager: Any = None

    def __init__(
        self,
        store: Store,
        records: Records,
        serializer: Serializer,
        cookie: SessionCookie,
        lifetimes: Lifetimes,
        refresh: bool,
        notices: Notices,
        endings: Revocations,
        guard: Guard | None = None,
    ) -> None:
        self.store = store
        self.records = records
        self.serializer = serializer
        self.cookie = cookie
        self.lifetimes = lifetimes
        self.refresh = refresh
        self.notices = notices
        self.endings = endings
        self.guard = guard
        self._known = None if guard is None else KnownPayloads(serializer)
        self.is_indexed = is_indexed(store)
        self._rejections = RejectionLog()
        self._showed_at = -_SECONDS_BETWEEN_TRACEBACKS

    def load(self, session: Session) -> tuple[StoreState, dict[str, Any]]:
        """The record of the one token in the Cookie header that the store knows: its state and its data.

        Raises:
            StoreError: The store does not answer.
        """
        now = int(time.time())
        logged: set[str] = set()
        tokens = self._candidates(session._header, logged)
        found, is_late = [], False
        for token in tokens if len(tokens) <= MAX_CANDIDATES else ():
            key = key_of(token)
            record = self.store.load(key)
            is_late |= record is not None and is_live_marker(record, now)
            one = self.read(token, key, record, now, logged)
            if one is None:
                continue
            if self.endings.has_ended_with_everyone(read_mark(one[0].metadata.get(SINCE), one[0].created)):
                self._rejections.log("ended", token, logged)
            else:
                found.append(one)
        admitted = [one for one in found if self._admits(session, one[0], logged)]
        if len(found) == 1 and admitted:
            return found[0]
        state = StoreState()
        state.begin(self, now, {CREATED: now})
        if len(found) == 1:
            state.reject()
        elif found or len(tokens) > MAX_CANDIDATES:
            # One of them may have been planted: none is trusted.
            state.found_several([other.key for other, _ in admitted])
            self._rejections.log("ambiguous" if found else "too_many", session._header)
        elif is_late:
            state.came_late()
        return state, {}

    def _admits(self, session: Session, state: StoreState, logged: set[str]) -> bool:
        return self.guard is None or self.guard.admits(session, state, self._rejections, logged)

    def save_unread(self, session: Session) -> Outcome:
        """Nothing: the record is neither loaded nor touched for a session that nobody looked at."""
        return SILENT

    def read(
        self, token: str, key: str, record: Record | None, now: int, logged: set[str] | None = None
    ) -> tuple[StoreState, dict[str, Any]] | None:
        """The session in a token's record; None where there is no record that counts."""
        # The one boundary: whatever is in the record, the application sees no more than an empty session.
        try:
            if record is None or record.expires <= now or is_marker(record):
                self._rejections.log("unknown", token, logged)
                return None
            sealed_head, sealed = split(record)
            payload = self.records.unseal(token, key, sealed)
            known = self._known
            data, metadata = unpack(self.serializer, payload) if known is None else known.unpack(payload)
            created = metadata.get(CREATED)
            if created is None:
                raise BadToken("bad_payload")
            self.lifetimes.check_age(created, now)
        except Exception as error:  # noqa: BLE001 (a record can never cause an exception)
            if isinstance(error, BadToken) and error.reason == "expired":
                self._rejections.rejected(token, error, logged)
            else:
                self._rejections.unreadable(token, key)
            return None
        is_current = self.records.is_current(sealed)
        if not is_current:
            self._rejections.old_key(token, "stored session")
        state = StoreState()
        state.begin(self, created, metadata, token, payload, data.get("_permanent") is True)
        state.found(key, record, is_current and self.records.is_listed_well(sealed_head))
        return state, data

    def info(self, key: str, record: Record, now: int) -> SessionInfo | None:
        """What a list of a principal's sessions says of a record; None where no visitor could use it.

        Raises:
            StoreError: It is not known whether all sessions were ended.
        """
        described = self.described(key, record, now)
        if described is None or self.endings.has_ended_with_everyone(described[1]):
            return None
        return described[0]

    def described(self, key: str, record: Record, now: int) -> tuple[SessionInfo, int] | None:
        """What a record says of its session, and the mark of its beginning; None where it is too old, or not ours.

        Whether all sessions have ended since is not asked.
        """
        created, (sealed_head, sealed) = created_of(record), split(record)
        if created is None or record.expires <= now or not self.records.is_ours(key, sealed):
            return None
        try:
            self.lifetimes.check_age(created, now)
        except ExpiredToken:
            return None
        listed = read_head(self.records.open_head(key, sealed_head))
        idle = listed.get(LIFETIME, self.lifetimes.idle)
        last_used = max(created, min(now, record.expires - idle))
        # Where the head does not tell, only the second is known in which it began.
        mark = read_mark(listed.get(SINCE), created + 1)
        return SessionInfo(key, created, last_used, listed.get(LABEL), BOUND in listed), mark

    def companion(self, key: str, record: Record) -> str | None:
        """The key of the record that ends with a session; None where there is none."""
        name: str | None = read_head(self.records.open_head(key, split(record)[0])).get(COMPANION)
        return None if name is None else companion_key(name)

    def end_companion(self, name: str, principal: str) -> None:
        """End a companion, and those sessions of its principal that end with it, where the store lists them.

        Raises:
            StoreError: The store does not answer.
        """
        key = companion_key(name)
        self.store.delete(key)
        if self.is_indexed:
            end_sessions_with(self, principal, key)

    def warn(self, problem: str, key: str) -> None:
        """Log that the store failed where the request goes on; with a traceback once a minute at most."""
        now = time.monotonic()
        shows = now - self._showed_at >= _SECONDS_BETWEEN_TRACEBACKS
        if shows:
            self._showed_at = now
        logger.warning(problem, key[:8], exc_info=shows)

    def _candidates(self, header: str, logged: set[str]) -> list[str]:
        tokens = []
        for value in self.cookie.values(header):
            if SHAPE.fullmatch(value):
                tokens.append(value)
            else:
                self._rejections.log("malformed", value, logged)
                self.notices.rejected(value)
        return tokens
