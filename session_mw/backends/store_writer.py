"""Writing of records: of one session, and none over what another request wrote or ended."""

from __future__ import annotations

import logging
import secrets
from typing import Any

from session_mw.backends.merge import merge
from session_mw.backends.payload import Lifetimes
from session_mw.backends.record_format import ENDED, joined, key_of
from session_mw.backends.store_reader import StoreReader
from session_mw.codecs.records import Records
from session_mw.cookies import SessionCookie
from session_mw.csrf import CSRF_KEY
from session_mw.exceptions import StoreError
from session_mw.protocols import Record, Serializer, Store, is_indexed
from session_mw.session import Session

logger = logging.getLogger("session_mw")

_ENDED_TTL = 60


class StoreWriter(StoreReader):
    """Writes the records of sessions; the arguments are those of :class:`StoreReader`."""

    def __init__(
        self, store: Store, records: Records, serializer: Serializer, cookie: SessionCookie, lifetimes: Lifetimes
    ) -> None:
        super().__init__(store, records, serializer, cookie, lifetimes)
        self._indexed = is_indexed(store)

    def _new_record(self, session: Session, payload: bytes, now: int) -> tuple[str, str]:
        token = secrets.token_urlsafe(32)
        key = key_of(token)
        data = self._sealed(session, token, key, payload)
        if not self.store.create(key, data, self._ttl(session, now), **self._index(session)):
            raise StoreError("the store says that a new random key is taken; session_mw.testing.StoreContract tests it")
        return token, key

    def _replaced(self, session: Session, payload: bytes, now: int, record: Record) -> bool:
        data = self._sealed(session, session._token, session._key, payload)
        ttl = self._ttl(session, now)
        return self.store.update(session._key, data, ttl, record.version, **self._index(session))

    def _moved(self, old_key: str, new_key: str, record: Record, index: dict[str, Any]) -> bool:
        """Whether the old record could be ended; if not, the new one goes again."""
        try:
            # Listed still: who ends all sessions of a principal sees that one has moved, and looks again.
            moved = self.store.update(old_key, ENDED, _ENDED_TTL, record.version, **index)
        except StoreError:
            # Keys may be on different hosts: the new one's can be up while the old one's is down.
            self._delete_quietly(new_key)
            raise
        if not moved:
            self.store.delete(new_key)
        return moved

    def _take_over(self, session: Session, now: int) -> Record | None:
        """Bring in what others have saved since; None: the session was ended."""
        found = self._find(session._token, session._key, now)
        if found is None:
            return None
        _, _, record, payload, data, _, principal = found
        if session._renewed:
            # Who planted the old id may just have had a secret made for it.
            data.pop(CSRF_KEY, None)
        merge(self._serializer, session, data, principal)
        session._record, session._payload = record, payload
        return record

    def _touch(self, key: str, ttl: int) -> bool:
        try:
            return self.store.touch(key, max(ttl, 1))
        except StoreError:
            logger.warning("the stored session %s… was read, but its end could not be moved", key[:8], exc_info=True)
            return False

    def _delete_quietly(self, key: str) -> None:
        try:
            self.store.delete(key)
        except StoreError:
            logger.warning("the ended session %s… could not be removed; it expires by itself", key[:8], exc_info=True)

    def _sealed(self, session: Session, token: str, key: str, payload: bytes) -> bytes:
        return joined(session._created, self._records.seal(token, key, payload))

    def _index(self, session: Session) -> dict[str, Any]:
        return {"principal": session._principal} if self._indexed else {}

    def _ttl(self, session: Session, now: int) -> int:
        return max(1, self._lifetimes.expires(session._created, now) - now)
