"""The engine: opens a visitor's session, and commits it. It knows requests, but no WSGI application."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeGuard

from session_mw.backends.build import cookie_of, home_of
from session_mw.backends.cookie import CookieHome
from session_mw.backends.principals import SessionInfo, end_sessions, indexed, list_sessions
from session_mw.config import SETTING_NAMES, settings_from_mapping, unknown_setting
from session_mw.exceptions import ConfigurationError, kind_of
from session_mw.headers import VARY, Header, with_session_headers
from session_mw.lazy_dict import UNTOUCHED
from session_mw.protocols import Store
from session_mw.session import NullSession, OpenedSession, Session, check_principal
from session_mw.settings import SettingNames, Settings
from session_mw.stores.session_ids import is_key
from session_mw.stores.urls import open_store

if TYPE_CHECKING:
    from typing import Self

    from typing_extensions import Unpack


class SessionManager:
    """Opens sessions from requests and commits them as response headers.

    One manager serves all requests and threads of an application. It is built once, and
    every setting is checked then.

    Args:
        secret_key: Signs the cookie. None without a store: sessions can be read, as empty.
        **settings: The fields of :class:`~session_mw.settings.Settings`.

    Attributes:
        settings: The settings, checked, as they were given; ``lifetime_seconds`` and its like are whole seconds.
        store: The store, or None if sessions live in the cookie.
        cookie_name: The cookie's name.

    Raises:
        ConfigurationError: A setting is wrong.
    """

    def __init__(self, secret_key: str | bytes | None = None, **settings: Unpack[SettingNames]) -> None:
        for name in settings:
            if name not in SETTING_NAMES:
                raise unknown_setting(name)
        self.settings = checked = Settings(secret_key, **settings)
        self.cookie_name = checked.cookie_name
        self._cookie = cookie_of(checked)
        self.store = open_store(checked.store) if isinstance(checked.store, str) else checked.store
        self._home = home_of(checked, self._cookie, self.store)
        self._load = None if self._home is None else self._home.load
        self._refresh_untouched = None
        if isinstance(self._home, CookieHome) and checked.refresh_each_request:
            self._refresh_untouched = self._home.refresh_untouched

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """Build a manager from Flask's config names, ours in lower case, and texts of an .ini file.

        Raises:
            ConfigurationError: A name or a value is wrong.
        """
        return cls(**settings_from_mapping(mapping))

    def __repr__(self) -> str:
        home = "none" if self._home is None else "cookie" if self.store is None else type(self.store).__name__
        return f"<SessionManager cookie_name={self.cookie_name!r} sessions in: {home}>"

    def open(self, environ: Mapping[str, Any]) -> Session:
        """The visitor's session; nothing is verified, decoded or fetched before it is touched.

        Args:
            environ: The request's WSGI environ (PEP 3333); ``{"HTTP_COOKIE": …}`` is enough.
        """
        if self._load is None:
            null = NullSession()
            null._owner = self
            return null
        header = environ.get("HTTP_COOKIE", "")
        if self.cookie_name not in header:
            header = ""
        session: Session = OpenedSession(UNTOUCHED)
        session._begin(self._load, self, header, environ.get("wsgi.url_scheme") == "https")
        if ";" in header and header.count(self.cookie_name) > 1:
            session._place = _place(environ)
        return session

    def reopen(self, session: Session) -> None:
        """Forget all that was done to a session that this manager opened and has not committed: for adapters."""
        if self._load is not None:
            dict.clear(session)
            dict.update(session, UNTOUCHED)
            session._begin(self._load, self, session._header, session._https)

    def commit(self, session: Session) -> list[Header]:
        """Save what has changed since the last commit.

        Args:
            session: One that this manager opened.

        Returns:
            The headers to add to the response: none, ``Vary``, or ``Vary`` and ``Set-Cookie``, of which
            there are several where cookies that stand beside ours are deleted.

        Raises:
            NotSerializable: The session holds what cannot be written.
            CookieTooLarge: A browser would not keep the cookie.
            StoreError: The store failed; nothing was promised to the visitor.
        """
        home = self._home
        if home is None:
            return []
        if session._load is not None:
            if session._forced:
                session._open()
            elif session.accessed or (session._header and self._refresh_untouched):
                return self._commit_unloaded(session)
            else:
                return []
        cookies = home.save(session)
        if not cookies:
            return [VARY]
        if session._conflict:
            cookies = [*self._deletions(session), *cookies]
        return [VARY, *[("Set-Cookie", cookie) for cookie in cookies]]

    def respond(self, session: Session, headers: list[Header]) -> list[Header]:
        """Commit as the last thing in a request, and put the session's headers in: for adapters.

        A change made to the session afterwards is logged as a warning.

        Args:
            session: One that this manager opened.
            headers: The response's; left as they are.

        Returns:
            The response's headers and the session's: one ``Vary``, one cookie of the session's name.

        Raises:
            NotSerializable: As from :meth:`commit`, like all others.
        """
        added = self.commit(session)
        session._sent = True
        return with_session_headers(headers, added, session, self.cookie_name)

    def opened(self, found: object) -> TypeGuard[Session]:
        """Whether the object is a session that this manager opened."""
        return isinstance(found, Session) and found._owner is self

    def sessions_of(self, principal: str) -> list[SessionInfo]:
        """The live sessions of a principal, the last used first: for a page "your devices".

        Raises:
            ConfigurationError: The sessions are in the cookie, or the store has no index.
            StoreError: The store does not answer.
            TypeError: The principal is no str, or an empty one.
            ValueError: The principal holds a lone surrogate.
        """
        check_principal(principal)
        return list_sessions(indexed(self.store), principal, self.settings.lifetime_seconds)

    def end(self, session_id: str) -> None:
        """End the session that has this :attr:`Session.id`, wherever it is in use.

        Raises:
            ConfigurationError: The sessions are in the cookie.
            StoreError: The store does not answer.
            TypeError: The id is no str.
        """
        if not isinstance(session_id, str):
            raise TypeError(f"end() takes a session's id, a str, not {kind_of(session_id)}")
        store = self._stored()
        if is_key(session_id):
            # it may come from a form, and a store is promised keys
            store.delete(session_id)

    def end_all(self, principal: str, *, keep: Session | None = None) -> int:
        """End all sessions of a principal.

        Args:
            keep: One to leave: that of the request, say.

        Returns:
            How many were ended.

        Raises:
            ConfigurationError: The sessions are in the cookie, or the store has no index.
            StoreError: The store does not answer, or new sessions of the principal keep coming.
            TypeError: The principal is no str, or an empty one, or ``keep`` is no session.
            ValueError: The principal holds a lone surrogate.
        """
        check_principal(principal)
        if keep is not None and not isinstance(keep, Session):
            raise TypeError(f"keep is a session, such as the request's, not {kind_of(keep)}")
        return end_sessions(indexed(self.store), principal, None if keep is None else keep.id)

    def close(self) -> None:
        """Close the store, if there is one."""
        if self.store is not None:
            self.store.close()

    def _commit_unloaded(self, session: Session) -> list[Header]:
        # Flask says accessed without asking for anything; a load that failed has said it too.
        refresh = self._refresh_untouched
        cookies = refresh(session) if refresh is not None and session._header else []
        if not (cookies or session.accessed):
            return []
        return [VARY, *(("Set-Cookie", cookie) for cookie in cookies)]

    def _deletions(self, session: Session) -> list[str]:
        """What rids a visitor of several genuine cookies, so that the new one stands alone."""
        session._conflict = False
        host, path = session._place or ("", "/")
        return self._cookie.delete_elsewhere(host, path, session._https)

    def _stored(self) -> Store:
        if self.store is None:
            raise ConfigurationError("a session in the cookie cannot be ended from elsewhere; use a store")
        return self.store


def _place(environ: Mapping[str, Any]) -> tuple[str, str]:
    host = environ.get("HTTP_HOST") or environ.get("SERVER_NAME", "")
    return host, environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "") or "/"
