"""A browser that binds its sessions to a device (DBSC): what Chromium sends, with keys in Python."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from session_mw import SessionMiddleware
from support.validators import App, between_validators
from support.visitors import Visitor
from support.wsgi import KEY, PLAIN, Answer

PATH = "/.session-device"
REGISTER, REFRESH = f"{PATH}/register", f"{PATH}/refresh"
MINUTE = 60


class Device:
    """A key that leaves no device.

    Args:
        algorithm: ``ES256`` or ``RS256``.
        key: Another one than a new one.
    """

    def __init__(self, algorithm: str = "ES256", key: Any = None) -> None:
        self.algorithm = algorithm
        if key is None and algorithm == "ES256":
            key = ec.generate_private_key(ec.SECP256R1())
        self.key = key or rsa.generate_private_key(65537, 2048)

    @property
    def jwk(self) -> dict[str, Any]:
        kind = ECAlgorithm if isinstance(self.key, ec.EllipticCurvePrivateKey) else RSAAlgorithm
        jwk: dict[str, Any] = json.loads(kind.to_jwk(self.key.public_key()))
        jwk.pop("key_ops", None)
        return jwk

    def proof(self, challenge: str, *, brings_key: bool = False, claims: Any = None, **header: Any) -> str:
        """A signed JWT; None takes a member of the header away."""
        members = {"typ": "dbsc+jwt", **({"jwk": self.jwk} if brings_key else {}), **header}
        algorithm = members.pop("alg", self.algorithm)
        return jwt.encode(
            {"jti": challenge} if claims is None else claims,
            self.key,
            algorithm=algorithm,
            headers={name: value for name, value in members.items() if value is not None},
        )


@dataclass
class BindingBrowser(Visitor):
    """A visitor over https whose browser registers, and proves its device when it is told to.

    Attributes:
        device: The key of the registration.
        identifier: What the server calls the session; empty until it is bound.
        offer: The last offer's path and challenge; None: the last answer had none.
        challenge: For the next proof.
    """

    device: Device = field(default_factory=Device)
    identifier: str = ""
    offer: tuple[str, str] | None = None
    challenge: str = ""
    instructions: dict[str, Any] = field(default_factory=dict)

    def get(self, path: str = "/", **more: Any) -> Answer:
        answer = super().get(path, https=True, **more)
        offers = answer.all("Secure-Session-Registration")
        self.offer = None
        if offers:
            (offer,) = offers
            found = re.fullmatch(r'\([A-Z0-9 ]+\);path="([^"]+)";challenge="([^"]+)"', offer)
            assert found is not None, offer
            self.offer = found[1], found[2]
        return answer

    def post(self, path: str, **headers: str) -> Answer:
        """What the browser sends by itself; its cookies come along."""
        environ = {f"HTTP_{name.upper()}": value for name, value in headers.items()}
        answer = Visitor.get(self, path, https=True, REQUEST_METHOD="POST", CONTENT_LENGTH="0", **environ)
        for value in answer.all("Secure-Session-Challenge"):
            found = re.fullmatch(r'"([^"]+)";id="([^"]+)"', value)
            assert found is not None, value
            self.challenge = found[1]
        return answer

    def register(self, device: Device | None = None) -> Answer:
        """Follow the last offer."""
        assert self.offer is not None
        path, challenge = self.offer
        proof = (device or self.device).proof(challenge, brings_key=True)
        answer = self.post(path, secure_session_response=proof)
        if answer.status == "200 OK":
            self.device = device or self.device
            self.instructions = json.loads(answer.body)
            self.identifier = self.instructions["session_identifier"]
        return answer

    def refresh(self, device: Device | None = None) -> Answer:
        """Prove the device with the last challenge."""
        proof = (device or self.device).proof(self.challenge)
        path = self.instructions["refresh_url"]
        return self.post(path, sec_secure_session_id=self.identifier, secure_session_response=proof)

    def bind(self, path: str = "/login") -> BindingBrowser:
        """Log in, and register."""
        self.get(path)
        assert self.register().status == "200 OK"
        return self

    def thief(self, *names: str) -> BindingBrowser:
        """Another browser with a copy of cookies of these names, or of all."""
        return BindingBrowser(
            self.app, {name: value for name, value in self.jar.items() if name in (names or self.jar)}
        )

    @property
    def proof_cookie(self) -> str | None:
        return next((value for name, value in self.jar.items() if name.endswith("-proof")), None)


def site(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """An application whose pages do to the session what their paths say, and show it."""
    session, path = environ["session"], environ["PATH_INFO"]
    if path.startswith("/login"):
        session.regenerate_id()
        session.principal = path.removeprefix("/login").strip("/") or "42"
        session["user"] = session.principal
    elif path == "/write":
        session["n"] = session.get("n", 0) + 1
    elif path == "/renew":
        session.regenerate_id()
    elif path == "/logout":
        session.invalidate()
    elif path == "/clear":
        session.clear()
    elif path == "/anonymous":
        session["visits"] = 1
    shown = b"nothing" if path == "/untouched" else json.dumps(dict(session), sort_keys=True).encode()
    start_response("200 OK", [PLAIN])
    return [shown]


def warnings_in(log: pytest.LogCaptureFixture) -> list[str]:
    """The lines of level WARNING, without fingerprints."""
    lines = [record.getMessage() for record in log.records if record.levelno >= logging.WARNING]
    return [line.partition(" (fingerprint")[0] for line in lines]


def bound_site(app: App = site, **settings: Any) -> App:
    """The application with ``device_bound=True``, between two validators."""
    settings = {"secret_key": KEY, "device_bound": True, **settings}
    return between_validators(lambda inner: SessionMiddleware(inner, **settings), app)
