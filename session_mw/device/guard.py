"""Judges sessions that are bound to a device, and offers browsers to bind those that are somebody's.

Of a session that is somebody's, read or written over https:

    it is not bound    the response offers a registration
    it is bound        it counts only with a proof cookie that was made for it a short time ago
"""

from __future__ import annotations

import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from session_mw.backends.kept_state import KeptState
from session_mw.codecs.base64url import b64encode
from session_mw.cookies import MAX_CANDIDATES, MAX_COOKIE, SessionCookie, path_matches
from session_mw.device import fields
from session_mw.device.binding import ES256, NAME_LENGTH, NAME_SIZE, RS256, Binding, offered_at, read_binding
from session_mw.device.endpoints import REGISTER_PATH, Endpoints
from session_mw.device.tokens import REGISTER, DeviceTokens
from session_mw.exceptions import CookieTooLarge
from session_mw.lazy_dict import FORCED, OPEN
from session_mw.manager import SessionManager
from session_mw.notices import Notices
from session_mw.rejections import RejectionLog
from session_mw.session import Session
from session_mw.settings import Settings
from session_mw.state import END, KEEP, SIGNER, VARIES, Outcome, SessionState

UNDER_WAY = 5
"""Seconds after a registration in which requests come that were sent before the browser had a proof cookie."""

_ROOM_FOR_KEY = 64
"""Bytes by which a token grows that gets a key."""
_SETTLED = 10
"""Seconds after a log-in in which the browser registers, if it can."""
_DESTINATIONS = ("document", "iframe", "frame", "empty")
"""What ``Sec-Fetch-Dest`` says of pages and of what scripts ask for, but not of images and the like."""
_MAX_KEPT = 256
_LONGEST_KEPT = 4096
"""Characters of a Cookie header."""
# A text of the application's would have backslashes before the quotation marks.
_BOUND = re.compile(rb'"_signer":"[A-Za-z0-9_-]+\.')


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
        root: The environ's key for the middleware's root, if it has one, when the request came; dispatchers move it.
        endpoint: The environ's key that says that the request is for an endpoint, which asks for the proof itself.
    """

    def __init__(self, settings: Settings, cookie: SessionCookie, notices: Notices) -> None:
        self.settings = settings
        self.tokens = DeviceTokens(settings)
        self.proof_cookie = SessionCookie(
            settings.proof_cookie_name,
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
        # An adapter that works alone answers no browser.
        self._is_served = False
        self._is_in_cookies = settings.store is None
        self._cookie = cookie
        self._notices = notices
        self._lifetime, self._leeway = settings.proof_seconds, settings.leeway_seconds
        # What was proven by Cookie headers, which browsers send again and again: the value in the metadata, the same
        # as a payload has it, and the Unix times between which it holds.
        self._proven: OrderedDict[str, tuple[str, bytes, int, int]] = OrderedDict()
        cookie.remember_headers()

    def serve(self, sessions: SessionManager) -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes] | None]:
        """What the middleware calls first in each request."""
        self._is_served = True
        return Endpoints(self, sessions).answer

    def proofs(self, session: Session) -> list[tuple[str, int]]:
        """The subjects of the request's proof cookies that hold, and the Unix times until which they do."""
        now, found = int(time.time()), []
        for text in self.proof_cookie.values(session._header)[:MAX_CANDIDATES]:
            proven = self.tokens.proven(text)
            # Another server's clock may be ahead.
            if proven is not None and -self._leeway <= now - proven[1] <= self._lifetime:
                found.append((proven[0], proven[1] + self._lifetime))
        return found

    def proven_until(self, session: Session, binding: Binding) -> int | None:
        """Unix time until which the request's proof cookie holds for what is bound so; None: there is none."""
        return max((until for subject, until in self.proofs(session) if subject == binding.subject), default=None)

    # Judging

    def admits(
        self, session: Session, state: KeptState[Any], rejections: RejectionLog, logged: set[str] | None = None
    ) -> bool:
        """Whether the session is bound to no device, or the request brings the device's proof."""
        value = state.metadata.get(SIGNER)
        if value is None or "." not in value:
            return True
        kept = self._proven.get(session._header)
        if kept is not None and kept[0] == value and kept[2] <= time.time() <= kept[3]:
            return True
        return self._admits_bound(session, state, value, rejections, logged)

    def _admits_bound(
        self, session: Session, state: KeptState[Any], value: str, rejections: RejectionLog, logged: set[str] | None
    ) -> bool:
        binding = read_binding(value)
        if binding is None:
            return True
        until = self.proven_until(session, binding)
        if until is not None:
            if len(session._header) <= _LONGEST_KEPT:
                since = until - self._lifetime - self._leeway
                self._proven[session._header] = value, f'"{SIGNER}":"{value}"'.encode(), since, until
                if len(self._proven) > _MAX_KEPT:
                    self._proven.popitem(last=False)
            return True
        if session._environ is not None and self.endpoint in session._environ:
            return True
        if binding.since is not None and self.was_under_way(session, binding.name, binding.since):
            return True
        if self.settings.device_bound == "report":
            rejections.would_reject("unproven", state.token, logged)
            return True
        rejections.log("unproven", state.token, logged)
        return False

    def admits_unread(self, session: Session, payload: bytes) -> bool:
        """The same of a payload that nobody reads; False where it has to be read."""
        kept = self._proven.get(session._header)
        if kept is not None and kept[2] <= time.time() <= kept[3] and payload.find(kept[1]) >= 0:
            return True
        return _BOUND.search(payload) is None and payload.find(b"\\u00") < 0

    def was_under_way(self, session: Session, name: str, bound_at: int) -> bool:
        """Whether the request may have been sent before its browser had the answer to the registration, a moment ago.

        The page that a log-in leads to, and its scripts, come while the browser registers. Who says so untruly gains
        some seconds.

        Args:
            name: The session's.
            bound_at: Unix time of the registration.
        """
        environ = session._environ or {}
        # Other clients than browsers do not say where a request comes from, and none of another site's was on its way.
        if environ.get("HTTP_SEC_FETCH_SITE") not in ("same-origin", "none") or self.endpoint in environ:
            return False
        if not -self._leeway <= int(time.time()) - bound_at <= UNDER_WAY:
            return False
        # With a proof, also one that is over, it has had the answer.
        return not any(text.startswith(f"{name}.") for text in self.proof_cookie.values(session._header))

    # Saving

    def save(self, session: Session, state: SessionState) -> Outcome:
        """Save the session; one that is somebody's and not bound yet gets a name, and the response an offer."""
        if "." in state.metadata.get(SIGNER, "") or not isinstance(state, KeptState):
            return state.save(session)
        ends = state.intent == END
        outcome: Outcome = state.save(session) if state.principal is None else self._save_unbound(session, state)
        if (ends and len(outcome.headers) > 1) or (state.rejected and session._phase == OPEN):
            return self._without_proof(session, outcome)
        return outcome

    def name_of(self, state: KeptState[Any]) -> str:
        """The name of a session that is somebody's: what it is bound by, also while it has no id."""
        name: str = state.metadata.get(SIGNER, "")[:NAME_LENGTH]
        if name:
            return name
        if not state.token or state.intent == END:
            return b64encode(secrets.token_bytes(NAME_SIZE))
        # It began before it could be bound. Requests that come at the same time give it the same name.
        return self.tokens.name_of(state.saved_id.encode() or state.payload, state.principal or "")

    def restored(self, session: Session, name: str) -> Binding | None:
        """What an unbound session in a cookie was bound to, by its proof cookie; None where that says nothing.

        An answer to a request that was sent before the registration has replaced the cookie by one without a key.
        """
        if self._is_in_cookies:
            for subject, _ in self.proofs(session):
                if subject.startswith(f"{name}."):
                    return read_binding(subject)
        return None

    def value_of(self, name: str, key: str) -> str:
        """What stands in the metadata of a session that is bound now."""
        return f"{name}.{key}" if self._is_in_cookies else f"{name}.{key}.{int(time.time())}"

    def _save_unbound(self, session: Session, state: KeptState[Any]) -> Outcome:
        if getattr(state, "late", False):
            return state.save(session)
        begins = not state.token or state.intent != KEEP
        former, changes, name = state.metadata.get(SIGNER), session._changes, self.name_of(state)
        binding = self.restored(session, name)
        if binding is not None:
            state.set_metadata(SIGNER, self.value_of(name, binding.key))
            session._changes = FORCED
        elif changes:
            state.set_metadata(SIGNER, f"{name}@{int(time.time())}" if begins else former or name)
        try:
            outcome = state.save(session)
        except CookieTooLarge:
            # The application's data may fit without what is ours.
            state.set_metadata(SIGNER, None)
            session._changes = changes
            outcome = state.save(session)
        return outcome if binding is not None else self._with_offer(session, state, outcome, begins)

    def _with_offer(self, session: Session, state: KeptState[Any], outcome: Outcome, begins: bool) -> Outcome:
        """What is asked of the response, with the offer to register a device.

        Args:
            begins: Whether the session begins, or has got a new id: somebody has just logged in.
        """
        environ = session._environ or {}
        if not self._is_served or not state.token or session._phase != OPEN:
            return outcome
        if not session._https:
            self._notices.device_over_http(session)
            return outcome
        if not begins and not self._can_register(environ, offered_at(state.metadata)):
            return outcome
        # A browser would send no cookie: its POST counts as the other site's.
        if environ.get("HTTP_SEC_FETCH_SITE") == "cross-site" and self.settings.cookie_samesite != "None":
            return outcome
        path = fields.url_path(environ.get(self.root, "") + self.settings.device_path + REGISTER_PATH)
        if not path_matches(self._cookie.path, path):
            self._notices.device_path(path)
            return outcome
        if self._is_in_cookies and len(state.token) + len(self._cookie.name) + _ROOM_FOR_KEY > MAX_COOKIE:
            return outcome
        challenge = self.tokens.challenge(int(time.time()), REGISTER, self.name_of(state))
        offer = "Secure-Session-Registration", fields.registration(self.algorithms, path, challenge)
        return Outcome(outcome.headers, outcome.refresh_only, (offer,))

    def _can_register(self, environ: Mapping[str, Any], offered: int) -> bool:
        """Whether one more offer makes sense, by what the browser says of the request (Fetch Metadata, W3C).

        A browser registers once for each offer, all at the same time, and signs only so often in ten minutes. So what
        belongs to a page gets none, nor what follows at once upon a log-in.

        Args:
            offered: Unix time of the log-in.
        """
        destination = environ.get("HTTP_SEC_FETCH_DEST")
        return destination is None or (destination in _DESTINATIONS and int(time.time()) - offered >= _SETTLED)

    def _without_proof(self, session: Session, outcome: Outcome) -> Outcome:
        """What is asked of the response, with a deletion of a proof cookie that is of no use.

        As long as the browser has one, it does not make another: that of a former session, say, or of the other key
        where a browser has registered twice at once.
        """
        if not self.proof_cookie.values(session._header):
            return outcome
        headers = outcome.headers or VARIES.headers
        return Outcome((*headers, ("Set-Cookie", self.proof_cookie.delete(True))), outcome.refresh_only, outcome.offers)
