"""Saving of stored sessions: none over what another request wrote or ended.

Each record has a version. A save replaces the record only where it still has the version that was read
(compare-and-set, which every store offers). Where it has another, the newer data are read, this request's changes are
put on top, and the save is tried again. Where the record is gone, another request logged the visitor out: the changes
are dropped, and no cookie is sent, so that a log-out is never undone and a parallel log-in's new cookie stays.

A new id takes two steps. Their order matters, since other requests go on meanwhile:

    1  create   the new record                   a visitor is never without one
    2  end      the old record, by its version   from here on nobody can write to it; if somebody has written since it
                                                 was read, the new record goes and all begins again with the newer data

What is left of the old record tells for a minute that its session has another id. A request that was sent before the
browser knew the new cookie is recognized by it: it must not replace that cookie, nor delete it.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Mapping
from typing import Any, Protocol

from session_mw.backends.contention import Tries, give_way
from session_mw.backends.kept_state import KeepingBackend, KeptState
from session_mw.backends.lifetimes import Lifetimes
from session_mw.backends.merge import merge, merge_metadata
from session_mw.backends.payload import unpack
from session_mw.backends.record_format import MARKER_TTL, companion_key, joined, key_of, marker, written_head
from session_mw.backends.revocations.entries import written_mark
from session_mw.backends.revocations.follower import Revocations
from session_mw.codecs.records import Records
from session_mw.csrf import CSRF_KEY
from session_mw.exceptions import StoreError
from session_mw.lazy_dict import FORCED, SENT, WRITTEN
from session_mw.notices import Notices
from session_mw.protocols import Record, Store
from session_mw.session import Session
from session_mw.state import COMPANION, END, KEEP, LIFETIME, PRINCIPAL, RENEW, SINCE, VARIES, Outcome

logger = logging.getLogger("session_mw")


class RecordBackend(KeepingBackend, Protocol):
    """What a state needs of the backend that made it."""

    store: Store
    records: Records
    lifetimes: Lifetimes
    refresh: bool
    notices: Notices
    is_indexed: bool
    endings: Revocations

    def warn(self, problem: str, key: str) -> None:
        """Log that the store failed where the request goes on."""

    def read(self, token: str, key: str, record: Record | None, now: int) -> tuple[StoreState, dict[str, Any]] | None:
        """The session in a token's record; None where there is no record that counts."""


class StoreState(KeptState[RecordBackend]):
    """What is known of a session whose data live in a store.

    Attributes:
        key: What the store calls the record; empty where there is no saved session.
        record: The record as it was read; None after it was written.
        gone: Whether another request ended the session. Nothing is saved of it any more.
        late: Whether the request came with an id that was changed meanwhile. Nothing is saved of it, unless it
            changes the id itself.
    """

    __slots__ = (
        "_begins_another",
        "_is_current",
        "_others",
        "_succeeds",
        "_told_permanent",
        "_was_logged",
        "gone",
        "key",
        "late",
        "record",
    )

    def __init__(self) -> None:
        self.key = ""
        self.record: Record | None = None
        self.gone = self.late = self._begins_another = self._was_logged = False
        # The ids of several sessions that came together. A log-out ends them all.
        self._others: list[str] = []
        # Whether the next save begins a session that does not depend on the old record.
        self._succeeds = False
        # Whether the browser has a cookie with an Expires, which has to move with the record's end.
        self._told_permanent = False
        self._is_current = True

    def found(self, key: str, record: Record, is_current: bool) -> None:
        """Be the state of a record that was read, after :meth:`begin`.

        Args:
            is_current: Whether the record would be sealed with the same key today.
        """
        self.key, self.record, self._is_current = key, record, is_current
        self._told_permanent = self.permanent

    def found_several(self, keys: list[str]) -> None:
        """Be the state of a request with several authentic cookies, none of which is trusted."""
        self.may_have_duplicates, self._others = True, keys

    def came_late(self) -> None:
        """Be the state of a request whose id was changed meanwhile."""
        self.late = True

    def renew(self) -> None:
        """Have the next save change the id. A request that came late begins a session of its own by it."""
        super().renew()
        self._begins_another = self.late

    @property
    def id(self) -> str | None:
        """The store's key, which is safe to log; None while it is about to change."""
        return self.key if self.key and self.intent == KEEP else None

    @property
    def saved_id(self) -> str:
        """The store's key."""
        return self.key

    def succeed(self, now: int) -> None:
        """Have the next save put a new session in this one's place, also where the old record is gone by then."""
        super().succeed(now)
        self._succeeds, self.gone = True, False

    def begin_anew(self, now: int) -> None:
        """Let the life of the session begin at ``now`` (Unix time)."""
        super().begin_anew(now)
        self.set_metadata(SINCE, written_mark(self._backend.endings.own_mark()))

    def packed(self, session: Session) -> bytes:
        """The payload of what the session holds now; one that begins gets the mark of its beginning.

        Raises:
            NotSerializable: A value cannot be written, or a key has a name that is reserved.
        """
        if not self.token and SINCE not in self.metadata:
            self.set_metadata(SINCE, written_mark(self._backend.endings.own_mark()))
        return super().packed(session)

    def may_save_late(self) -> bool:
        """Whether the visitor knows the session's id already, so that a change needs no cookie."""
        return bool(self.token)

    def may_end_late(self) -> bool:
        """Whether there is a record to delete, which needs no cookie."""
        return bool(self.token or self._others)

    def save(self, session: Session) -> Outcome:
        """Write what has changed since the last call, or move the record's end.

        Raises:
            NotSerializable: A value cannot be written.
            StoreError: The store does not answer; nothing is promised to the visitor then.
        """
        if self.gone or (self.late and (not self._begins_another or self.is_empty(session))):
            return self._leave(session)
        if self.rejected and self.principal is None:
            return self.leave(session)
        now = int(time.time())
        if self.intent == END:
            return self._end(session, now)
        if self.intent == RENEW and self.token and session._phase < SENT:
            return self._renew(session, now)
        payload = self.changed(session) if session._changes else None
        if not self.token:
            if payload is not None and not self.is_empty(session):
                return self._create(session, payload, now)
            self.intent = KEEP
            return VARIES
        if payload is not None and (session._changes == FORCED or payload != self.payload):
            return self._update(session, payload, now)
        return self._keep_alive(session, now)

    def _create(self, session: Session, payload: bytes, now: int) -> Outcome:
        token, key = self._new_record(payload, now)
        self._saved(session, token, key, payload)
        return self._tell(session, now)

    def _update(self, session: Session, payload: bytes, now: int) -> Outcome:
        record = self.record
        give_way(self.key)
        if record is not None and self._replace(payload, self.metadata, now, record):
            return self._updated(session, payload, now)
        tries = Tries()
        return tries.in_turn(self.key, lambda: self._update_newer(session, now, tries))

    def _update_newer(self, session: Session, now: int, tries: Tries) -> Outcome:
        while (record := self._catch_up(session, now)) is not None:
            payload = self.packed(session)
            if self._replace(payload, self.metadata, now, record):
                return self._updated(session, payload, now)
            tries.pause()
        return self._dropped(session)

    def _renew(self, session: Session, now: int) -> Outcome:
        tries = Tries()
        renewed = tries.in_turn(self.key, lambda: self._move_to_new_id(session, now, tries))
        if renewed is not None:
            return renewed
        if self._succeeds:
            # Two log-ins at once, a double click say: the browser may have dropped the other's answer.
            self._forget()
            return self._create(session, self.packed(session), now)
        return self._dropped(session)

    def _move_to_new_id(self, session: Session, now: int, tries: Tries) -> Outcome | None:
        """The two steps of a new id; None where the old record is gone."""
        store, old_key = self._backend.store, self.key
        while (record := self.record or self._catch_up(session, now)) is not None:
            payload = self.packed(session)
            token, key = self._new_record(payload, now)
            try:
                # The marker stays in the principal's index until it expires, so that a parallel
                # end_all() lists again and finds the new record.
                ended = store.update(old_key, marker(now), MARKER_TTL, record.version, **self._index(self.metadata))
            except StoreError:
                # Keys may be on different hosts: the new one's can be up while the old one's is down.
                self._delete_quietly(key)
                raise
            if ended:
                self._saved(session, token, key, payload)
                return self._tell(session, now)
            store.delete(key)
            self.record = None
            tries.pause()
        return None

    def _end(self, session: Session, now: int) -> Outcome:
        known = self.key
        # Once the headers are out, no cookie can tell the visitor of another id.
        begins = not self.is_empty(session) and session._phase < SENT
        if begins:
            # What cannot be written raises before anything is deleted.
            self.packed(session)
        # The metadata are those of what follows by now.
        if self.payload and (companion := unpack(self._backend.serializer, self.payload)[1].get(COMPANION)):
            self._backend.store.delete(companion_key(companion))
        for key in (known, *self._others) if known else self._others:
            self._backend.store.delete(key)
        self._forget()
        self._others = []
        if begins:
            return self._create(session, self.packed(session), now)
        self.intent = KEEP
        session._committed()
        return self.outcome(session, self.deletion(session, known != ""))

    def _keep_alive(self, session: Session, now: int) -> Outcome:
        """Move the record's end, at most once in a tenth of the lifetime; re-encrypt it where an old key was used."""
        backend, record, lifetime = self._backend, self.record, self.saved_metadata().get(LIFETIME)
        self.intent = KEEP
        session._committed()
        if record is None:
            return VARIES
        if not self._is_current:
            return self._re_encrypt(session, record, now)
        expires = backend.lifetimes.expires(self.created, now, lifetime)
        idle = backend.lifetimes.idle if lifetime is None else lifetime
        if abs(expires - record.expires) * 10 < idle or not self._touch(expires - now):
            return VARIES
        self.record = record._replace(expires=expires)
        return self._tell(session, now, refresh_only=True) if backend.refresh and self._told_permanent else VARIES

    def _touch(self, ttl: int) -> bool:
        try:
            return self._backend.store.touch(self.key, max(ttl, 1))
        except StoreError:
            self._backend.warn("the stored session %s… was read, but its end could not be moved", self.key)
            return False

    def _re_encrypt(self, session: Session, record: Record, now: int) -> Outcome:
        try:
            if not self._replace(self.payload, self.saved_metadata(), now, record):
                # Another request wrote it meanwhile, with the current key.
                return VARIES
        except StoreError:
            problem = "the stored session %s… was read, but could not be written with the current key"
            self._backend.warn(problem, self.key)
            return VARIES
        self.record = None
        return self._tell(session, now, refresh_only=True) if self._backend.refresh and self.permanent else VARIES

    def _leave(self, session: Session) -> Outcome:
        """Save nothing, and send nothing: the browser has another session's cookie, or is about to get it."""
        is_loss = self.late and not self._begins_another and session._changes >= WRITTEN
        if is_loss and not self._was_logged:
            self._was_logged = True
            logger.info("a session got a new id while this request was under way; what it changed is dropped")
        return self.leave(session)

    def _dropped(self, session: Session) -> Outcome:
        logger.info("the session %s… was ended by another request; its changes are dropped", self.key[:8])
        self._forget()
        self.intent, self.gone = KEEP, True
        session._committed()
        return VARIES

    def _forget(self) -> None:
        self.token, self.key, self.payload, self.record = "", "", b"", None

    def _saved(self, session: Session, token: str, key: str, payload: bytes) -> None:
        self.token, self.key, self.payload, self.record = token, key, payload, None
        self.permanent = dict.get(session, "_permanent") is True
        self.intent, self._baseline, self.late = KEEP, None, False
        self._succeeds = False
        session._committed()

    def _new_record(self, payload: bytes, now: int) -> tuple[str, str]:
        token = secrets.token_urlsafe(32)
        key = key_of(token)
        if not self._backend.store.create(
            key,
            self._sealed(token, key, payload, self.metadata),
            self._ttl(now, self.metadata),
            **self._index(self.metadata),
        ):
            raise StoreError("the store says that a new random key is taken; session_mw.testing.StoreContract tests it")
        return token, key

    def _replace(self, payload: bytes, metadata: Mapping[str, Any], now: int, record: Record) -> bool:
        """Write over a record that is still as it was read; False if it is not."""
        data, ttl = self._sealed(self.token, self.key, payload, metadata), self._ttl(now, metadata)
        return self._backend.store.update(self.key, data, ttl, record.version, **self._index(metadata))

    def _catch_up(self, session: Session, now: int) -> Record | None:
        """Bring in what others have saved since; None: the session was ended."""
        backend = self._backend
        found = backend.read(self.token, self.key, backend.store.load(self.key), now)
        if found is None:
            return None
        newer, data = found
        if self.intent == RENEW:
            # Who planted the old id may just have had a secret made for it.
            data.pop(CSRF_KEY, None)
        base, base_metadata = unpack(backend.serializer, self.payload)
        session._replace_data(merge(backend.serializer, base, session._plain(), data))
        self.metadata = merge_metadata(backend.serializer, base_metadata, self.metadata, newer.metadata)
        self.record, self.payload = newer.record, newer.payload
        return newer.record

    def _delete_quietly(self, key: str) -> None:
        try:
            self._backend.store.delete(key)
        except StoreError:
            self._backend.warn("the ended session %s… could not be removed; it expires by itself", key)

    def _sealed(self, token: str, key: str, payload: bytes, metadata: Mapping[str, Any]) -> bytes:
        records = self._backend.records
        head = records.seal_head(key, written_head(metadata))
        return joined(self.created, head, records.seal(token, key, payload))

    def _index(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """The argument that a store with an index takes besides those of all stores."""
        if not self._backend.is_indexed:
            return {}
        principal = metadata.get(PRINCIPAL)
        return {"principal": None if principal is None else self._backend.records.index_names(principal)[0]}

    def _ttl(self, now: int, metadata: Mapping[str, Any]) -> int:
        return max(1, self._backend.lifetimes.expires(self.created, now, metadata.get(LIFETIME)) - now)

    def _updated(self, session: Session, payload: bytes, now: int) -> Outcome:
        self._saved(session, self.token, self.key, payload)
        # The cookie holds only the id; it has to be sent where its Expires moves, comes or goes.
        return self._tell(session, now) if self.permanent or self._told_permanent else VARIES

    def _tell(self, session: Session, now: int, *, refresh_only: bool = False) -> Outcome:
        backend = self._backend
        self._told_permanent = self.permanent
        lifetime = self.saved_metadata().get(LIFETIME)
        expires = backend.lifetimes.expires(self.created, now, lifetime) if self.permanent else None
        text = backend.cookie.set(self.token, session._https, expires)
        if backend.notices.watch:
            backend.notices.sets_cookie(len(self.token) + len(backend.cookie.name), session)
        return self.outcome(session, [text], refresh_only)
