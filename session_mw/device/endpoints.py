"""Answers what browsers send by themselves: the registration of a device, and its proofs.

A browser gives a binding up where a refresh is answered by a 4xx other than 403, 407 and 429. That is kept for what is
over. A 403 brings a new challenge, and the browser tries again.
"""

from __future__ import annotations

import json
import logging
import time
from base64 import b64encode
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from session_mw.backends.kept_state import KeptState
from session_mw.backends.revocable_state import RevocableState
from session_mw.device import fields
from session_mw.device.binding import IDENTIFIER, Binding, binding_in
from session_mw.device.proofs import BadProof, read_refresh, read_registration
from session_mw.device.tokens import REFRESH, REGISTER
from session_mw.exceptions import CookieTooLarge, StoreError
from session_mw.headers import with_session_headers
from session_mw.lazy_dict import SENT
from session_mw.manager import SessionManager
from session_mw.session import Session
from session_mw.state import SIGNER, VARIES, Header, Outcome

if TYPE_CHECKING:
    from session_mw.device.guard import DeviceGuard

logger = logging.getLogger("session_mw")

REGISTER_PATH = "/register"
REFRESH_PATH = "/refresh"
OFFER_LIFETIME = 300
"""Seconds for which a browser may register after an offer."""
LONGEST_CHALLENGE = 3600
"""Seconds. A challenge for the next proof holds for as long as the proof cookie, and as long again as an offer."""

_Answer = tuple[str, list[Header], bytes]
_HEADERS = [
    ("Cache-Control", "no-store"),
    ("Content-Type", "application/json"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("X-Content-Type-Options", "nosniff"),
]

_ELSEWHERE = ("cross-site", "same-site")
_RELOAD = "location.reload()"
_RELOADING = (
    f"<!doctype html><html lang=en><meta charset=utf-8><title>One moment</title><script>{_RELOAD}</script>"
    "<noscript><meta http-equiv=refresh content=0></noscript>"
).encode()
_RELOADING_HEADERS = [
    ("Cache-Control", "no-store"),
    (
        "Content-Security-Policy",
        f"default-src 'none'; script-src 'sha256-{b64encode(sha256(_RELOAD.encode()).digest()).decode()}'",
    ),
    ("Content-Length", str(len(_RELOADING))),
    ("Content-Type", "text/html; charset=utf-8"),
    ("Vary", "Cookie, Sec-Fetch-Site"),
]


class Refusal(Exception):
    """The request is not done: with which status, and why."""

    def __init__(self, status: str, reason: str, *headers: Header, level: int = logging.INFO) -> None:
        super().__init__(reason)
        self.status, self.reason, self.headers, self.level = status, reason, headers, level


class Endpoints:
    """The two paths at which browsers register devices and send their proofs.

    Args:
        guard: The manager's.
        sessions: The manager.
    """

    def __init__(self, guard: DeviceGuard, sessions: SessionManager) -> None:
        self._guard = guard
        self._sessions = sessions
        self._tokens = guard.tokens
        self._path = guard.settings.device_path
        self._proof_lifetime, self._leeway = guard.settings.proof_seconds, guard.settings.leeway_seconds
        self._reloads = guard.settings.device_bound is True
        self._actions = {self._path + REGISTER_PATH: self._register, self._path + REFRESH_PATH: self._refresh}

    def answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes] | None:
        """Answer what is sent to one of the paths; None: the request is the application's.

        Raises:
            StoreError: The store does not answer; a browser takes a 5xx for something that passes.
        """
        if environ.get("SCRIPT_NAME"):
            environ.setdefault(self._guard.root, environ["SCRIPT_NAME"])
        if "HTTP_SECURE_SESSION_SKIPPED" in environ:
            reasons = fields.read_skipped(environ["HTTP_SECURE_SESSION_SKIPPED"])
            logger.info(
                "a browser says that it sends no proof of its device: %s", ", ".join(reasons) or "another reason"
            )
        path = environ.get("PATH_INFO")
        if path in self._actions:
            status, headers, body = self._answer(environ, self._actions[path])
        elif "HTTP_SEC_FETCH_SITE" in environ and self._has_to_reload(environ):
            status, headers, body = "200 OK", [*_RELOADING_HEADERS], _RELOADING
        else:
            return None
        start_response(status, headers)
        return [body]

    def _opened(self, environ: dict[str, Any]) -> Session:
        """The request's session, also without a proof."""
        return self._sessions.open({**environ, self._guard.endpoint: True})

    def _answer(self, environ: dict[str, Any], action: Callable[..., tuple[Outcome, Binding, bytes]]) -> _Answer:
        # A session of its own: where a request is refused, nothing is committed, and no cookie refreshed.
        session, sessions = self._opened(environ), self._sessions
        try:
            if environ.get("REQUEST_METHOD") != "POST":
                raise Refusal("405 Method Not Allowed", "only browsers' own POSTs are answered", ("Allow", "POST"))
            status, (outcome, binding, body) = "200 OK", action(environ, session)
            headers = with_session_headers([*_HEADERS], outcome, session, sessions.cookie_name, sessions.notices)
            headers += [self._proof_cookie(binding), self._challenge(binding.session_identifier)]
        except Refusal as refusal:
            what = environ["PATH_INFO"].removeprefix(f"{self._path}/")
            logger.log(refusal.level, "device-bound sessions: %s refused: %s", what, refusal.reason)
            status, body = refusal.status, json.dumps({"refused": refusal.reason}).encode()
            headers = [*_HEADERS, *refusal.headers]
        session._advance(SENT)
        headers.append(("Content-Length", str(len(body))))
        return status, headers, b"" if environ.get("REQUEST_METHOD") == "HEAD" else body

    def _register(self, environ: dict[str, Any], session: Session) -> tuple[Outcome, Binding, bytes]:
        """Bind the session to the key in the proof, if the proof answers an offer that was made for the session."""
        state = session._touch()
        if not isinstance(state, KeptState) or not state.token or state.principal is None:
            raise _nobodys()
        name = self._guard.name_of(state)
        if state.device_bound or self._guard.restored(session, name) is not None:
            raise _second()
        try:
            challenge, key = read_registration(_proof_in(environ), self._guard.algorithms)
        except BadProof as error:
            raise Refusal("400 Bad Request", f"the proof counts for nothing: {error}") from None
        if not self._is_young(self._tokens.issued(challenge, REGISTER, name), OFFER_LIFETIME):
            raise Refusal("403 Forbidden", "the challenge is of another session, or too old")
        state.set_metadata(SIGNER, self._guard.value_of(name, key))
        session._wrote()
        if isinstance(state, RevocableState):
            # A copy of the cookie from before could be registered for another device.
            state.renew()
        try:
            outcome = self._sessions.save(session)
        except CookieTooLarge:
            raise Refusal("413 Content Too Large", "with a key the session cookie would be too large") from None
        binding = binding_in(state.metadata)
        if not state.token or binding is None:
            raise _nobodys()
        if binding.key != key:
            # Another registration was saved first, and its key was merged into this session.
            raise _second()
        logger.info("a session was bound to its device (%s, %s)", binding.algorithm, binding.session_identifier)
        return outcome, binding, self._instructions(environ, binding)

    def _instructions(self, environ: dict[str, Any], binding: Binding) -> bytes:
        """What the browser has to know of the session that it keeps."""
        cookie = self._guard.proof_cookie
        instructions: dict[str, Any] = {
            "session_identifier": binding.session_identifier,
            "refresh_url": fields.url_path(environ.get(self._guard.root, "") + self._path + REFRESH_PATH),
            "scope": {"include_site": False},
            "credentials": [{"type": "cookie", "name": cookie.name, "attributes": cookie.attributes(True)}],
        }
        if self._guard.settings.cookie_samesite == "None":
            # With another SameSite a refresh that another site's link causes would come without the session cookie.
            instructions["allowed_refresh_initiators"] = ["*"]
        return json.dumps(instructions).encode()

    def _refresh(self, environ: dict[str, Any], session: Session) -> tuple[Outcome, Binding, bytes]:
        """Give a new proof cookie for a proof that answers a challenge made for the key.

        The session is only read: a page that is left open is proven again and again, and is not used.
        """
        identifier = fields.read_string(environ.get("HTTP_SEC_SECURE_SESSION_ID", ""))
        if identifier is None or not IDENTIFIER.fullmatch(identifier):
            raise Refusal("400 Bad Request", "Sec-Secure-Session-Id is missing, or no identifier")
        state = session._touch()
        if getattr(state, "late", False):
            # Sent before the browser knew the session's new cookie, which it brings the next time.
            raise self._challenged(identifier, "the session's id was changed meanwhile")
        binding = None
        if isinstance(state, KeptState) and state.token and state.principal is not None:
            binding = binding_in(state.metadata) or self._guard.restored(session, self._guard.name_of(state))
        if binding is None or binding.session_identifier != identifier:
            raise _nobodys()
        if "HTTP_SECURE_SESSION_RESPONSE" not in environ:
            raise self._challenged(identifier, "the proof is missing")
        try:
            challenge = read_refresh(_proof_in(environ), binding.key)
        except BadProof as error:
            raise Refusal("400 Bad Request", f"the proof counts for nothing: {error}") from None
        longest = min(LONGEST_CHALLENGE, self._proof_lifetime + OFFER_LIFETIME)
        if not self._is_young(self._tokens.issued(challenge, REFRESH, identifier), longest):
            raise self._challenged(identifier, "the challenge is of another session, or too old")
        return VARIES, binding, b""

    def _has_to_reload(self, environ: dict[str, Any]) -> bool:
        """Whether a page is asked for from another site's link, with a bound session and without a proof.

        Browsers make no proof for such a request. They do when the page itself asks for itself once more; without
        that its visitor would seem to be logged out.
        """
        if environ["HTTP_SEC_FETCH_SITE"] not in _ELSEWHERE or not self._reloads:
            return False
        is_page = environ.get("HTTP_SEC_FETCH_MODE") == "navigate" and environ.get("HTTP_SEC_FETCH_DEST") == "document"
        if not is_page or environ.get("REQUEST_METHOD") != "GET":
            return False
        session = self._opened(environ)
        if not session._header or self._guard.proofs(session):
            return False
        try:
            binding = binding_in(session._touch().metadata)
        except StoreError:
            # The application may do without the session.
            return False
        return binding is not None

    def _is_young(self, issued: int | None, lifetime: int) -> bool:
        """Whether a challenge was made by this site, and not too long ago."""
        # Another server's clock may be ahead.
        return issued is not None and -self._leeway <= int(time.time()) - issued <= lifetime

    def _proof_cookie(self, binding: Binding) -> Header:
        proof = self._tokens.prove(int(time.time()), binding.subject)
        return "Set-Cookie", self._guard.proof_cookie.set_for(proof, True, self._proof_lifetime)

    def _challenged(self, identifier: str, reason: str) -> Refusal:
        return Refusal("403 Forbidden", reason, self._challenge(identifier))

    def _challenge(self, identifier: str) -> Header:
        challenge = self._tokens.challenge(int(time.time()), REFRESH, identifier)
        return "Secure-Session-Challenge", fields.challenge_for(identifier, challenge)


def _proof_in(environ: dict[str, Any]) -> str:
    proof = fields.read_string(environ.get("HTTP_SECURE_SESSION_RESPONSE", ""))
    if proof is None:
        raise BadProof("Secure-Session-Response is missing, or holds no JWT")
    return proof


def _nobodys() -> Refusal:
    return Refusal("401 Unauthorized", "there is no session that it is for", ("WWW-Authenticate", "Cookie"))


def _second() -> Refusal:
    return Refusal("409 Conflict", "the session is bound to another device already", level=logging.WARNING)
