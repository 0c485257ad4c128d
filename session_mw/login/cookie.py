"""The remember cookie in one request: whom it brings back, and what the response does to it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from session_mw.login import facts
from session_mw.login.remember import Remember
from session_mw.login.tokens import Issued, Recalled, RememberTokens
from session_mw.manager import is_handshake, is_open
from session_mw.session import Session
from session_mw.state import COMPANION, END, SINCE, Header

logger = logging.getLogger("session_mw")


class RememberCookie:
    """The remember cookie in one request, and the device that the request's session belongs to.

    Args:
        remember: What all requests share.
        environ: The request's.
        session: The request's.
    """

    def __init__(self, remember: Remember, environ: Mapping[str, Any], session: Session) -> None:
        self._remember = remember
        self._tokens: RememberTokens | None = remember.tokens
        self._environ = environ
        self._session = session
        self._is_closed = False
        # Of this request's log-in, or what follows the cookie that came; and whose it is.
        self._issued: Issued | None = None
        self._owner: str | None = None
        # The cookie that has brought the user back in this request: it is used once the response went out.
        self._recalled: Recalled | None = None
        self._is_new = self._is_deleted = False
        # What ends once it is sure that the browser gets another cookie.
        self._endings: list[Callable[[], None]] = []

    @property
    def can_be_sent(self) -> bool:
        """Whether the response's headers are still to come, and are not a WebSocket's."""
        return not self._is_closed and is_open(self._session) and not is_handshake(self._environ)

    @property
    def values(self) -> list[str]:
        """The different ones that came."""
        return self._remember.cookie.values(self._environ.get("HTTP_COOKIE", ""))

    @property
    def companion(self) -> str | None:
        """The name of the record of the device that the session belongs to."""
        companion: str | None = self._session._touch().metadata.get(COMPANION)
        return companion

    # Whom it brings back

    def recall(self, now: int) -> Recalled | None:
        """What the cookie says, if there is one that counts.

        Raises:
            StoreError: The store does not answer.
        """
        values, state = self.values, self._session._touch()
        if not values or self._tokens is None or self._is_closed or not is_open(self._session):
            return None
        # A late request must not replace the cookie of the session that the browser has by now; and where the
        # application has emptied the session, nobody is to come back in the same request.
        if getattr(state, "late", False) or state.intent == END:
            return None
        # A WebSocket's session is saved under the id that it has, which somebody may have planted.
        if is_handshake(self._environ) and state.may_save_late():
            return None
        if len(values) > 1:
            logger.info("remember cookie refused: ambiguous")
            return None
        return self._tokens.recall(values[0], now)

    def accept(self, recalled: Recalled, version: str | None, now: int) -> bool:
        """Let the cookie bring its user back; False where its device has ended meanwhile.

        Args:
            version: Digest of the ``session_version`` that the user has now.

        Raises:
            StoreError: The store does not answer.
        """
        issued = None if self._tokens is None else self._tokens.accept(recalled, version, now)
        if issued is None:
            return False
        self._issued, self._owner, self._recalled = issued, recalled.user_id, recalled
        return True

    def refuse(self) -> None:
        """Have the cookie deleted, and its device ended."""
        self._is_deleted = True

    # Log-in and log-out

    def issue(self, user_id: str, version: str | None, now: int) -> Issued | None:
        """Make the cookie of a log-in; nothing is changed yet.

        Raises:
            ValueError: The user's id is too long for it.
        """
        return None if self._tokens is None else self._tokens.issue(user_id, version, now)

    def bind(self) -> None:
        """Let the session, which has just begun, end with the device of the cookie that was accepted."""
        if self._issued is not None:
            self._belong_to(self._issued)

    def replace(self, issued: Issued, user_id: str, former: str | None) -> None:
        """Send the cookie of a log-in, and end what came.

        Args:
            issued: What :meth:`issue` made.
            user_id: The user's.
            former: The name of the record of the device that the session belonged to.
        """
        self._issued, self._owner, self._is_new = issued, user_id, True
        self._recalled, self._is_deleted = None, False
        self._belong_to(issued)
        if self._tokens is not None:
            self._endings += [partial(self._tokens.forget, value) for value in self.values]
            if former is not None:
                self._endings.append(partial(self._tokens.end, former, user_id))

    def keep(self, user_id: str, now: int, counts: Callable[[Recalled], bool]) -> None:
        """After a log-in that is not to be remembered: let the session belong to the device of the cookie that came.

        One of another user's is deleted instead, and so is one that does not count any more.

        Raises:
            StoreError: The store does not answer.
        """
        tokens = self._tokens
        if tokens is None:
            return
        if self._owner == user_id:
            # This very request has brought the user back, or made the cookie.
            self.bind()
            return
        self._issued = self._owner = self._recalled = None
        self._is_new = False
        for value in () if self._is_deleted else self.values:
            recalled = tokens.recall(value, now)
            if recalled is not None and recalled.user_id == user_id and counts(recalled):
                self._belong_to(Issued(value, recalled.expires, recalled.companion))
            elif recalled is not None:
                self._is_deleted = True
        if self._is_deleted:
            # The device ends, and this session goes on.
            self._session._touch().set_metadata(COMPANION, None)

    def end(self) -> None:
        """Have the cookie deleted and its device ended: the session was ended."""
        self._issued = self._owner = self._recalled = None
        self._is_new, self._is_deleted = False, True
        self._endings.clear()

    def _belong_to(self, issued: Issued) -> None:
        """Let the session end with the record of a device, and that with the session."""
        if issued.companion is not None:
            self._session._touch().set_metadata(COMPANION, issued.companion)
            self._session[facts.UNTIL] = issued.expires

    # The response

    def commit(self, is_anonymous: bool) -> list[Header]:
        """Do what has to be done before the response's headers go out.

        Args:
            is_anonymous: Whether nobody is logged in by now.

        Returns:
            The headers that set or delete the cookie.

        Raises:
            StoreError: The store does not answer.
        """
        state, values, tokens = self._session._touch(), self.values, self._tokens
        if is_anonymous:
            # The application may have emptied the session by itself: it would be surprised to see the user come back.
            self._issued = self._owner = None
            self._is_deleted |= state.intent == END
        if self._is_deleted and tokens is not None:
            if state.intent == END:
                for value in values:
                    tokens.forget(value)
            else:
                # The session goes on, and what is saved of it may still say that it belongs to the device.
                self._endings += [partial(tokens.forget, value) for value in values]
        if self._issued is not None and self._is_new and tokens is not None:
            tokens.save(self._issued, state.metadata.get(SINCE, ""))
        self._is_closed = True
        return [("Set-Cookie", text) for text in self._texts(len(values))]

    def close(self) -> None:
        """The headers are out, though not with ours: nothing can be sent any more."""
        self._is_closed = True

    def left_to_do(self) -> list[Callable[[], None]]:
        """What is to be done once the session was committed and the response is on its way."""
        used = [] if self._recalled is None else [partial(self._use_up, self._recalled)]
        return [*used, *self._endings]

    def _use_up(self, recalled: Recalled) -> None:
        session_id = self._session.id
        if self._tokens is not None and not self._tokens.use_up(recalled) and session_id is not None:
            # It was ended while this request was under way.
            self._remember.sessions.end(session_id)

    def _texts(self, came: int) -> list[str]:
        """The texts of the Set-Cookie headers.

        Args:
            came: How many different remember cookies the request brought.
        """
        cookie, environ, issued = self._remember.cookie, self._environ, self._issued
        https = environ.get("wsgi.url_scheme") == "https"
        if issued is not None and (self._recalled is None or self._recalled.value != issued.value):
            texts = [cookie.set(issued.value, https, issued.expires)]
        elif self._is_deleted and came:
            texts = [cookie.delete(https)]
        else:
            return []
        if came > 1 or self._is_deleted:
            # One under another Domain or Path would come back.
            host = environ.get("HTTP_HOST") or environ.get("SERVER_NAME", "")
            path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "") or "/"
            behind_tls = "https" in environ.get("HTTP_X_FORWARDED_PROTO", "")
            texts = [*cookie.delete_elsewhere(host, path, https, behind_tls=behind_tls), *texts]
        return texts
