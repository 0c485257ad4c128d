"""The remember cookie of one manager: its attributes, which are the session cookie's, and what it holds."""

from __future__ import annotations

from session_mw.backends.build import cookie_of, records_of
from session_mw.backends.revocable import RevocableBackend
from session_mw.backends.store import StoreBackend
from session_mw.cookies import SessionCookie
from session_mw.exceptions import ConfigurationError
from session_mw.login.devices import DeviceTokens
from session_mw.login.settings import LoginSettings
from session_mw.login.tokens import RememberTokens, SignedTokens
from session_mw.manager import SessionManager
from session_mw.protocols import is_indexed
from session_mw.secret_keys import key_bytes
from session_mw.settings import Settings
from session_mw.state import Backend


class Remember:
    """What a log-in needs of the manager to remember devices.

    Args:
        login: The middleware's settings.
        sessions: The manager.
        backend: The manager's.

    Attributes:
        sessions: The manager.
        cookie: Finds the cookie in a request, and writes it for a response.
        tokens: Makes and reads its values; None where there is neither a store nor a secret key.

    Raises:
        ConfigurationError: The remember cookie cannot have the session cookie's attributes, or its name.
    """

    def __init__(self, login: LoginSettings, sessions: SessionManager, backend: Backend) -> None:
        settings, name = sessions.settings, login.remember_cookie_name
        if name == sessions.cookie_name:
            raise ConfigurationError(f"remember_cookie_name is {name!r}, the session cookie's own; choose another name")
        if settings.device_bound and name == settings.proof_cookie_name:
            raise ConfigurationError(f"remember_cookie_name is {name!r}, the proof cookie's; choose another name")
        if login.max_sessions is not None and not is_indexed(sessions.store):
            raise ConfigurationError(
                "max_sessions needs a store that lists a user's sessions: SQLite, Redis, SQLAlchemy, files or memory"
            )
        self.cookie = _cookie(name, settings)
        self.tokens: RememberTokens | None = None
        self.sessions, self._backend = sessions, backend
        store = sessions.revocations if sessions.store is None else sessions.store
        if store is not None and isinstance(backend, (StoreBackend, RevocableBackend)):
            key = b"" if settings.secret_key is None else key_bytes("secret_key", settings.secret_key)
            # No user's name is to be read in a copy of the store where none can be read in the sessions.
            records = backend.records if isinstance(backend, StoreBackend) else records_of(settings, settings.encrypt)
            self.tokens = DeviceTokens(
                store,
                records,
                name,
                login.remember_seconds,
                key,
                backend.endings,
                backend.end_companion,
                is_listed=isinstance(backend, StoreBackend) and backend.is_indexed,
            )
        elif settings.secret_key is not None:
            self.tokens = SignedTokens(settings, name, login.remember_seconds)

    def end_but_keep_devices(self, ended: list[str], kept: list[str]) -> None:
        """End stored sessions, and the devices that were remembered with them, but for those that others belong to.

        A browser that was closed and started again has left a session behind: it is the same device.

        Args:
            ended: Ids of the sessions to end.
            kept: Ids of those that go on.

        Raises:
            StoreError: The store does not answer.
        """
        if not isinstance(self._backend, StoreBackend):
            return
        devices = {self._device_of(session_id) for session_id in kept}
        for session_id in ended:
            if self._device_of(session_id) in devices - {None}:
                self._backend.store.delete(session_id)
            else:
                self.sessions.end(session_id)

    def _device_of(self, session_id: str) -> str | None:
        if not isinstance(self._backend, StoreBackend):
            return None
        record = self._backend.store.load(session_id)
        return None if record is None else self._backend.companion(session_id, record)


def _cookie(name: str, settings: Settings) -> SessionCookie:
    try:
        # All of the checks, since the name's prefix may not go with the attributes.
        checked = Settings(
            cookie_name=name,
            cookie_domain=settings.cookie_domain,
            cookie_path=settings.cookie_path,
            cookie_secure=settings.cookie_secure,
            cookie_httponly=settings.cookie_httponly,
            cookie_samesite=settings.cookie_samesite,
            cookie_partitioned=settings.cookie_partitioned,
        )
    except ConfigurationError as error:
        raise ConfigurationError(f"remember_cookie_name: {error}") from None
    return cookie_of(checked)
