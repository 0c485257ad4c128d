"""Remember cookies with a record in a store for each device: they rotate, can be ended, and show a copy."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from typing import Any

from session_mw.backends.contention import Tries
from session_mw.backends.record_format import companion_key
from session_mw.backends.revocations.entries import Facts
from session_mw.backends.revocations.follower import Revocations
from session_mw.codecs.base64url import b64encode
from session_mw.codecs.records import Records, delimited
from session_mw.exceptions import StoreError
from session_mw.login.series import Series, Token
from session_mw.login.tokens import PURPOSE, Issued, Recalled
from session_mw.protocols import Record, Store

logger = logging.getLogger("session_mw")

_MARK = b"R"
"""What a record of a device begins with; a session's begins with a digit."""


class DeviceTokens:
    """Makes and reads the cookies of remembered devices.

    Args:
        store: Where their records are.
        records: How they lie there.
        name: The remember cookie's.
        lifetime: Seconds for which a device is remembered, from the log-in on.
        secret_key: The manager's; empty where it has none.
        endings: Knows which sessions have ended, and with them which devices.
        end_device: Ends a device whose cookie was copied, and its sessions; takes its name and the user's id.
        is_listed: Whether the store lists sessions, and is to list the records with them: so end_all() ends them.
    """

    def __init__(
        self,
        store: Store,
        records: Records,
        name: str,
        lifetime: int,
        secret_key: bytes,
        endings: Revocations,
        end_device: Callable[[str, str], None],
        *,
        is_listed: bool,
    ) -> None:
        self._store = store
        self._records = records
        self._name = name.encode()
        self._lifetime = lifetime
        self._secret_key = secret_key
        self._endings = endings
        self._end_device = end_device
        self._is_listed = is_listed

    def issue(self, user_id: str, version: str | None, now: int) -> Issued:
        """Make the first cookie of a device; :meth:`save` writes its record."""
        series, token = Series.begin(user_id, version, now)
        return Issued(str(token), now + self._lifetime, self._name_of(token.series), series)

    def save(self, issued: Issued, since: str) -> None:
        """Write the record of a new device.

        Args:
            since: ``_since`` of the session that it begins with.

        Raises:
            StoreError: The store does not answer, or says that a random key is taken.
        """
        token, series = Token.parse(issued.value), issued.series
        if token is None or not isinstance(series, Series) or issued.companion is None:
            raise TypeError("save() takes what issue() made")
        series.since = since
        data = self._sealed(token.series, series)
        if not self._store.create(self._key(token.series), data, self._lifetime, **self._index(series)):
            raise StoreError("the store says that a new random key is taken; session_mw.testing.StoreContract tests it")

    def recall(self, value: str, now: int) -> Recalled | None:
        """Find the device of a cookie. A used one that comes again ends the device, and its sessions.

        Raises:
            StoreError: The store does not answer.
        """
        token = Token.parse(value)
        _, series = (None, None) if token is None else self._load(token.series)
        reason = None
        if token is None:
            reason = "malformed"
        elif series is None or now >= series.begun + self._lifetime:
            reason = "unknown"
        elif not series.made(token):
            reason = "bad_signature"
        if token is None or series is None or reason is not None:
            logger.info("remember cookie refused: %s", reason)
            return None
        if not series.accepts(token.secret, now):
            self._end_stolen(token, series)
            return None
        expires = series.begun + self._lifetime
        return Recalled(value, series.user_id, series.version, expires, self._name_of(token.series))

    def accept(self, recalled: Recalled, version: str | None, now: int) -> Issued | None:
        """Choose the secret that follows, once for all requests that bring the same one.

        Args:
            version: Digest of the ``session_version`` that the user has now; it is kept from here on.

        Raises:
            StoreError: The store does not answer, or others keep getting ahead.
        """
        token, tries = Token(*recalled.value.split(".")), Tries()
        # What another process ended a moment ago counts already: the store is asked anyway.
        self._endings.follow(exact=True)
        while True:
            record, series = self._load(token.series)
            if record is None or series is None or not series.accepts(token.secret, now):
                return None
            secret, changed = series.follow(token.secret, self._secret_key, now)
            if version not in (None, series.version):
                series.version, changed = version, True
            if not changed or self._update(token.series, series, record):
                value = str(series.token(token.series, secret))
                return Issued(value, recalled.expires, recalled.companion)
            tries.pause()

    def use_up(self, recalled: Recalled) -> bool:
        """The response went out: the secret is used. False where the device was ended meanwhile.

        Raises:
            StoreError: The store does not answer, or others keep getting ahead.
        """
        token, tries = Token(*recalled.value.split(".")), Tries()
        while True:
            record, series = self._load(token.series)
            if record is None or series is None:
                return False
            if not series.use_up(token.secret, int(time.time())) or self._update(token.series, series, record):
                return True
            tries.pause()

    def forget(self, value: str) -> None:
        """End the device of a cookie, and its sessions.

        Raises:
            StoreError: The store does not answer.
        """
        token = Token.parse(value)
        if token is not None:
            _, series = self._load(token.series)
            if series is not None and series.made(token):
                self.end(self._name_of(token.series), series.user_id)

    def end(self, companion: str, user_id: str) -> None:
        """End a device and its sessions, by the name of its record.

        Raises:
            StoreError: The store does not answer.
        """
        self._end_device(companion, user_id)

    def _end_stolen(self, token: Token, series: Series) -> None:
        logger.warning(
            "a remember cookie came again after it was used: one of the two who brought it had a copy. The device %s… "
            "and its sessions are ended",
            self._key(token.series)[:8],
        )
        self.end(self._name_of(token.series), series.user_id)

    def _load(self, name: str) -> tuple[Record | None, Series | None]:
        """The record of a device and what is in it, if that can be read and has not ended."""
        key = self._key(name)
        record = self._store.load(key)
        if record is None or not record.data.startswith(_MARK):
            return None, None
        # The one boundary: whatever is in the record, the visitor is only not remembered.
        try:
            series = Series.loads(self._records.unseal(name, key, record.data[len(_MARK) :]))
            facts = Facts.of_companion(self._name_of(name), series.user_id, series.since)
        except Exception:  # noqa: BLE001
            logger.warning("the remembered device %s… cannot be read; its visitor has to log in", key[:8])
            return record, None
        if self._endings.has_ended(facts):
            self._store.delete(key)
            return None, None
        return record, series

    def _update(self, name: str, series: Series, record: Record) -> bool:
        ttl = max(1, series.begun + self._lifetime - int(time.time()))
        return self._store.update(
            self._key(name), self._sealed(name, series), ttl, record.version, **self._index(series)
        )

    def _sealed(self, name: str, series: Series) -> bytes:
        return _MARK + self._records.seal(name, self._key(name), series.dumps())

    def _name_of(self, name: str) -> str:
        """What sessions call the record of a series: nobody can make the series' own name of it."""
        return b64encode(hashlib.sha256(delimited(PURPOSE, self._name, name.encode())).digest()[:16])

    def _key(self, name: str) -> str:
        return companion_key(self._name_of(name))

    def _index(self, series: Series) -> dict[str, Any]:
        return {"principal": self._records.index_names(series.user_id)[0]} if self._is_listed else {}
