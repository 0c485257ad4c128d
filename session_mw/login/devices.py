"""Remember cookies with a record in a store for each device: they rotate, can be ended, and show a copy."""

from __future__ import annotations

import hashlib
import logging
import secrets
import time
from collections.abc import Callable
from typing import Any

from session_mw.backends.contention import Tries
from session_mw.codecs.records import Records, delimited
from session_mw.exceptions import StoreError
from session_mw.login.series import Series, Token
from session_mw.login.tokens import PURPOSE, Issued, Recalled
from session_mw.protocols import Record, Store, is_indexed

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
        end_sessions: Ends the sessions of a device whose cookie was copied; takes the record's key, too.
    """

    def __init__(
        self,
        store: Store,
        records: Records,
        name: str,
        lifetime: int,
        secret_key: bytes,
        end_sessions: Callable[[Series, str], None],
    ) -> None:
        self._store = store
        self._records = records
        self._name = name.encode()
        self._lifetime = lifetime
        self._secret_key = secret_key
        self._end_sessions = end_sessions
        self._is_indexed = is_indexed(store)

    def issue(self, user_id: str, version: str | None, now: int) -> Issued:
        """Make the first cookie of a device; :meth:`save` writes its record."""
        series, token = Series.begin(user_id, version, now)
        return Issued(str(token), now + self._lifetime, self._key(token.series), series)

    def save(self, issued: Issued) -> None:
        """Write the record of a new device.

        Raises:
            StoreError: The store does not answer, or says that a random key is taken.
        """
        token, series = Token.parse(issued.value), issued.series
        if token is None or not isinstance(series, Series) or issued.companion is None:
            raise TypeError("save() takes what issue() made")
        series.epoch = self._epoch(series.user_id)
        if series.epoch:
            # It has to outlive the device.
            self._store.touch(self._epoch_key(series.user_id), 2 * self._lifetime)
        data = self._sealed(token.series, series)
        if not self._store.create(issued.companion, data, self._lifetime, **self._index(series)):
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
        elif series is None or now >= series.begun + self._lifetime or series.epoch != self._epoch(series.user_id):
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
        return Recalled(value, series.user_id, series.version, expires, self._key(token.series))

    def accept(self, recalled: Recalled, now: int) -> Issued | None:
        """Choose the secret that follows, once for all requests that bring the same one.

        Raises:
            StoreError: The store does not answer, or others keep getting ahead.
        """
        token, tries = Token(*recalled.value.split(".")), Tries()
        while True:
            record, series = self._load(token.series)
            if record is None or series is None or not series.accepts(token.secret, now):
                return None
            secret, changed = series.follow(token.secret, self._secret_key, now)
            if not changed or self._update(token.series, series, record):
                value = str(series.token(token.series, secret))
                return Issued(value, recalled.expires, recalled.companion)
            tries.pause()

    def use_up(self, recalled: Recalled, session_id: str | None) -> bool:
        """The response went out: the secret is used. False where the device was ended meanwhile.

        Args:
            session_id: Of the session that the cookie began, where it has to be noted.

        Raises:
            StoreError: The store does not answer, or others keep getting ahead.
        """
        token = Token(*recalled.value.split("."))
        # Both are done, in this order; "or" alone would leave out the second.
        return self._change(
            token.series, lambda series, now: any([series.use_up(token.secret, now), series.note(session_id)])
        )

    def note(self, value: str, session_id: str) -> bool:
        """Note the id of a session of the device; False where the device was ended meanwhile.

        Raises:
            StoreError: The store does not answer, or others keep getting ahead.
        """
        token = Token.parse(value)
        return token is not None and self._change(token.series, lambda series, now: series.note(session_id))

    def forget(self, value: str) -> None:
        """End the device of a cookie.

        Raises:
            StoreError: The store does not answer.
        """
        token = Token.parse(value)
        if token is not None:
            _, series = self._load(token.series)
            if series is not None and series.made(token):
                self._store.delete(self._key(token.series))

    def forget_user(self, user_id: str) -> None:
        """End all devices of a user.

        Raises:
            StoreError: The store does not answer.
        """
        if not is_indexed(self._store):
            self._begin_epoch(user_id)
            return
        for name in self._records.index_names(user_id):
            for key in self._store.keys_of(name):
                record = self._store.load(key)
                if record is not None and record.data.startswith(_MARK):
                    self._store.delete(key)

    def _end_stolen(self, token: Token, series: Series) -> None:
        key = self._key(token.series)
        logger.warning(
            "a remember cookie came again after it was used: one of the two who brought it had a copy. The device %s… "
            "and its sessions are ended",
            key[:8],
        )
        self._store.delete(key)
        self._end_sessions(series, key)

    def _change(self, name: str, change: Callable[[Series, int], bool]) -> bool:
        """Change a device's record; False where it is gone."""
        tries = Tries()
        while True:
            record, series = self._load(name)
            if record is None or series is None:
                return False
            if not change(series, int(time.time())) or self._update(name, series, record):
                return True
            tries.pause()

    def _load(self, name: str) -> tuple[Record | None, Series | None]:
        key = self._key(name)
        record = self._store.load(key)
        if record is None or not record.data.startswith(_MARK):
            return None, None
        # The one boundary: whatever is in the record, the visitor is only not remembered.
        try:
            return record, Series.loads(self._records.unseal(name, key, record.data[len(_MARK) :]))
        except Exception:  # noqa: BLE001
            logger.warning("the remembered device %s… cannot be read; its visitor has to log in", key[:8])
            return record, None

    def _update(self, name: str, series: Series, record: Record) -> bool:
        ttl = max(1, series.begun + self._lifetime - int(time.time()))
        return self._store.update(
            self._key(name), self._sealed(name, series), ttl, record.version, **self._index(series)
        )

    def _sealed(self, name: str, series: Series) -> bytes:
        return _MARK + self._records.seal(name, self._key(name), series.dumps())

    def _key(self, name: str) -> str:
        return hashlib.sha256(delimited(PURPOSE, self._name, name.encode())).hexdigest()

    def _index(self, series: Series) -> dict[str, Any]:
        # Listed as the user's, so that end_all() ends it with the sessions.
        return {"principal": self._records.index_names(series.user_id)[0]} if self._is_indexed else {}

    def _epoch_key(self, user_id: str) -> str:
        return hashlib.sha256(delimited(PURPOSE, b"epoch", self._name, user_id.encode())).hexdigest()

    def _epoch(self, user_id: str) -> str:
        """What changes when all devices of a user end, in a store that cannot list them; empty in others."""
        if self._is_indexed:
            return ""
        record = self._store.load(self._epoch_key(user_id))
        return "" if record is None else record.data.decode("ascii", "replace")

    def _begin_epoch(self, user_id: str) -> None:
        key, epoch, tries = self._epoch_key(user_id), secrets.token_urlsafe(16).encode(), Tries()
        # It has to outlive every device that began before.
        ttl = 2 * self._lifetime
        while not self._store.create(key, epoch, ttl):
            record = self._store.load(key)
            if record is not None and self._store.update(key, epoch, ttl, record.version):
                return
            tries.pause()
