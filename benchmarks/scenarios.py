"""What is measured: the requests, the data in the sessions, and the shape of a contender."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any, NamedTuple, TypeAlias

KEY = "0123456789abcdef0123456789abcdef0123456789abcdef"
WRONG_KEY = KEY[::-1]
NOW = 1_700_000_000
"""The time at which contenders are checked; they are timed by the real clock."""

Data: TypeAlias = dict[str, Any]
Environ: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[..., Any]
App: TypeAlias = Callable[[Environ, StartResponse], Iterable[bytes]]
Touch: TypeAlias = Callable[[MutableMapping[str, Any]], object]

STATUS = "200 OK"
BODY = [b"hello, world\n"]
HEADERS = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", "13")]


class Scenario(NamedTuple):
    """One kind of request."""

    name: str
    touch: Touch | None
    """What the application does with the session; None: it does not look at it."""
    has_cookie: bool = True
    permanent: bool = False
    forged: bool = False
    refresh: bool = True
    """The setting ``refresh_each_request``."""
    writes: bool = False
    """Whether the application changes the data; Beaker has to be told to save."""
    strangers: bool = False
    """Whether each request comes from another visitor, so that no token is seen again soon."""


class Contender(NamedTuple):
    """A library in front of the same application."""

    name: str
    build: Callable[[Scenario, str], App]
    """Makes the application for a scenario and a secret key."""
    format: str = ""
    """Contenders with the same format have to answer with the same bytes."""


def read(session: MutableMapping[str, Any]) -> object:
    """What an application does that knows its visitor."""
    return session["user_id"]


def write(session: MutableMapping[str, Any]) -> object:
    """What an application does that counts visits."""
    session["visits"] = session["visits"] + 1
    return None


def look(session: MutableMapping[str, Any]) -> object:
    """What an application does that cannot tell whether there is a session."""
    return session.get("user_id")


def fill(data: Data) -> Touch:
    """What an application does at log-in."""
    return lambda session: session.update(data)


NO_COOKIE = Scenario("no cookie", None, has_cookie=False)
UNTOUCHED = Scenario("untouched", None)
UNTOUCHED_OFF = Scenario("untouched, refresh off", None, refresh=False)
READ = Scenario("read", read)
WRITE = Scenario("write", write, writes=True)
REFRESH = Scenario("refresh", None, permanent=True)
FORGED = Scenario("forged", look, forged=True)
UNTOUCHED_STRANGERS = Scenario("untouched, strangers", None, strangers=True)
READ_STRANGERS = Scenario("read, strangers", read, strangers=True)
WRITE_STRANGERS = Scenario("write, strangers", write, writes=True, strangers=True)
ONE_VISITOR = (NO_COOKIE, UNTOUCHED, UNTOUCHED_OFF, READ, WRITE, REFRESH, FORGED)
STRANGERS = (UNTOUCHED_STRANGERS, READ_STRANGERS, WRITE_STRANGERS)
SCENARIOS = ONE_VISITOR + STRANGERS

SIZES = {"100 B": 100, "1 KB": 1000, "3 KB": 3000}


def payload(data: Data) -> bytes:
    """The data as Flask writes them."""
    return json.dumps(data, sort_keys=True, separators=(",", ":")).encode()


def sized(size: int, permanent: bool = False) -> Data:
    """Session data of exactly ``size`` bytes of JSON, in the order in which Flask writes them."""
    data: Data = {"_permanent": True} if permanent else {}
    data |= {"cart": ["pear", "fig"], "csrf": "5f2c9be0", "user_id": 424, "visits": 17}
    number = 0
    while len(payload(data)) + 80 < size:
        number += 1
        data[f"field_{number:02d}"] = _value(number)
    data["padding"] = ""
    data["padding"] = "x" * (size - len(payload(data)))
    if len(payload(data)) != size:
        raise ValueError(f"no data of {size} bytes")
    return dict(sorted(data.items()))


def _value(number: int) -> Any:
    mixed = number * 2654435761 % 2**24
    text = f"Article {mixed:06x} was put into the cart of the visitor"
    return (text, mixed % 10_000, text[:20], [f"size {mixed % 60}", mixed % 7], text, number % 3 == 0)[number % 6]


def environ_of(cookie: str | None) -> Environ:
    """A request as waitress describes it."""
    environ: Environ = {
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "50412",
        "REQUEST_METHOD": "GET",
        "SERVER_PORT": "8080",
        "SERVER_NAME": "waitress.invalid",
        "SERVER_SOFTWARE": "waitress",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/",
        "QUERY_STRING": "",
        "wsgi.input": io.BytesIO(),
        "wsgi.url_scheme": "http",
        "wsgi.version": (1, 0),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "HTTP_HOST": "localhost:8080",
        "HTTP_USER_AGENT": "benchmark",
        "HTTP_ACCEPT": "*/*",
    }
    return environ if cookie is None else environ | {"HTTP_COOKIE": cookie}
