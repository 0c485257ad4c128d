"""Judges sessions that are bound to a device, and offers browsers to bind those that are somebody's.

    a session that is somebody's, read or written over https
      not bound   → the response offers a registration
      bound       → it counts only with a proof cookie that was made for it a short time ago
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterable
from typing import Any

from session_mw.backends.kept_state import KeptState
from session_mw.codecs.base64url import b64encode
from session_mw.cookies import MAX_CANDIDATES, MAX_COOKIE, SessionCookie, path_matches
from session_mw.device import fields
from session_mw.device.binding import ES256, NAME_SIZE, RS256
from session_mw.device.endpoints import REGISTER_PATH, Endpoints
from session_mw.device.tokens import REGISTER, DeviceTokens, subject_of
from session_mw.exceptions import CookieTooLarge
from session_mw.lazy_dict import FORCED, OPEN
from session_mw.manager import SessionManager
from session_mw.notices import Notices
from session_mw.rejections import RejectionLog
from session_mw.session import Session
from session_mw.settings import Settings
from session_mw.state import DEVICE, END, Outcome, SessionState, is_bound

SUFFIX = "-proof"

_ROOM_FOR_KEY = 64
"""Bytes by which a token grows that gets a key."""
# Inside a text a quotation mark would have a backslash before it; but the key may be one of a nested dict.
_VALUES = re.compile(rb'"_dbsc":"([A-Za-z0-9._-]+)"')


class DeviceGuard:
    """What a manager has whose sessions are bound to devices.

    Args:
        settings: The manager's.
        cookie: The session cookie.
        notices: Told what keeps browsers from registering.

    Attributes:
        settings: The manager's.
        tokens: Makes challenges and proof cookies, and knows them again.
        proof_cookie: The cookie that browsers keep for a short time only.
        algorithms: What devices may sign with.
        root: The environ's key for the middleware's root as it was when the request came; dispatchers move it.
        endpoint: The environ's key that says that the request is for an endpoint, which asks for the proof itself.
    """

    def __init__(self, settings: Settings, cookie: SessionCookie, notices: Notices) -> None:
        self.settings = settings
        self.tokens = DeviceTokens(settings)
        self.proof_cookie = SessionCookie(
            settings.cookie_name + SUFFIX,
            domain=settings.cookie_domain,
            path=settings.cookie_path,
            secure=True,
            httponly=True,
            samesite=settings.cookie_samesite,
            partitioned=False,
        )
        # An RSA key is too long for a cookie that is sent with every request.
        self.algorithms: tuple[str, ...] = (ES256,) if settings.store is None else (ES256, RS256)
        self.root = f"session_mw.device.{settings.cookie_name}"
        self.endpoint = f"{self.root}.endpoint"
        self._is_in_cookies = settings.store is None
        self._cookie = cookie
        self._notices = notices
        self._lifetime, self._leeway = settings.proof_seconds, settings.leeway_seconds

    def serve(self, sessions: SessionManager) -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes] | None]:
        """What the middleware calls first in each request."""
        return Endpoints(self, sessions)

    def admits(
        self, session: Session, state: KeptState[Any], rejections: RejectionLog, logged: set[str] | None = None
    ) -> bool:
        """Whether the session is bound to no device, or the request brings the device's proof."""
        value = state.metadata.get(DEVICE, "")
        if "." not in value or self.proven_until(session, value) is not None:
            return True
        if session._environ is not None and self.endpoint in session._environ:
            return True
        reports = self.settings.device_bound == "report"
        rejections.log("unproven", state.token, logged, verdict="would be refused" if reports else "refused")
        return reports

    def admits_unread(self, session: Session, payload: bytes) -> bool:
        """The same of a payload that nobody reads; False where it has to be read."""
        if b"\\u00" in payload:
            return False
        values = [value.decode() for value in _VALUES.findall(payload)]
        return all("." not in value or self.proven_until(session, value) is not None for value in values)

    def proven_until(self, session: Session, value: str) -> int | None:
        """Unix time until which the request's proof cookie holds for a session with this value in its metadata.

        None: the request brings no such cookie, or it holds no more.
        """
        subject, now = subject_of(value), int(time.time())
        for text in self.proof_cookie.values(session._header)[:MAX_CANDIDATES]:
            proven = self.tokens.proven(text)
            # Another server's clock may be ahead.
            if proven is not None and proven[0] == subject and -self._leeway <= now - proven[1] <= self._lifetime:
                return proven[1] + self._lifetime
        return None

    def save(self, session: Session, state: SessionState) -> Outcome:
        """Save the session; one that is somebody's and not bound yet gets a name, and the response an offer."""
        if not isinstance(state, KeptState):
            return state.save(session)
        ends = state.intent == END
        if state.principal is None or is_bound(state.metadata):
            outcome = state.save(session)
        else:
            outcome = self._save_unbound(session, state)
        if ends and len(outcome.headers) > 1 and self.proof_cookie.values(session._header):
            gone = "Set-Cookie", self.proof_cookie.delete(True)
            return Outcome((*outcome.headers, gone), outcome.refresh_only, outcome.offers)
        return outcome

    def name_of(self, state: KeptState[Any]) -> str:
        """The name of a session that is somebody's: what it is bound by, also while it has no id."""
        name = state.metadata.get(DEVICE, "").partition(".")[0]
        if name:
            return name
        if not state.token or state.intent == END:
            return b64encode(secrets.token_bytes(NAME_SIZE))
        # It was begun before it could be bound. Requests that come at the same time find the same name.
        return self.tokens.name_of(state.saved_id.encode() or state.payload, state.principal or "")

    def restored(self, session: Session, name: str) -> str:
        """What an unbound session in a cookie was bound to by its proof cookie; empty where that says nothing.

        An answer to a request that was sent before the registration has replaced the cookie by one without a key.
        """
        if self._is_in_cookies:
            for text in self.proof_cookie.values(session._header)[:MAX_CANDIDATES]:
                value = text.rpartition(".")[0].rpartition(".")[0]
                if value.startswith(f"{name}.") and self.proven_until(session, value) is not None:
                    return value
        return ""

    def _save_unbound(self, session: Session, state: KeptState[Any]) -> Outcome:
        former, changes, name = state.metadata.get(DEVICE), session._changes, self.name_of(state)
        if value := self.restored(session, name):
            state.set_metadata(DEVICE, value)
            session._changes = FORCED
        elif changes:
            state.set_metadata(DEVICE, name)
        try:
            outcome = state.save(session)
        except CookieTooLarge:
            if state.metadata.get(DEVICE) == former:
                raise
            # The application's data fit without what is ours.
            state.set_metadata(DEVICE, former)
            session._changes = changes
            outcome = state.save(session)
        return outcome if value else self._with_offer(session, state, outcome)

    def _with_offer(self, session: Session, state: KeptState[Any], outcome: Outcome) -> Outcome:
        """What is asked of the response, with the offer to register a device."""
        root = None if session._environ is None else session._environ.get(self.root)
        if root is None or not state.token or session._phase != OPEN:
            return outcome
        if not session._https:
            self._notices.device_over_http(session)
            return outcome
        path = fields.url_path(root + self.settings.device_path + REGISTER_PATH)
        if not path_matches(self._cookie.path, path):
            self._notices.device_path(path)
            return outcome
        if self._is_in_cookies and len(state.token) + len(self._cookie.name) + _ROOM_FOR_KEY > MAX_COOKIE:
            return outcome
        challenge = self.tokens.challenge(int(time.time()), REGISTER, self.name_of(state))
        offer = "Secure-Session-Registration", fields.registration(self.algorithms, path, challenge)
        return Outcome(outcome.headers, outcome.refresh_only, (offer,))
