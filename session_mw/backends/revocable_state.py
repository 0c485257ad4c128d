"""What one request knows of a session in a cookie that can be ended, and how it is saved."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from session_mw.backends.cookie import CookieState
from session_mw.backends.payload import unpack
from session_mw.backends.revocations.entries import (
    MICROSECONDS,
    NO_DIGEST,
    RENEWED,
    SESSION_ID,
    Entry,
    Facts,
    Since,
    digest_of_companion,
    digest_of_id,
    digest_of_principal,
    public_id,
)
from session_mw.cookies import MAX_COOKIE
from session_mw.exceptions import BadToken, CookieTooLarge, StoreError
from session_mw.lazy_dict import SENT, WRITTEN
from session_mw.session import Session
from session_mw.state import (
    COMPANION,
    END,
    KEEP,
    LIFETIME,
    MAX_OWN_LIFETIME,
    PRINCIPAL,
    RENEW,
    SID,
    SINCE,
    VARIES,
    Outcome,
)

if TYPE_CHECKING:
    from session_mw.backends.revocable import RevocableBackend

logger = logging.getLogger("session_mw")

NO_FACTS = Facts(NO_DIGEST, NO_DIGEST, 0, 0, 0)
"""Of a session that nobody has yet."""


class RevocableState(CookieState):
    """What is known of a session in a cookie that can be ended.

    Attributes:
        late: Whether the request came with an id that was changed a short time ago. Nothing is saved of it, unless
            it changes the id itself.
        gone: Whether another request ended the session. Nothing is saved of it any more.
        facts: What says whether the session has ended, as it was read.
    """

    __slots__ = ("_ending", "_succeeds", "facts", "gone", "late")

    _backend: RevocableBackend

    def found(self, facts: Facts) -> None:
        """Be the state of what a token holds, or of nothing, after :meth:`begin`."""
        self.facts = facts
        self.late = self.gone = False
        # Whether the next save begins a session that does not depend on the former one.
        self._succeeds = False
        # The metadata of what the next save ends.
        self._ending: tuple[Mapping[str, Any], ...] = ()

    def came_late(self) -> None:
        """Be the state of a request whose id was changed meanwhile, after :meth:`found`."""
        self.late = True

    def found_several(self, states: list[RevocableState]) -> None:
        """Be the state of a request with several authentic cookies, none of which is trusted."""
        self.may_have_duplicates = True
        self._ending = tuple(state.metadata for state in states)

    @property
    def id(self) -> str | None:
        """The session's id, which is safe to log; None while it is about to change."""
        return public_id(self.metadata) if self.token and self.intent == KEEP else None

    @property
    def saved_id(self) -> str:
        """The id in its token; empty where that has none."""
        sid: str = self.metadata.get(SID, "") if self.token else ""
        return sid

    def set_metadata(self, key: str, value: Any) -> None:
        """Keep a value beside the data; remember when the session became its principal's."""
        if key == PRINCIPAL and value is not None and value != self.principal:
            mark = self._backend.endings.exact_mark()
            since = self._since()
            begins = not self.token or self.intent == END
            self._keep_since(Since(mark, mark, 0, since.longest) if begins else since._replace(owned=mark))
        elif key == LIFETIME and value is not None:
            since = self._since()
            self._keep_since(since._replace(longest=max(since.longest, value)))
        super().set_metadata(key, value)

    def succeed(self, now: int) -> None:
        """Have the next save put a new session in this one's place, also where that has ended by then."""
        super().succeed(now)
        self._succeeds, self.gone = True, False

    def end(self) -> None:
        """Have the next save end the session."""
        if self.token and self.intent != END:
            # What is saved, not what this request has set since.
            self._ending = (*self._ending, unpack(self._backend.serializer, self.payload)[1])
        super().end()

    def begin_anew(self, now: int) -> None:
        """Let the life of the session begin at ``now`` (Unix time)."""
        super().begin_anew(now)
        # An invalidated session that holds nothing yet gets it when it is saved.
        if SINCE in self.metadata or (self.token and self.intent != END):
            mark = self._backend.endings.exact_mark()
            self._keep_since(Since(mark, mark, 0, self._since().longest))

    def outlive(self, principal: str, time: int) -> None:
        """Be younger than the ending of a principal's sessions that was to leave this one.

        The ending names the id that the session has now. What is written in this request may have another one, or
        be the principal's only from now on.

        Args:
            time: That of the ending, in microseconds.
        """
        since = self._since()
        if not self.token or self.intent == END:
            self._keep_since(Since(time, time, 0, since.longest))
            return
        self._keep_since(since._replace(owned=time))
        if not self.facts.id and self.facts.principal == digest_of_principal(principal):
            # Without an id it could not be named: a new token has to say that it lives.
            self.facts = self.facts._replace(owned=time)
            self.renew()

    def may_end_late(self) -> bool:
        """Whether it can be remembered that the session has ended, which needs no cookie."""
        return any(SID in metadata for metadata in self._ending)

    def save(self, session: Session) -> Outcome:
        """Write what has changed since the last call, or refresh the cookie.

        Raises:
            NotSerializable: A value cannot be written.
            CookieTooLarge: A browser would not keep the cookie.
            StoreError: The end of the session could not be written; or it is not known whether it has ended.
        """
        if not (self.intent or self.late or self.gone):
            # super() would take as long as all that stands here.
            outcome: Outcome = CookieState.save(self, session)
            return outcome
        if self.gone or (self.late and self.intent != RENEW):
            return self._leave(session)
        if self.intent == END:
            if session._phase < SENT:
                # What cannot be sent raises before the end is written.
                self._check_size(session)
            if not self._end_former():
                return self._dropped(session)
            if session._phase >= SENT:
                return self._ended(session)
        if self.intent == RENEW and self.token and session._phase < SENT:
            return self._renew(session)
        self.late = False
        return super().save(session)

    def _write(self, session: Session, payload: bytes, now: int) -> Outcome:
        if self.intent == KEEP and self.token and self._backend.endings.has_ended(self.facts):
            return self._dropped(session)
        outcome = super()._write(session, payload, now)
        self.facts = facts_of(self.metadata, self.created) if self.token else NO_FACTS
        return outcome

    def _refresh(self, session: Session, now: int) -> Outcome:
        try:
            if self._backend.endings.has_ended(self.facts):
                return self._dropped(session)
        except StoreError:
            return VARIES
        return super()._refresh(session, now)

    def _since(self) -> Since:
        written = self.metadata.get(SINCE)
        if written is not None:
            return Since.read(written)
        if self.token and self.intent != END:
            return _since_created(self.created)
        mark = self._backend.endings.mark()
        return Since(mark, self._backend.endings.ledger.newest)

    def _keep_since(self, since: Since) -> None:
        self.metadata = {**self.metadata, SINCE: since.written()}

    def missing_metadata(self) -> Mapping[str, Any]:
        """As for every session in a cookie; and an id, for one that has none."""
        missing = super().missing_metadata()
        if SID in self.metadata:
            return missing
        if not self.token:
            self._backend.endings.follow_if_possible()
        since = self._since()
        if self.lifetime is not None:
            since = since._replace(longest=max(since.longest, self.lifetime))
        return {**missing, SID: _new_id(), SINCE: since.written()}

    def _end_former(self) -> bool:
        """Write that the session, and what came beside it, has ended; False where it has another id meanwhile."""
        endings = self._backend.endings
        digests = {digest: longest for one in self._ending for digest, longest in _digests(one)}
        companions = [one[COMPANION] for one in self._ending if COMPANION in one]
        if not digests:
            return True
        own, late = self.facts.id, False

        def entries() -> list[Entry]:
            nonlocal late
            late = own in digests and endings.is_late(own)
            if late:
                return []
            for name in companions:
                endings.forget_companion(name)
            new = [(one, longest) for one, longest in digests.items() if not endings.ledger.is_ended_id(one)]
            return [endings.ended(one, longest) for one, longest in new]

        endings.append(entries)
        self._ending = ()
        return not late

    def _renew(self, session: Session) -> Outcome:
        """Save under a new id, and end the old one.

        That stands in the store before the new cookie is sent. Whether the session has ended meanwhile is
        seen when it is written, so that an ``end`` elsewhere comes either before, and holds, or after, and knows
        the new id.
        """
        endings, former = self._backend.endings, self.metadata
        facts, since, gone = self.facts, self._since(), False

        def entries() -> list[Entry]:
            nonlocal gone
            gone = endings.ledger.has_ended(facts) and not self._succeeds
            if gone:
                return []
            # One that was kept by end_all goes on under its new id.
            kept = endings.ledger.kept_from(facts) if facts.principal == _digest(self.principal) else 0
            renewed = since._replace(owned=max(since.owned or since.begun, kept)) if kept else since
            self.metadata = {**former, SID: _new_id(), SINCE: renewed.written()}
            self._check_size(session)
            new = digest_of_id(self.metadata[SID])
            return [endings.ended(facts.id, since.longest, kind=RENEWED, other=new)] if facts.id else []

        try:
            endings.append(entries)
        except BaseException:
            self.metadata = former
            raise
        return self._dropped(session) if gone else self._write(session, self.packed(session), int(time.time()))

    def _check_size(self, session: Session) -> None:
        if not self.is_empty(session):
            token = self._backend.codec.encode(self.packed(session), self.created, int(time.time()))
            if len(token) > self._backend.max_token:
                raise CookieTooLarge(len(token) + len(self._backend.cookie.name), MAX_COOKIE, self._largest(session))

    def _leave(self, session: Session) -> Outcome:
        """Save nothing, and send nothing: the browser has another session's cookie, or is about to get it."""
        if self.late and session._changes >= WRITTEN:
            logger.info("a session got a new id while this request was under way; what it changed is dropped")
        return self.leave(session)

    def _dropped(self, session: Session) -> Outcome:
        logger.info("the session %s was ended by another request; its changes are dropped", self.metadata.get(SID))
        return self._ended(session)

    def _ended(self, session: Session) -> Outcome:
        self.token, self.payload = "", b""
        self.intent, self.gone = KEEP, True
        session._committed()
        return VARIES


def facts_of(metadata: Mapping[str, Any], created: int) -> Facts:
    """What says whether a session has ended.

    Args:
        metadata: Its metadata, as they are saved.
        created: Unix time at which it began, or its token was written.

    Raises:
        BadToken: ``bad_payload``: the metadata are no session's.
    """
    sid, since, companion = metadata.get(SID), metadata.get(SINCE), metadata.get(COMPANION)
    if sid is not None and not SESSION_ID.fullmatch(sid):
        raise BadToken("bad_payload")
    begun, seen, owned, _ = _since_created(created) if since is None else Since.read(since)
    return Facts(
        NO_DIGEST if sid is None else digest_of_id(sid),
        _digest(metadata.get(PRINCIPAL)),
        begun,
        seen,
        owned or begun,
        NO_DIGEST if companion is None else digest_of_companion(companion),
    )


def _digest(principal: str | None) -> int:
    return NO_DIGEST if principal is None else digest_of_principal(principal)


def _since_created(created: int) -> Since:
    # The second in which it began was before whatever else happened in it. It knew of all endings until then.
    mark = created * MICROSECONDS
    return Since(mark, mark)


def _digests(metadata: Mapping[str, Any]) -> Iterator[tuple[int, int]]:
    """The digests of a session's id and of its companion, where it has them, each with the longest own lifetime."""
    if SID in metadata:
        yield digest_of_id(metadata[SID]), Since.read(metadata[SINCE]).longest if SINCE in metadata else 0
    if COMPANION in metadata:
        # Of all sessions that end with it.
        yield digest_of_companion(metadata[COMPANION]), MAX_OWN_LIFETIME


def _new_id() -> str:
    return secrets.token_urlsafe(16)
