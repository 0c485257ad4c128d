"""Who is logged in, in one request."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from session_mw.backends.record_format import companion_key
from session_mw.exceptions import SessionError, StoreError, kind_of
from session_mw.flash import FLASHES_KEY
from session_mw.login import facts, flask_login
from session_mw.login.cookie import RememberCookie
from session_mw.login.facts import Versions
from session_mw.login.remember import Remember
from session_mw.login.settings import LoginSettings
from session_mw.login.tokens import Recalled
from session_mw.manager import SessionManager, is_open
from session_mw.secret_keys import has_bytes
from session_mw.session import Session
from session_mw.state import COMPANION, END, Header

logger = logging.getLogger("session_mw")


class Parts(NamedTuple):
    """What all requests share that a LoginMiddleware gets from one manager."""

    sessions: SessionManager
    remember: Remember
    versions: Versions


class Login:
    """Who is logged in, and what changes that. Nothing is looked up before something is asked for.

    Args:
        settings: The middleware's.
        parts: What all requests share.
        environ: The request's.
        session: The request's.

    Attributes:
        after: What is done when the response has been committed: each takes nothing.
    """

    def __init__(self, settings: LoginSettings, parts: Parts, environ: Mapping[str, Any], session: Session) -> None:
        self.after: list[Callable[[], None]] = []
        self._settings = settings
        self._parts = parts
        self._environ = environ
        self._session = session
        # Threads of one request (Flask's copy_current_request_context) see a log-in done wholly or not at all.
        self._lock = threading.RLock()
        self.reopen()

    def reopen(self) -> None:
        """Forget all that was found and done, with the session's own: for adapters that try a request again."""
        self._is_resolved = False
        self._user_id: str | None = None
        # A user is of the database's transaction that has failed.
        self._users: dict[str, Any] = {}
        self._cookie = RememberCookie(self._parts.remember, self._environ, self._session)
        self._has_begun = False

    @property
    def user_id(self) -> str | None:
        """The id of the user who is logged in; None: nobody.

        Raises:
            StoreError: The store does not answer.
        """
        self._resolve()
        return self._user_id

    @property
    def user(self) -> Any:
        """What ``load_user`` gives for the user who is logged in; None: nobody.

        Raises:
            StoreError: The store does not answer.
        """
        self._resolve()
        return None if self._user_id is None else self._load(self._user_id)

    @property
    def is_fresh(self) -> bool:
        """Whether the user gave the password in this session, and was not brought back by the remember cookie."""
        return self.user_id is not None and self._session.get(flask_login.FRESH) is True

    @property
    def confirmed(self) -> int | None:
        """Unix time at which the user gave the password last; None: nobody is logged in afresh, or nobody knows."""
        return facts.time_in(self._session, facts.AT) if self.is_fresh else None

    def log_in(self, user_id: str, *, remember: bool = False) -> None:
        """Log a user in, after the password was checked.

        The session gets a new id and begins its life anew. An anonymous session's data stay, but for its CSRF
        secret; those of another user go.

        Args:
            user_id: What ``load_user`` takes.
            remember: Whether the user comes back after the browser was closed.

        Raises:
            TypeError: The id is no str.
            ValueError: The id is empty, or holds a lone surrogate; or it is too long for a remember cookie.
            SessionError: No cookie can carry the new id: the response's headers are out, or it is a WebSocket's.
            SessionUnavailable: There is neither a secret key nor a store.
            StoreError: The store does not answer.
        """
        if not isinstance(user_id, str):
            raise TypeError(f"a user's id is a non-empty str, not {kind_of(user_id)}; write str(user.id)")
        if not user_id or not has_bytes(user_id):
            raise ValueError("a user's id is a non-empty str without lone surrogates")
        self._check_that_a_cookie_can_be_sent("log_in")
        with self._lock:
            self._log_in(user_id, remember, int(time.time()))

    def _log_in(self, user_id: str, remember: bool, now: int) -> None:
        session, cookie = self._session, self._cookie
        # What may raise comes before anything is changed.
        version = self._parts.versions.of(user_id, self._load(user_id))
        issued = cookie.issue(user_id, version, now) if remember else None
        former = cookie.companion
        if session._touch().intent == END:
            # By log_out() or clear() in this very request: the device ends with the session.
            cookie.refuse()
        others = {session.principal, flask_login.user_id_in(session)} - {None, user_id}
        if others:
            session.invalidate()
            former = None
        self._begin(user_id, version, now, fresh=True)
        if issued is None:
            cookie.keep(user_id, now, self._counts)
        else:
            cookie.replace(issued, user_id, former)
        self._is_resolved, self._user_id = True, user_id

    def confirm(self) -> None:
        """Have the log-in be fresh, after the password was asked for again. The session gets a new id.

        Raises:
            SessionError: Nobody is logged in; or no cookie can carry the new id, as for :meth:`log_in`.
            StoreError: The store does not answer.
        """
        self._check_that_a_cookie_can_be_sent("confirm")
        user_id = self.user_id
        if user_id is None:
            raise SessionError("confirm() makes a log-in fresh, and nobody is logged in; use log_in(user_id)")
        version = self._parts.versions.of(user_id, self._load(user_id))
        with self._lock:
            # Not as a log-in: a session that was ended meanwhile stays so.
            self._session.regenerate_id()
            self._stamp(version, fresh=True, now=int(time.time()))

    def log_out(self) -> None:
        """End the session and the remember cookie; by somebody anonymous it does nothing.

        Raises:
            StoreError: The store does not answer.
        """
        if self.user_id is not None:
            self._end_here_and_there()

    def log_out_everywhere(self) -> None:
        """End every session and remember cookie of the user; by somebody anonymous it does nothing.

        Raises:
            ConfigurationError: There is neither a store with an index nor ``revocations``.
            StoreError: The store does not answer.
        """
        user_id = self.user_id
        if user_id is None:
            return
        # Devices that have no session at present end with it too.
        self._parts.sessions.end_all(user_id)
        self._end_here_and_there()

    def commit(self) -> list[Header]:
        """Do what has to be done before the response's headers go out.

        Returns:
            The headers that set or delete the remember cookie.

        Raises:
            StoreError: The store does not answer.
        """
        if self._session._state is None:
            return []
        with self._lock:
            self._follow()
        user_id = flask_login.user_id_in(self._session)
        headers = self._cookie.commit(is_anonymous=user_id is None)
        self.after = self._cookie.left_to_do()
        if self._has_begun and user_id is not None and self._settings.max_sessions is not None:
            self.after.append(partial(self._end_oldest, user_id, self._settings.max_sessions))
        return headers

    def close(self) -> None:
        """The headers are out, though not with ours: nothing can be sent any more."""
        self._cookie.close()

    # Who it is

    def _resolve(self) -> None:
        if self._is_up_to_date():
            return
        with self._lock:
            if self._is_up_to_date():
                return
            self._follow()
            user_id = flask_login.user_id_in(self._session)
            if user_id is None:
                user_id = self._recall()
            elif not self._holds(user_id):
                self._end_here_and_there()
                user_id = None
            self._is_resolved, self._user_id = True, user_id

    def _is_up_to_date(self) -> bool:
        return self._is_resolved and flask_login.user_id_in(self._session) == self._user_id

    def _load(self, user_id: str) -> Any:
        """The user, asked for once a request."""
        if user_id not in self._users:
            self._users[user_id] = self._settings.load_user(user_id)
        return self._users[user_id]

    def _follow(self) -> None:
        """Follow what Flask-Login has done to the session since it was last looked at."""
        session = self._session
        principal, user_id = session.principal, flask_login.user_id_in(session)
        if user_id is not None and principal != user_id:
            self._adopt(user_id, is_other=principal is not None)
        elif principal is not None and flask_login.USER_ID not in session:
            # logout_user() takes its keys away and leaves the rest; what was said of it is still to be shown.
            messages = session.get(FLASHES_KEY)
            self._end()
            if messages:
                session[FLASHES_KEY] = messages

    def _adopt(self, user_id: str, is_other: bool) -> None:
        """Take over a log-in of Flask-Login's."""
        session = self._session
        if session.modified and is_open(session):
            # login_user() in this very request: it renews no id by itself.
            session.regenerate_id()
        if is_other:
            session._touch().set_metadata(COMPANION, None)
            for key in facts.ALL:
                session.pop(key, None)
        session.principal = user_id
        if self._cookie.can_be_sent:
            self._cookie.keep(user_id, int(time.time()), self._counts)

    def _holds(self, user_id: str) -> bool:
        """Whether the log-in that stands in the session still counts."""
        session, settings, versions = self._session, self._settings, self._parts.versions
        if not self._device_is_known():
            return False
        user = self._load(user_id)
        if user is None:
            return False
        digest = facts.text_in(session, facts.VERSION)
        if not versions.is_of(digest, user_id, user):
            logger.info("a session was made under another session_version of its user; it is ended")
            return False
        current = versions.of(user_id, user)
        if digest != current and current is not None:
            session[facts.VERSION] = current
        return settings.protection is None or self._is_same_agent(settings.protection)

    def _device_is_known(self) -> bool:
        """Whether the record of the device is there whose remember cookie the session belongs to, if to any."""
        companion, store = self._cookie.companion, self._parts.sessions.store
        if companion is None or store is None:
            return True
        until = facts.time_in(self._session, facts.UNTIL)
        # A record that has come to its end by itself says nothing. Clocks of servers differ.
        if until is not None and time.time() >= until - self._parts.sessions.settings.leeway_seconds:
            return True
        return store.load(companion_key(companion)) is not None

    def _is_same_agent(self, protection: str) -> bool:
        session, agent = self._session, facts.agent_of(self._environ)
        known = facts.text_in(session, facts.AGENT)
        if known is None:
            session[facts.AGENT] = agent
        elif known != agent:
            logger.info("a session came with another User-Agent than that of its log-in")
            if protection == "strong":
                return False
            if session.get(flask_login.FRESH) is not False:
                session[flask_login.FRESH] = False
        return True

    def _recall(self) -> str | None:
        """Log the user in whom the remember cookie names."""
        now = int(time.time())
        recalled = self._cookie.recall(now)
        if recalled is None:
            return None
        if not self._counts(recalled):
            self._cookie.refuse()
            return None
        version = self._parts.versions.of(recalled.user_id, self._load(recalled.user_id))
        if not self._cookie.accept(recalled, version, now):
            return None
        self._begin(recalled.user_id, version, now, fresh=False)
        self._cookie.bind()
        return recalled.user_id

    def _counts(self, recalled: Recalled) -> bool:
        """Whether a remember cookie's user is there, and has the password with which it was made."""
        user = self._load(recalled.user_id)
        return user is not None and self._parts.versions.is_of(recalled.version, recalled.user_id, user)

    # Log-in and log-out

    def _begin(self, user_id: str, version: str | None, now: int, *, fresh: bool) -> None:
        """Be the session of a user from now on."""
        session = self._session
        session.regenerate_id()
        session._touch().succeed(now)
        session.principal = user_id
        session[flask_login.USER_ID] = user_id
        for key in flask_login.REMEMBER:
            session.pop(key, None)
        self._stamp(version, fresh=fresh, now=now)
        self._has_begun = True

    def _stamp(self, version: str | None, *, fresh: bool, now: int) -> None:
        session = self._session
        session[flask_login.FRESH] = fresh
        session[flask_login.CLIENT] = flask_login.client_of(self._environ)
        kept = {facts.AT: now if fresh else None, facts.VERSION: version, facts.AGENT: facts.agent_of(self._environ)}
        for key, value in kept.items():
            if value is None:
                session.pop(key, None)
            else:
                session[key] = value

    def _check_that_a_cookie_can_be_sent(self, method: str) -> None:
        # A session that kept its id would be that of whoever planted the id.
        if not self._cookie.can_be_sent:
            raise SessionError(
                f"{method}() gives the session a new id, and no cookie can carry it: the headers are out, or this is a "
                "WebSocket's request. Call it in an ordinary one, before the first part of the body"
            )

    def _end(self) -> None:
        """End the session, and with it the device's record and cookie."""
        with self._lock:
            self._session.invalidate()
            self._cookie.end()
            self._is_resolved, self._user_id = True, None

    def _end_here_and_there(self) -> None:
        """The same; and an application with Flask-Login does not bring the user back by a cookie of its own."""
        self._end()
        if flask_login.has_remember_cookie(self._environ.get("HTTP_COOKIE", "")):
            flask_login.clear_remember_cookie(self._session)

    # After the commit

    def _end_oldest(self, user_id: str, limit: int) -> None:
        """End the sessions of a user beyond the limit: those used least recently, and not this one."""
        sessions, own = self._parts.sessions, self._session.id
        infos = sorted(sessions.sessions_of(user_id), key=lambda info: (info.last_used, info.created))
        surplus = max(0, len(infos) - limit)
        ended = [info.id for info in infos if info.id != own][:surplus]
        kept = [info.id for info in infos if info.id not in ended]
        self._parts.remember.end_but_keep_devices(ended, kept)

    def run_after(self) -> None:
        """Do what is left once the response has been committed; what fails is logged, for the answer is on its way."""
        while self.after:
            action = self.after.pop(0)
            try:
                action()
            except StoreError as error:
                logger.warning("a log-in was answered, and the store failed in what follows it: %s", error)
