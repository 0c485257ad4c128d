"""Reading of sessions whose data live in a store."""

from __future__ import annotations

import logging
import re
import time
from typing import Any

from session_mw.backends.payload import Lifetimes, unpack
from session_mw.backends.record_format import ENDED, key_of, sealed_in
from session_mw.codecs.records import Records
from session_mw.cookies import MAX_CANDIDATES, SessionCookie
from session_mw.exceptions import BadToken
from session_mw.protocols import Record, Serializer, Store
from session_mw.rejections import RefusalLog
from session_mw.session import Session

logger = logging.getLogger("session_mw")

SHAPE = re.compile("[A-Za-z0-9_-]{43}")

Found = tuple[str, str, Record, bytes, "dict[str, Any]", int, "str | None"]
"""A token; its key; the record, its payload, and the data in that; when the session began, and whose it is."""


class StoreReader:
    """Loads sessions from records.

    Args:
        store: Where the records are.
        records: Payloads to a record's data and back.
        serializer: Data to payloads and back.
        cookie: The cookie that carries the token.
        lifetimes: For how long a record lives.
    """

    def __init__(
        self, store: Store, records: Records, serializer: Serializer, cookie: SessionCookie, lifetimes: Lifetimes
    ) -> None:
        self.store = store
        self._records = records
        self._serializer = serializer
        self._cookie = cookie
        self._lifetimes = lifetimes
        self._refusals = RefusalLog()

    def load(self, session: Session) -> None:
        """Fill the session from the record of the one token in its Cookie header that the store knows.

        Raises:
            StoreError: The store does not answer.
        """
        session._begin_new()
        now = int(time.time())
        tokens = self._candidates(session)
        found = []
        for token in tokens if len(tokens) <= MAX_CANDIDATES else ():
            one = self._find(token, key_of(token), now)
            if one is not None:
                found.append(one)
        session._keeps_created = True
        if len(found) == 1:
            self._fill(session, found[0])
            return
        session._created = now
        if found or len(tokens) > MAX_CANDIDATES:
            session._conflict = True
            self._refusals.log("ambiguous", session._header)

    def _candidates(self, session: Session) -> list[str]:
        tokens = []
        for value in self._cookie.values(session._header):
            if SHAPE.fullmatch(value):
                tokens.append(value)
            else:
                self._refusals.log("malformed", value)
        return tokens

    def _find(self, token: str, key: str, now: int) -> Found | None:
        record = self.store.load(key)
        # The one boundary: whatever is in the record, the application sees no more than an empty session.
        try:
            if record is None or record.expires <= now or record.data == ENDED:
                self._refusals.log("unknown", token)
                return None
            sealed = sealed_in(record)
            payload = self._records.unseal(token, key, sealed)
            data, created, principal = unpack(self._serializer, payload)
            if created is None:
                raise BadToken("bad_payload")
            self._lifetimes.check_created(created, now)
        except Exception as error:  # noqa: BLE001 (a record can never cause an exception)
            self._unreadable(token, key, error)
            return None
        if not self._records.is_current(sealed):
            self._refusals.old_key(token, "stored session")
        return token, key, record, payload, data, created, principal

    def _unreadable(self, token: str, key: str, error: Exception) -> None:
        if isinstance(error, BadToken) and error.reason == "expired":
            self._refusals.refused(token, error)
        else:
            logger.warning("the stored session %s… cannot be read; its visitor gets an empty one", key[:8])

    def _fill(self, session: Session, found: Found) -> None:
        token, session._key, session._record, payload, data, created, principal = found
        session._begin_saved(token, payload, data, created, principal)
        session._was_permanent = data.get("_permanent") is True
