"""Sessions in cookies that can be ended: it is remembered which have ended, and every process knows."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from session_mw.backends.cookie import CookieBackend, CookieState
from session_mw.backends.payload import unpack
from session_mw.backends.revocable_state import NO_FACTS, RevocableState, facts_of
from session_mw.backends.revocations.entries import MICROSECONDS, Facts
from session_mw.backends.revocations.follower import Revocations
from session_mw.backends.token_cache import MAX_PAYLOAD_KEPT
from session_mw.cookies import MAX_CANDIDATES
from session_mw.exceptions import StoreError
from session_mw.session import Session
from session_mw.state import COMPANION, CREATED, LIFETIME, NO_METADATA, SID, SILENT, SINCE, Outcome, SessionState

_MAX_READ = 256


class _Read(NamedTuple):
    """What is in a payload, made out once."""

    facts: Facts | None
    """None where they depend on the token's time too: it has no id."""
    metadata: Mapping[str, Any]
    data: bytes
    """The payload without the metadata."""
    lifetime: int | None


class RevocableBackend(CookieBackend):
    """Loads sessions from tokens, of which none is accepted that has ended.

    Args:
        endings: Knows which sessions have ended.
        *arguments: Those of :class:`~session_mw.backends.cookie.CookieBackend`.
    """

    def __init__(self, endings: Revocations, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.judges = True
        self.endings = endings
        # By payload, which stays the same when a token is refreshed.
        self._read: dict[bytes, _Read] = {}

    def load(self, session: Session) -> tuple[CookieState, dict[str, Any]]:
        """The one token in the Cookie header that can be trusted, if there is one: its state and its data.

        Raises:
            StoreError: It is not known any more which sessions have ended.
        """
        clock = time.time()
        now = int(clock)
        tokens = self.cookie.values(session._header)
        if len(tokens) > 1:
            tokens = self._shaped(tokens)
        endings, found, is_late = self.endings, [], False
        logged: set[str] | None = None if len(tokens) == 1 else set()
        for token in tokens if len(tokens) <= MAX_CANDIDATES else ():
            one = self._find(token, now, logged)
            if one is None:
                continue
            if not endings.fresh_from <= clock < endings.fresh_until:
                endings.follow()
            facts = one[0].facts
            if endings.ledger.has_ended(facts):
                if len(tokens) == 1 and self._was_under_way(session, one[0]):
                    one[0].came_late()
                    return one
                is_late |= endings.is_late(facts.id)
                self._rejections.log("ended", token, logged)
            elif len(tokens) == 1:
                return one if self.guard is None else self._admitted(session, one, now)
            else:
                found.append(one)
        if len(found) == 1:
            return self._admitted(session, found[0], now, logged)
        fresh = self._fresh(now)
        if found or len(tokens) > MAX_CANDIDATES:
            # One of them may have been planted: none is trusted.
            admitted = [state for state, _ in found if self._admits(session, state, logged)]
            fresh.found_several(admitted)
            self._rejections.log("ambiguous" if found else "too_many", session._header)
        elif is_late:
            fresh.came_late()
        return fresh, {}

    def _fresh(self, now: int) -> RevocableState:
        state: RevocableState = RevocableState()
        state.begin(self, now, {CREATED: now} if self.keeps_created else NO_METADATA)
        state.found(NO_FACTS)
        return state

    def _was_under_way(self, session: Session, state: RevocableState) -> bool:
        """Whether the request was sent before its browser had the cookie of the session that it has just bound.

        It can read the session; what it writes is not saved.
        """
        if self.guard is None or state.principal is None or state.device_bound:
            return False
        renewed = self.endings.ledger.renewed_at(state.facts)
        if renewed is None:
            return False
        return self.guard.was_under_way(session, self.guard.name_of(state), renewed // MICROSECONDS)

    def _admits(self, session: Session, state: RevocableState, logged: set[str] | None) -> bool:
        return self.guard is None or self.guard.admits(session, state, self._rejections, logged)

    def _find(
        self, token: str, now: int, logged: set[str] | None = None
    ) -> tuple[RevocableState, dict[str, Any]] | None:
        """The session in a token; None where it is rejected."""
        # As in the base class, but that metadata and facts of a payload are made out only once.
        try:
            payload, written, created, current = self.tokens.open(token)
            facts, metadata, written_data, lifetime = self._read.get(payload) or self._read_payload(payload)
            data = self.serializer.loads(written_data)
            self.lifetimes.check_written(written, now, lifetime)
            created = metadata.get(CREATED, written if created is None else created)
            self.lifetimes.check_created(created, now)
            if facts is None:
                facts = facts_of(metadata, created)
        except Exception as error:  # noqa: BLE001 (a client can never cause an exception)
            self._reject(token, error, logged)
            return None
        if not current:
            self._rejections.old_key(token)
        state = RevocableState()
        state.begin(self, created, metadata, token, payload, data.get("_permanent") is True)
        state.found(facts)
        return state, data

    def _read_payload(self, payload: bytes) -> _Read:
        data, metadata = unpack(self.serializer, payload)
        facts = facts_of(metadata, 0) if SID in metadata and SINCE in metadata else None
        read = _Read(facts, metadata, self.serializer.dumps(data) if metadata else payload, metadata.get(LIFETIME))
        if facts is not None and len(payload) <= MAX_PAYLOAD_KEPT:
            if len(self._read) >= _MAX_READ:
                self._read.clear()
            self._read[payload] = read
        return read

    def is_known_to_live(self, session: Session, payload: bytes) -> bool:
        """Whether the session with this payload may be refreshed unread; any other is read first."""
        read = self._read.get(payload)
        if read is None or read.facts is None or self.endings.has_ended(read.facts):
            return False
        return super().is_known_to_live(session, payload)

    def save_unread(self, session: Session) -> Outcome:
        """Refresh a permanent session that nobody looked at; none of which it is not known whether it has ended."""
        try:
            return super().save_unread(session)
        except StoreError:
            return SILENT

    def end_all(self, principal: str, kept: SessionState | None) -> int:
        """End all sessions of a principal but one; 0, since nobody counts them.

        Raises:
            StoreError: It could not be written.
        """
        ours = kept if isinstance(kept, RevocableState) else None
        facts = None if ours is None or not ours.token else ours.facts
        companion = None if ours is None else ours.metadata.get(COMPANION)
        time, lives = self.endings.end_principal(principal, facts, companion)
        if ours is not None and lives:
            ours.outlive(principal, time)
        return 0

    def end_companion(self, name: str, principal: str) -> None:
        """End a companion, and all sessions that end with it.

        Raises:
            StoreError: It could not be written.
        """
        self.endings.end_companion(name)
