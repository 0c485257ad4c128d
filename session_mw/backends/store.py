"""Sessions whose data live in a store; the cookie holds a random token."""

from __future__ import annotations

import logging
import time

from session_mw.backends.contention import Tries, give_way
from session_mw.backends.payload import Lifetimes, changed_payload, is_empty, pack
from session_mw.backends.record_format import sealed_in
from session_mw.backends.store_writer import StoreWriter
from session_mw.codecs.records import Records
from session_mw.cookies import SessionCookie
from session_mw.exceptions import StoreError
from session_mw.protocols import Record, Serializer, Store
from session_mw.session import Session

logger = logging.getLogger("session_mw")


class StoreHome(StoreWriter):
    """Loads sessions from records, and answers with the Set-Cookie texts that the visitor needs.

    Args:
        store: Where the records are.
        records: Payloads to a record's data and back.
        serializer: Data to payloads and back.
        cookie: The cookie that carries the token.
        lifetimes: For how long a record lives.
        refresh: Whether a permanent session's cookie is sent again when only its record's end was moved.
    """

    def __init__(
        self,
        store: Store,
        records: Records,
        serializer: Serializer,
        cookie: SessionCookie,
        lifetimes: Lifetimes,
        refresh: bool,
    ) -> None:
        super().__init__(store, records, serializer, cookie, lifetimes)
        self._refresh_on = refresh

    def save(self, session: Session) -> list[str]:
        """Write what has changed since the last call.

        Returns:
            The Set-Cookie texts: the new cookie, or its deletion, or none.

        Raises:
            NotSerializable: A value cannot be written.
            StoreError: The store does not answer; nothing is promised to the visitor then.
        """
        if session._dropped:
            return []
        now = int(time.time())
        if session._ended:
            return self._end(session, now)
        if session._renewed and session._token and not session._sent:
            return self._renew(session, now)
        payload = changed_payload(self._serializer, session) if session._dirty or session._exposed else None
        if not session._token:
            return [] if payload is None or is_empty(session) else self._create(session, payload, now)
        if payload is not None and (session._forced or payload != session._payload):
            return self._update(session, payload, now)
        return self._keep_alive(session, now)

    # Writing

    def _create(self, session: Session, payload: bytes, now: int) -> list[str]:
        token, key = self._new_record(session, payload, now)
        self._saved(session, token, key, payload)
        return self._send(session, now)

    def _update(self, session: Session, payload: bytes, now: int) -> list[str]:
        record: Record | None = session._record
        give_way(session._key)
        if record is not None and self._replaced(session, payload, now, record):
            self._saved(session, session._token, session._key, payload)
            return self._send_if_it_moves(session, now)
        tries = Tries()
        with tries.turn(session._key):
            while (record := self._take_over(session, now)) is not None:
                payload = pack(self._serializer, session)
                if self._replaced(session, payload, now, record):
                    self._saved(session, session._token, session._key, payload)
                    return self._send_if_it_moves(session, now)
                tries.pause()
        return self._gone(session)

    def _renew(self, session: Session, now: int) -> list[str]:
        old_key = session._key
        tries = Tries()
        with tries.turn(old_key):
            while (record := session._record or self._take_over(session, now)) is not None:
                payload = pack(self._serializer, session)
                token, key = self._new_record(session, payload, now)
                # From here on nobody can write to the old record, and what was written before is in the new one.
                if self._moved(old_key, key, record, self._index(session)):
                    self._delete_quietly(old_key)
                    self._saved(session, token, key, payload)
                    return self._send(session, now)
                session._record = None
                tries.pause()
        return self._gone(session)

    def _end(self, session: Session, now: int) -> list[str]:
        known = session._key
        if known:
            self.store.delete(known)
        self._forget(session)
        session._ended = session._renewed = session._refresh_only = False
        # Once the headers are out, no cookie can tell the visitor of another id.
        if not is_empty(session) and not session._sent:
            return self._create(session, pack(self._serializer, session), now)
        session._dirty = session._forced = False
        return [] if not known else [self._cookie.delete(session._https)]

    def _keep_alive(self, session: Session, now: int) -> list[str]:
        record = session._record
        session._dirty = session._forced = False
        if record is None:
            return []
        if not self._records.is_current(sealed_in(record)):
            return self._reseal(session, now)
        expires = self._lifetimes.expires(session._created, now)
        if abs(expires - record.expires) * 10 < self._lifetimes.idle or not self._touch(session._key, expires - now):
            return []
        session._record = record._replace(expires=expires)
        session._refresh_only = True
        return self._send(session, now) if self._refresh_on and session._was_permanent else []

    def _reseal(self, session: Session, now: int) -> list[str]:
        try:
            cookies = self._update(session, pack(self._serializer, session), now)
        except StoreError:
            problem = "the stored session %s… was read, but could not be written with the current key"
            logger.warning(problem, session._key[:8], exc_info=True)
            return []
        session._refresh_only = True
        return cookies if self._refresh_on else []

    def _gone(self, session: Session) -> list[str]:
        logger.info("the session %s… was ended by another request; its changes are dropped", session._key[:8])
        self._forget(session)
        session._dirty = session._forced = session._renewed = False
        session._dropped = True
        return []

    def _forget(self, session: Session) -> None:
        session._token = session._key = ""
        session._payload, session._record = b"", None

    def _saved(self, session: Session, token: str, key: str, payload: bytes) -> None:
        session._token, session._key = token, key
        session._payload, session._record = payload, None
        session._dirty = session._forced = session._renewed = session._ended = session._refresh_only = False
        session._exposed = True

    # Answering

    def _send_if_it_moves(self, session: Session, now: int) -> list[str]:
        permanent = dict.get(session, "_permanent") is True
        if not (permanent or session._was_permanent):
            return []
        return self._send(session, now)

    def _send(self, session: Session, now: int) -> list[str]:
        permanent = session._was_permanent = dict.get(session, "_permanent") is True
        expires = self._lifetimes.expires(session._created, now) if permanent else None
        return [self._cookie.set(session._token, session._https, expires)]
