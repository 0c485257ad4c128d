"""What it costs that a session is bound to a device: to read it, to leave it alone, and to refresh its cookie."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from driving import Answer
from reports import Promise, Report, Table, promises_table
from scenarios import (
    BODY,
    HEADERS,
    KEY,
    READ,
    REFRESH,
    STATUS,
    UNTOUCHED,
    App,
    Data,
    Environ,
    Scenario,
    environ_of,
    sized,
)
from session_mw import MemoryStore, SessionMiddleware
from timing import by_turns, request_timer, typical

BOUND = 1.15
PLACES: dict[str, Callable[[], dict[str, Any]]] = {"cookie": dict, "memory": lambda: {"store": MemoryStore()}}
KINDS = ("without", "bound", "offered")


def run(quick: bool) -> Report:
    """Time by turns: without the setting, bound, and offered to a browser that does not answer."""
    rows, promises = [], list[Promise]()
    for place, settings in PLACES.items():
        for scenario in (READ, UNTOUCHED, REFRESH) if place == "cookie" else (READ,):
            timers = {kind: request_timer(*_visit(kind, scenario, settings())) for kind in KINDS}
            took = by_turns(timers, rounds=20 if quick else 100, turn_us=5000)
            rows.append([f"{scenario.name}, {place}", *(f"{typical(took, kind):.2f}" for kind in KINDS)])
            # Turn by turn: what slows the machine for a while slows both.
            times = statistics.median(one / other for one, other in zip(took["bound"], took["without"], strict=True))
            promises.append(Promise(f"{scenario.name}, {place}: × of without", times, BOUND, at_least=False))
    report = Report("device", "Sessions bound to a device")
    report.tables = [Table("µs of a request", ("", *KINDS), rows), promises_table(promises)]
    report.figures = {promise.what: promise.measured for promise in promises}
    return report


def _visit(kind: str, scenario: Scenario, settings: dict[str, Any]) -> tuple[App, Environ]:
    """An application, and the request of a visitor who has logged in there, with a device that is bound or not."""
    if kind != "without":
        settings["device_bound"] = True
    log_in = SessionMiddleware(_app(_filling(sized(100, scenario.permanent))), KEY, **settings)
    jar = dict[str, str]()
    offer = _ask(log_in, jar).headers
    if kind == "bound":
        _register(log_in, jar, dict(offer)["Secure-Session-Registration"])
        if len(jar) != 2:
            raise AssertionError("the session was not bound")
    app = SessionMiddleware(_app(scenario.touch), KEY, refresh_each_request=scenario.refresh, **settings)
    return app, _environ(jar)


def _app(touch: Callable[[Any], object] | None) -> App:
    def app(environ: Environ, start_response: Callable[..., Any]) -> list[bytes]:
        if touch is not None:
            touch(environ["session"])
        start_response(STATUS, HEADERS)
        return BODY

    return app


def _filling(data: Data) -> Callable[[Any], object]:
    def fill(session: Any) -> None:
        session.update(data)
        session.principal = "424"

    return fill


def _environ(jar: dict[str, str]) -> Environ:
    cookie = "; ".join(f"{name}={value}" for name, value in jar.items())
    return environ_of(cookie or None) | {"wsgi.url_scheme": "https"}


def _ask(app: App, jar: dict[str, str], **more: str) -> Answer:
    heard: list[Any] = []
    body = b"".join(app(_environ(jar) | more, lambda *start: heard.extend(start)))
    for name, value in heard[1]:
        if name == "Set-Cookie":
            key, _, rest = value.partition("=")
            jar[key] = rest.partition(";")[0]
    return Answer(heard[0], heard[1], body)


def _register(app: App, jar: dict[str, str], offer: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    header = {"typ": "dbsc+jwt", "jwk": json.loads(ECAlgorithm.to_jwk(key.public_key()))}
    path, challenge = re.findall('"(.*?)"', offer)
    proof = jwt.encode({"jti": challenge}, key, algorithm="ES256", headers=header)
    _ask(app, jar, PATH_INFO=path, REQUEST_METHOD="POST", HTTP_SECURE_SESSION_RESPONSE=proof)


if __name__ == "__main__":
    print(run(quick=False).text())
