"""Sessions whose data live in a store; the cookie holds a random token."""

from __future__ import annotations

import logging
import re
import time
from typing import Any

from session_mw.backends.lifetimes import Lifetimes
from session_mw.backends.payload import CREATED, unpack
from session_mw.backends.record_format import ENDED, key_of, sealed_in
from session_mw.backends.store_state import StoreState
from session_mw.codecs.records import Records
from session_mw.cookies import MAX_CANDIDATES, SessionCookie
from session_mw.exceptions import BadToken
from session_mw.protocols import Serializer, Store, is_indexed
from session_mw.rejections import RejectionLog
from session_mw.session import Session
from session_mw.state import SILENT, Outcome

logger = logging.getLogger("session_mw")

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
    ) -> None:
        self.store = store
        self.records = records
        self.serializer = serializer
        self.cookie = cookie
        self.lifetimes = lifetimes
        self.refresh = refresh
        self.is_indexed = is_indexed(store)
        self._rejections = RejectionLog()

    def load(self, session: Session) -> tuple[StoreState, dict[str, Any]]:
        """The record of the one token in the Cookie header that the store knows: its state and its data.

        Raises:
            StoreError: The store does not answer.
        """
        now = int(time.time())
        tokens = self._candidates(session._header)
        found = []
        if len(tokens) <= MAX_CANDIDATES:
            found = [one for token in tokens if (one := self.find(token, key_of(token), now)) is not None]
        if len(found) == 1:
            return found[0]
        state = StoreState()
        state.begin(self, now, {CREATED: now})
        if found or len(tokens) > MAX_CANDIDATES:
            # One of them may have been planted: none is trusted.
            state.ambiguous = True
            self._rejections.log("ambiguous", session._header)
        return state, {}

    def save_unread(self, session: Session) -> Outcome:
        """Nothing: the record is neither loaded nor touched for a session that nobody looked at."""
        return SILENT

    def find(self, token: str, key: str, now: int) -> tuple[StoreState, dict[str, Any]] | None:
        """The session in a token's record; None where there is no record that counts.

        Raises:
            StoreError: The store does not answer.
        """
        record = self.store.load(key)
        # The one boundary: whatever is in the record, the application sees no more than an empty session.
        try:
            if record is None or record.expires <= now or record.data == ENDED:
                self._rejections.log("unknown", token)
                return None
            sealed = sealed_in(record)
            payload = self.records.unseal(token, key, sealed)
            data, metadata = unpack(self.serializer, payload)
            created = metadata.get(CREATED)
            if created is None:
                raise BadToken("bad_payload")
            self.lifetimes.check_created(created, now)
        except Exception as error:  # noqa: BLE001 (a record can never cause an exception)
            if isinstance(error, BadToken) and error.reason == "expired":
                self._rejections.rejected(token, error)
            else:
                logger.warning("the stored session %s… cannot be read; its visitor gets an empty one", key[:8])
            return None
        if not self.records.is_current(sealed):
            self._rejections.old_key(token, "stored session")
        state = StoreState()
        state.begin(self, created, metadata, token, payload, data.get("_permanent") is True)
        state.found(key, record)
        return state, data

    def _candidates(self, header: str) -> list[str]:
        tokens = []
        for value in self.cookie.values(header):
            if SHAPE.fullmatch(value):
                tokens.append(value)
            else:
                self._rejections.log("malformed", value)
        return tokens
