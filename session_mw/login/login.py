"""Who is logged in, in one request."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from session_mw.exceptions import SessionError, StoreError, kind_of
from session_mw.flash import FLASHES_KEY
from session_mw.login import facts, flask_login
from session_mw.login.facts import Versions
from session_mw.login.remember import Remember
from session_mw.login.settings import LoginSettings
from session_mw.login.tokens import Issued, Recalled
from session_mw.manager import SessionManager, is_open
from session_mw.secret_keys import has_bytes
from session_mw.session import Session
from session_mw.state import COMPANION, END, RENEW, Header

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
        self._is_resolved = False
        self._user_id: str | None = None
        self._users: dict[str, Any] = {}
        # What the response does to the remember cookie: nothing, sets it, or deletes it.
        self._issued: Issued | None = None
        self._deletes_cookie = False
        self._is_new = False
        self._can_send = True

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
            ValueError: The id is empty, or holds a lone surrogate.
            SessionUnavailable: There is neither a secret key nor a store.
            StoreError: The store does not answer.
        """
        if not isinstance(user_id, str):
            raise TypeError(f"a user's id is a non-empty str, not {kind_of(user_id)}; write str(user.id)")
        if not user_id or not has_bytes(user_id):
            raise ValueError("a user's id is a non-empty str without lone surrogates")
        session, now, former = self._session, int(time.time()), self._companion()
        others = {session.principal, flask_login.user_id_in(session)} - {None, user_id}
        if others:
            session.invalidate()
            former = None
        version = self._parts.versions.of(user_id, self._load(user_id))
        issued = self._issue(user_id, version, now) if remember else None
        self._begin(user_id, version, now, fresh=True)
        self._replace_device(user_id, issued, former, now)
        self._is_resolved, self._user_id = True, user_id

    def confirm(self) -> None:
        """Have the log-in be fresh, after the password was asked for again. The session gets a new id.

        Raises:
            SessionError: Nobody is logged in.
            StoreError: The store does not answer.
        """
        user_id = self.user_id
        if user_id is None:
            raise SessionError("confirm() makes a log-in fresh, and nobody is logged in; use log_in(user_id)")
        # Not as a log-in: a session that was ended meanwhile stays so.
        self._session.regenerate_id()
        version = self._parts.versions.of(user_id, self._load(user_id))
        self._stamp(version, fresh=True, now=int(time.time()))

    def log_out(self) -> None:
        """End the session and the remember cookie; by somebody anonymous it does nothing.

        Raises:
            StoreError: The store does not answer.
        """
        if self.user_id is not None:
            self._end()

    def log_out_everywhere(self) -> None:
        """End every session and remember cookie of the user; by somebody anonymous it does nothing.

        Raises:
            ConfigurationError: There is neither a store with an index nor ``revocations``.
            StoreError: The store does not answer.
        """
        user_id = self.user_id
        if user_id is None:
            return
        self._parts.sessions.end_all(user_id)
        tokens = self._parts.remember.tokens
        if tokens is not None:
            # A device may be remembered that has no session at present.
            tokens.forget_user(user_id)
        self._end()

    def commit(self) -> list[Header]:
        """Do what has to be done before the response's headers go out.

        Returns:
            The headers that set or delete the remember cookie.

        Raises:
            StoreError: The store does not answer.
        """
        session, remember = self._session, self._parts.remember
        if session._state is None:
            return []
        self._follow()
        if flask_login.user_id_in(session) is None:
            # The application has emptied the session by itself since: it would be surprised to see the user come back.
            self._issued = None
            self._deletes_cookie |= session._state.intent == END
        values = remember.cookie.values(self._header)
        if self._deletes_cookie and remember.tokens is not None:
            for value in values:
                remember.tokens.forget(value)
        if self._issued is not None and self._is_new and remember.tokens is not None:
            remember.tokens.save(self._issued)
        if remember.notes_sessions and self._companion() and session._state.intent == RENEW:
            self.after.append(self._note_session)
        self._can_send = False
        return [("Set-Cookie", text) for text in self._cookies(len(values))]

    def close(self) -> None:
        """The headers are out, though not with ours: nothing can be sent any more."""
        self._can_send = False

    # Who it is

    @property
    def _header(self) -> str:
        header: str = self._environ.get("HTTP_COOKIE", "")
        return header

    def _resolve(self) -> None:
        if self._is_resolved and flask_login.user_id_in(self._session) == self._user_id:
            return
        self._follow()
        user_id = flask_login.user_id_in(self._session)
        if user_id is None:
            user_id = self._recall()
        elif not self._holds(user_id):
            self._end()
            user_id = None
        self._is_resolved, self._user_id = True, user_id

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
        companion, store = self._companion(), self._parts.sessions.store
        if companion is None or store is None:
            return True
        until = facts.time_in(self._session, facts.UNTIL)
        # A record that has come to its end by itself says nothing. Clocks of servers differ.
        if until is not None and time.time() >= until - self._parts.sessions.settings.leeway_seconds:
            return True
        return store.load(companion) is not None

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
        remember, session, now = self._parts.remember, self._session, int(time.time())
        values = remember.cookie.values(self._header)
        state = session._touch()
        # A late request must not replace the cookie of the session that the browser has by now; and where the
        # application has emptied the session, nobody is to come back in the same request.
        is_over = getattr(state, "late", False) or state.intent == END
        if not values or remember.tokens is None or is_over or not self._can_send or not is_open(session):
            return None
        if len(values) > 1:
            logger.info("remember cookie refused: ambiguous")
            return None
        recalled = remember.tokens.recall(values[0], now)
        if recalled is None:
            return None
        user = self._load(recalled.user_id)
        if user is None or not self._parts.versions.is_of(recalled.version, recalled.user_id, user):
            self._deletes_cookie = True
            return None
        issued = remember.tokens.accept(recalled, now)
        if issued is None:
            return None
        self._begin(recalled.user_id, self._parts.versions.of(recalled.user_id, user), now, fresh=False)
        self._belong_to(issued)
        if issued.value != recalled.value:
            self._issued = issued
        self.after.append(partial(self._use_up, recalled))
        return recalled.user_id

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
        if self._settings.max_sessions is not None:
            self.after.append(partial(self._end_oldest, user_id, self._settings.max_sessions))

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

    def _issue(self, user_id: str, version: str | None, now: int) -> Issued | None:
        if not self._can_send:
            logger.warning("remember=True after the response's headers were sent: no cookie can carry it")
            return None
        tokens = self._parts.remember.tokens
        return None if tokens is None else tokens.issue(user_id, version, now)

    def _replace_device(self, user_id: str, issued: Issued | None, former: str | None, now: int) -> None:
        """See to the remember cookie that came with a log-in, and to the device's record that the session had.

        Args:
            issued: The cookie of this log-in, if it is to be remembered.
            former: The key of the record that the session belonged to.
        """
        remember, tokens = self._parts.remember, self._parts.remember.tokens
        if tokens is None:
            return
        if issued is None and self._issued is not None and user_id == self._user_id:
            # The cookie that brought this user back in this very request goes on.
            self._belong_to(self._issued)
            return
        self._issued, self._is_new, self._deletes_cookie = issued, issued is not None, False
        values = remember.cookie.values(self._header)
        if issued is not None:
            self._belong_to(issued)
            for value in values:
                # Once it is sure that the browser gets another one.
                self.after.append(partial(tokens.forget, value))
            if former is not None and self._parts.sessions.store is not None:
                self.after.append(partial(self._parts.sessions.store.delete, former))
            return
        for value in values:
            recalled = tokens.recall(value, now)
            if recalled is not None and recalled.user_id == user_id:
                self._belong_to(Issued(value, recalled.expires, recalled.companion))
            elif recalled is not None:
                self._deletes_cookie = True

    def _belong_to(self, issued: Issued) -> None:
        """Let the session end with the record of a device, and that with the session."""
        if issued.companion is not None:
            self._session._touch().set_metadata(COMPANION, issued.companion)
            self._session[facts.UNTIL] = issued.expires

    def _companion(self) -> str | None:
        companion: str | None = self._session._touch().metadata.get(COMPANION)
        return companion

    def _end(self) -> None:
        """End the session, and with it the device's record and cookie."""
        self._session.invalidate()
        self._issued, self._is_new, self._deletes_cookie = None, False, True
        self.after.clear()
        self._is_resolved, self._user_id = True, None

    def _cookies(self, came: int) -> list[str]:
        """The texts of the Set-Cookie headers.

        Args:
            came: How many different remember cookies the request brought.
        """
        cookie, environ = self._parts.remember.cookie, self._environ
        https = environ.get("wsgi.url_scheme") == "https"
        if self._issued is not None:
            texts = [cookie.set(self._issued.value, https, self._issued.expires)]
        elif self._deletes_cookie and came:
            texts = [cookie.delete(https)]
        else:
            return []
        if came > 1 or self._deletes_cookie:
            # One under another Domain or Path would come back.
            host = environ.get("HTTP_HOST") or environ.get("SERVER_NAME", "")
            path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "") or "/"
            behind_tls = "https" in environ.get("HTTP_X_FORWARDED_PROTO", "")
            texts = [*cookie.delete_elsewhere(host, path, https, behind_tls=behind_tls), *texts]
        return texts

    # After the commit

    def _use_up(self, recalled: Recalled) -> None:
        tokens, session = self._parts.remember.tokens, self._session
        session_id = session.id if self._parts.remember.notes_sessions else None
        if tokens is not None and not tokens.use_up(recalled, session_id) and session.id is not None:
            # It was ended while this request was under way.
            self._parts.sessions.end(session.id)

    def _note_session(self) -> None:
        tokens, session_id, issued = self._parts.remember.tokens, self._session.id, self._issued
        values = [issued.value] if issued is not None else self._parts.remember.cookie.values(self._header)
        if tokens is not None and session_id is not None:
            for value in values:
                tokens.note(value, session_id)

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
            except StoreError:
                logger.warning("a log-in was answered, and the store failed in what follows it", exc_info=True)
