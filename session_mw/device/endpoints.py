"""Answers what browsers send by themselves: the registration of a device, and its proofs.

A browser gives a binding up where a refresh is answered by a 4xx other than 403, 407 and 429. That is kept for what is
over. A 403 brings a new challenge, and the browser tries again.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from session_mw.backends.kept_state import KeptState
from session_mw.backends.revocable import RevocableState
from session_mw.device import fields
from session_mw.device.binding import IDENTIFIER, binding_in, identifier_of
from session_mw.device.proofs import BadProof, read_refresh, read_registration
from session_mw.device.tokens import REFRESH, REGISTER
from session_mw.exceptions import CookieTooLarge
from session_mw.headers import with_session_headers
from session_mw.lazy_dict import SENT
from session_mw.manager import SessionManager
from session_mw.session import Session
from session_mw.state import DEVICE, VARIES, Header, Outcome

if TYPE_CHECKING:
    from session_mw.device.guard import DeviceGuard

logger = logging.getLogger("session_mw")

REGISTER_PATH = "/register"
REFRESH_PATH = "/refresh"
OFFER_LIFETIME = 300
"""Seconds for which a browser may register after an offer."""
_LONGEST_CHALLENGE = 3600
"""Seconds. A challenge for the next proof holds for as long as the proof cookie, and as long again as an offer."""


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
        self._actions = {self._path + REGISTER_PATH: self._register, self._path + REFRESH_PATH: self._refresh}

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes] | None:
        """Answer what is sent to one of the paths; None: the request is the application's.

        Raises:
            StoreError: The store does not answer; a browser takes a 5xx for what passes.
        """
        environ.setdefault(self._guard.root, environ.get("SCRIPT_NAME", ""))
        if "HTTP_SECURE_SESSION_SKIPPED" in environ:
            reasons = fields.read_skipped(environ["HTTP_SECURE_SESSION_SKIPPED"])
            logger.info("a browser says that it sends no proof of its device: %s", ", ".join(reasons) or "another reason")
        action = self._actions.get(environ.get("PATH_INFO", ""))
        if action is None:
            return None
        # Not in the response's session: what is not done commits nothing, and refreshes no cookie.
        session = self._sessions.open({**environ, self._guard.endpoint: True})
        headers = [
            ("Cache-Control", "no-store"),
            ("Content-Type", "application/json"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("X-Content-Type-Options", "nosniff"),
        ]
        try:
            if environ.get("REQUEST_METHOD") != "POST":
                raise Refusal("405 Method Not Allowed", "only browsers' own POSTs are answered here", ("Allow", "POST"))
            status, (outcome, value, body) = "200 OK", action(environ, session)
            sessions = self._sessions
            headers = with_session_headers(headers, outcome, session, sessions.cookie_name, sessions.notices)
            headers += self._proof_headers(value)
        except Refusal as refusal:
            what = environ["PATH_INFO"].removeprefix(f"{self._path}/")
            logger.log(refusal.level, "device-bound sessions: %s refused: %s", what, refusal.reason)
            status, body = refusal.status, json.dumps({"refused": refusal.reason}).encode()
            headers += refusal.headers
        session._advance(SENT)
        start_response(status, [*headers, ("Content-Length", str(len(body)))])
        return [b"" if environ.get("REQUEST_METHOD") == "HEAD" else body]

    def _register(self, environ: dict[str, Any], session: Session) -> tuple[Outcome, str, bytes]:
        """Bind the session to the key in the proof, if the proof answers an offer that was made for the session."""
        state = session._touch()
        if not isinstance(state, KeptState) or not state.token or state.principal is None:
            raise _nobodys()
        name = self._guard.name_of(state)
        if state.device_bound or self._guard.restored(session, name):
            raise _second()
        try:
            challenge, key = read_registration(_proof_in(environ), self._guard.algorithms)
        except BadProof as error:
            raise Refusal("400 Bad Request", f"the proof is none: {error}") from None
        if not self._is_young(self._tokens.issued(challenge, REGISTER, name), OFFER_LIFETIME):
            raise Refusal("403 Forbidden", "the challenge is of another session, or too old")
        state.set_metadata(DEVICE, f"{name}.{key}")
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
        root = environ[self._guard.root]
        cookie = self._guard.proof_cookie
        instructions = {
            "session_identifier": binding.session_identifier,
            "refresh_url": fields.url_path(root + self._path + REFRESH_PATH),
            "scope": {"include_site": False},
            "credentials": [{"type": "cookie", "name": cookie.name, "attributes": cookie.attributes(True)}],
        }
        return outcome, state.metadata[DEVICE], json.dumps(instructions).encode()

    def _refresh(self, environ: dict[str, Any], session: Session) -> tuple[Outcome, str, bytes]:
        """Give a new proof cookie for a proof that answers a challenge made for the key.

        The session is only read. A page that is left open is proven again and again, and is not used.
        """
        identifier = fields.read_string(environ.get("HTTP_SEC_SECURE_SESSION_ID", ""))
        if identifier is None or not IDENTIFIER.fullmatch(identifier):
            raise Refusal("400 Bad Request", "Sec-Secure-Session-Id is missing, or no identifier")
        state = session._touch()
        if getattr(state, "late", False):
            # Sent before the browser knew the session's new cookie: it brings that the next time.
            raise self._challenged(identifier, "the session's id was changed meanwhile")
        value = ""
        if isinstance(state, KeptState) and state.principal is not None:
            value = state.metadata.get(DEVICE) or ""
            if not state.device_bound and state.token:
                value = self._guard.restored(session, self._guard.name_of(state))
        key = value.partition(".")[2]
        if not key or identifier_of(key) != identifier:
            raise _nobodys()
        if "HTTP_SECURE_SESSION_RESPONSE" not in environ:
            raise self._challenged(identifier, "the proof is missing")
        try:
            challenge = read_refresh(_proof_in(environ), key)
        except BadProof as error:
            raise Refusal("400 Bad Request", f"the proof is none: {error}") from None
        longest = min(_LONGEST_CHALLENGE, self._proof_lifetime + OFFER_LIFETIME)
        if not self._is_young(self._tokens.issued(challenge, REFRESH, identifier), longest):
            raise self._challenged(identifier, "the challenge is of another session, or too old")
        return VARIES, value, b""

    def _is_young(self, issued: int | None, lifetime: int) -> bool:
        """Whether a challenge was made by this site, and not too long ago."""
        # Another server's clock may be ahead.
        return issued is not None and -self._leeway <= int(time.time()) - issued <= lifetime

    def _challenged(self, identifier: str, reason: str) -> Refusal:
        return Refusal("403 Forbidden", reason, self._challenge(identifier))

    def _challenge(self, identifier: str) -> Header:
        challenge = self._tokens.challenge(int(time.time()), REFRESH, identifier)
        return "Secure-Session-Challenge", fields.challenge_for(identifier, challenge)

    def _proof_headers(self, value: str) -> list[Header]:
        """The proof cookie of a session with this value in its metadata, and the challenge for the next one."""
        proof = self._tokens.prove(int(time.time()), value)
        cookie = self._guard.proof_cookie.set_for(proof, True, self._proof_lifetime)
        return [("Set-Cookie", cookie), self._challenge(identifier_of(value.partition(".")[2]))]


def _proof_in(environ: dict[str, Any]) -> str:
    proof = fields.read_string(environ.get("HTTP_SECURE_SESSION_RESPONSE", ""))
    if proof is None:
        raise BadProof("Secure-Session-Response is missing, or no text of a JWT's letters")
    return proof


def _nobodys() -> Refusal:
    return Refusal("401 Unauthorized", "there is no session that it is for", ("WWW-Authenticate", "Cookie"))


def _second() -> Refusal:
    return Refusal("409 Conflict", "the session is bound to another device already", level=logging.WARNING)
