"""The engine: opens a visitor's session, and commits it. It knows requests, but no WSGI application."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeGuard, cast

from session_mw.backends.build import backend_of, codecs_of_other_settings, cookie_of, guard_of
from session_mw.backends.explanation import Explanation, explain
from session_mw.backends.principals import SessionInfo, end_session, end_sessions, indexed, list_sessions
from session_mw.backends.revocable import RevocableBackend
from session_mw.backends.store import StoreBackend
from session_mw.caller import place_of_caller
from session_mw.config import SETTING_NAMES, settings_from_mapping, unknown_setting
from session_mw.exceptions import ConfigurationError, kind_of
from session_mw.headers import with_session_headers
from session_mw.lazy_dict import FORCED, OPEN, SENT, UNCHANGED, UNTOUCHED
from session_mw.notices import Notices
from session_mw.protocols import Store
from session_mw.session import NullSession, OpenedSession, Session, check_principal
from session_mw.settings import SettingNames, Settings
from session_mw.state import END, RENEW, SILENT, VARIES, Header, NullBackend, Outcome
from session_mw.stores.session_ids import is_key
from session_mw.stores.urls import open_store

if TYPE_CHECKING:
    from typing import Self

    from typing_extensions import Unpack

logger = logging.getLogger("session_mw")

WEBSOCKET_KEY = "HTTP_SEC_WEBSOCKET_KEY"
_WITHOUT_KEY = (
    "neither secret_key nor store is set, so each session is empty and every write to it is an error; set "
    "secret_key=... (make one: python -m session_mw keygen) or store=..."
)


class SessionManager:
    """Opens sessions from requests and commits them as response headers.

    One manager serves all requests and threads of an application. It is built once, and
    every setting is checked then.

    Args:
        secret_key: Signs the cookie. None without a store: sessions can be read, as empty, and a
            ``UserWarning`` says so.
        **settings: The fields of :class:`~session_mw.settings.Settings`.

    Attributes:
        settings: The settings, checked, as they were given; ``lifetime_seconds`` and its like are whole seconds.
        store: The store, or None if sessions live in the cookie.
        revocations: The store in which it is remembered which sessions in cookies have ended, or None.
        cookie_name: The cookie's name.
        notices: What is told once of settings that cannot work.
        guard: What binds sessions to devices; None where ``device_bound`` is not set.

    Raises:
        ConfigurationError: A setting is wrong.
    """

    _warns_without_key = True

    def __init__(self, secret_key: str | bytes | None = None, **settings: Unpack[SettingNames]) -> None:
        for name in settings:
            if name not in SETTING_NAMES:
                raise unknown_setting(name)
        self.settings = checked = Settings(secret_key, **settings)
        self.cookie_name = checked.cookie_name
        self.store = _opened(checked.store)
        self.revocations = _opened(checked.revocations)
        cookie = cookie_of(checked)
        self.notices = Notices(cookie, partial(codecs_of_other_settings, checked))
        self.guard = guard_of(checked, cookie, self.notices)
        self._backend = backend_of(checked, cookie, self.store, self.revocations, self.notices, self.guard)
        self._backend.manager = self
        self._is_null = isinstance(self._backend, NullBackend)
        if self._is_null and self._warns_without_key:
            warnings.warn_explicit(_WITHOUT_KEY, UserWarning, *place_of_caller())
        # Only a cookie that holds the session can be refreshed without a touch.
        self._refreshes_unread = self.store is None and checked.refresh_each_request

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """Build a manager from Flask's config names, ours (``store`` or ``SESSION_STORE``), and texts of an .ini file.

        Raises:
            ConfigurationError: A name or a value is wrong.
        """
        return cls(**settings_from_mapping(mapping))

    def __repr__(self) -> str:
        place = "none" if self._is_null else "cookie" if self.store is None else type(self.store).__name__
        return f"<SessionManager cookie_name={self.cookie_name!r} sessions in: {place}>"

    def open(self, environ: Mapping[str, Any]) -> Session:
        """The visitor's session; nothing is verified, decoded or fetched before it is touched.

        Args:
            environ: The request's WSGI environ (PEP 3333); ``{"HTTP_COOKIE": …}`` is enough.
        """
        if self._is_null:
            null = NullSession()
            null._backend = self._backend
            return null
        header = environ.get("HTTP_COOKIE", "")
        if header and self.cookie_name not in header:
            header = ""
        session: Session = OpenedSession(UNTOUCHED)
        session._begin(self._backend, header, environ.get("wsgi.url_scheme") == "https", environ)
        return session

    def explain(self, environ: Mapping[str, Any]) -> Explanation:
        """How a request's cookies of the session's name are judged, and what is in them: to look into, not to trust.

        Nothing comes of it: the request's session is not touched, nothing is saved, and nothing is logged. A store is
        asked, as at the touch of a session.

        Args:
            environ: As for :meth:`open`.
        """
        return explain(self._backend, self.settings, self.notices, environ)

    def reopen(self, session: Session) -> None:
        """Forget all that was done to a session that this manager opened and has not committed: for adapters."""
        if not self._is_null:
            session._reopen()

    def commit(self, session: Session) -> list[Header]:
        """Save what has changed since the last commit.

        Args:
            session: One that this manager opened.

        Returns:
            What to add to the response's headers, that is nothing, ``Vary``, or ``Vary`` and ``Set-Cookie``, of which
            there are several where cookies that stand beside ours are deleted.

        Raises:
            NotSerializable: The session holds what cannot be written.
            CookieTooLarge: A browser would not keep the cookie.
            StoreError: The store failed; nothing was promised to the visitor.
        """
        return [*self.save(session).headers]

    def save(self, session: Session) -> Outcome:
        """As :meth:`commit`, with what it means for a response that others may get too."""
        state = session._state
        if state is None:
            if session._changes == FORCED:
                state = session._touch()
                return state.save(session) if self.guard is None else self.guard.save(session, state)
            if not session._header or not self._refreshes_unread:
                # Flask says accessed without asking for anything; a load that failed has said it too.
                return VARIES if session.accessed else SILENT
            outcome = self._backend.save_unread(session)
            return VARIES if outcome is SILENT and session.accessed else outcome
        return state.save(session) if self.guard is None else self.guard.save(session, state)

    def save_with(self, session: Session, status: str) -> Outcome:
        """As :meth:`save`, for a response with this status; see :meth:`commit_without_headers`."""
        environ = session._environ
        # A handshake is accepted with 101 alone, which gevent-websocket has sent before it calls the application:
        # who says 200 afterwards has spoken over the socket.
        if not (status and environ and WEBSOCKET_KEY in environ):
            return self.save(session)
        if status >= "3" and environ.get("wsgi.websocket") is None:
            return self.save(session)
        self.commit_without_headers(session)
        return SILENT

    def commit_without_headers(self, session: Session) -> None:
        """Save a session whose request was answered over the socket (a WebSocket): no cookie can be sent.

        What was done to a stored session that the visitor already has is saved, a log-out too, and so is a log-out
        that ``revocations`` remember; of all else a warning tells.

        Raises:
            NotSerializable: As from :meth:`commit`, like all others.
        """
        session._advance(SENT)
        state = session._state
        if state is None:
            return
        ends = state.intent == END
        begins = dict.__len__(session) > 0 or state.principal is not None
        is_saved = state.may_end_late() if ends else state.may_save_late()
        lost = ""
        if is_saved:
            if ends and begins:
                lost = "what it wrote after the log-out is lost"
            elif state.intent == RENEW:
                lost = "the id stays"
        elif state.is_changed(session) and (begins or not (ends and state.new)):
            lost = "what it did is lost"
        if lost:
            logger.warning(
                "a handler that answered over the socket (a WebSocket) changed the session, and no cookie can carry "
                "it: %s. Do that in an ordinary request before; a stored session that has begun can be written to",
                lost,
            )
        if is_saved:
            self.save(session)

    def respond(self, session: Session, headers: list[Header], status: str = "") -> list[Header]:
        """Commit as the last thing in a request, and put the session's headers in: for adapters.

        A change made to the session afterwards is logged as a warning.

        Args:
            session: One that this manager opened.
            headers: The response's; left as they are.
            status: The response's; with it, that a WebSocket's handler has ended is told from an ordinary response.

        Returns:
            The response's headers and the session's, with one ``Vary`` and one cookie of the session's name.

        Raises:
            NotSerializable: As from :meth:`commit`, like all others.
        """
        # Calls saved for most requests of most sites: they bring no cookie and do not touch the session, and
        # hardly one of the others is a WebSocket's.
        if session._state is None and not (session._header or session.accessed or session._changes):
            outcome = SILENT
        elif session._environ is not None and "HTTP_SEC_WEBSOCKET_KEY" in session._environ:
            outcome = self.save_with(session, status)
        else:
            outcome = self.save(session)
        if session._phase < SENT:
            session._phase = SENT
        headers = with_session_headers(headers, outcome, session, self.cookie_name, self.notices)
        session._environ = None
        return headers

    def opened(self, found: object) -> TypeGuard[Session]:
        """Whether the object is a session that this manager opened."""
        return isinstance(found, Session) and found._backend is self._backend

    def sessions_of(self, principal: str) -> list[SessionInfo]:
        """The live sessions of a principal, the last used first: for a page "your devices".

        Raises:
            ConfigurationError: The sessions are in the cookie, or the store has no index.
            StoreError: The store does not answer.
            TypeError: The principal is no str, or an empty one.
            ValueError: The principal holds a lone surrogate.
        """
        check_principal(principal)
        return list_sessions(self._listing(), principal)

    def end(self, session_id: str) -> None:
        """End the session that has this :attr:`Session.id`, wherever it is in use.

        Raises:
            ConfigurationError: The sessions are in the cookie, and ``revocations`` is not set.
            StoreError: The store does not answer.
            TypeError: The id is no str.
        """
        if not isinstance(session_id, str):
            raise TypeError(f"end() takes a session's id, a str, not {kind_of(session_id)}")
        if isinstance(self._backend, RevocableBackend):
            self._backend.endings.end_id(session_id)
            return
        self._stored()
        if is_key(session_id):
            # it may come from a form, and a store is promised keys
            end_session(cast("StoreBackend", self._backend), session_id)

    def end_all(self, principal: str, *, keep: Session | None = None) -> int:
        """End all sessions of a principal.

        Args:
            keep: One to leave: that of the request, say.

        Returns:
            How many were ended; 0 for sessions in cookies, which nobody counts.

        Raises:
            ConfigurationError: The sessions are in the cookie, and ``revocations`` is not set; or the store has no
                index.
            StoreError: The store does not answer, or new sessions of the principal keep coming.
            TypeError: The principal is no str, or an empty one, or ``keep`` is no session.
            ValueError: The principal holds a lone surrogate.
        """
        check_principal(principal)
        if keep is not None and not isinstance(keep, Session):
            raise TypeError(f"keep is a session, such as the request's, not {kind_of(keep)}")
        kept = None if keep is None else keep._touch()
        if isinstance(self._backend, RevocableBackend):
            return self._backend.end_all(principal, kept)
        return end_sessions(self._listing(), principal, kept)

    def end_everyone(self) -> None:
        """End all sessions that there are, after a leak say. Sessions that begin from now on are not touched.

        Stored ones too: each process learns it within 1.5 seconds, and their records expire by themselves.

        Raises:
            ConfigurationError: The sessions are in the cookie, and ``revocations`` is not set.
            StoreError: The store does not answer; what was not ended goes on.
        """
        if isinstance(self._backend, RevocableBackend):
            self._backend.endings.end_everyone()
        else:
            self._stored()
            cast("StoreBackend", self._backend).endings.end_everyone()

    def close(self) -> None:
        """Close the store, if there is one, and that of ``revocations``."""
        for store in (self.store, self.revocations):
            if store is not None:
                store.close()

    def _listing(self) -> StoreBackend:
        indexed(self.store)
        return cast("StoreBackend", self._backend)

    def _stored(self) -> Store:
        if self.store is None:
            raise ConfigurationError(
                "a session in the cookie cannot be ended from elsewhere; set revocations='sqlite:///ended.db', "
                "say, or use a store"
            )
        return self.store


def is_handshake(environ: Mapping[str, Any]) -> bool:
    """Whether the request asks for a WebSocket (RFC 6455 §4.1); proxies send Upgrade on their own, but not this."""
    return WEBSOCKET_KEY in environ


def check_works_alone(sessions: SessionManager, remedy: str) -> None:
    """See that a manager needs no middleware: for adapters that open and commit sessions themselves.

    Args:
        remedy: How the middleware is put around an application of the adapter's.

    Raises:
        ConfigurationError: It does.
    """
    if sessions.guard is not None:
        raise ConfigurationError(
            "device_bound: browsers prove their devices to paths that SessionMiddleware answers, and it is not in "
            f"front; write {remedy}"
        )


def _opened(store: Store | str | None) -> Store | None:
    return open_store(store) if isinstance(store, str) else store


def is_open(session: Session) -> bool:
    """Whether the session's response is still to come: its headers are not out, and its request goes on."""
    return session._phase == OPEN


def leave_unread(session: Session) -> None:
    """Let the response say nothing of a session that nobody touches: its cookie is not even refreshed."""
    session._refreshed = True


def was_changed(session: Session) -> bool:
    """Whether the session was written to, or something was handed out that may have been changed."""
    return session._changes > UNCHANGED


def manager_of(session: Session) -> SessionManager | None:
    """The manager that opened a session; None where none did."""
    return cast("SessionManager | None", session._backend.manager)
