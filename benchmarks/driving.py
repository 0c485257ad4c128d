"""Requests without a server: the cookie jar that prepares them, and the check that a contender does the work."""

from __future__ import annotations

import time
from typing import Any, NamedTuple
from unittest import mock

from scenarios import BODY, KEY, NOW, WRONG_KEY, App, Contender, Data, Environ, Scenario, environ_of, fill

BEAKERS_OWN = ("_id", "_creation_time", "_accessed_time", "_domain", "_path")


class Answer(NamedTuple):
    """What came out of an application."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes

    def cookie(self) -> str | None:
        """What a browser would send back."""
        for name, value in self.headers:
            if name.lower() == "set-cookie":
                return value.partition(";")[0]
        return None

    def session_headers(self) -> list[tuple[str, ...]]:
        """Set-Cookie and Vary; the order of a cookie's attributes is free."""
        found = [h for h in self.headers if h[0].lower() in ("set-cookie", "vary")]
        return sorted((name.lower(), *sorted(map(_without_date, value.split("; ")))) for name, value in found)


def _without_date(attribute: str) -> str:
    # Flask asks another clock for it, which does not stand still during the check.
    return "Expires" if attribute.startswith("Expires=") else attribute


class Refuses(Exception):
    """A contender does not keep these data."""


def ask(app: App, cookie: str | None) -> Answer:
    """Send one request."""
    heard: list[Any] = []

    def start_response(status: str, headers: list[Any], exc_info: Any = None) -> None:
        heard[:] = [status, headers]

    body = b"".join(app(environ_of(cookie), start_response))
    # Starlette's headers are bytes
    texts = [tuple(x.decode("latin-1") if isinstance(x, bytes) else str(x) for x in h) for h in heard[1]]
    return Answer(heard[0], texts, body)  # type: ignore[arg-type]


def log_in(contender: Contender, data: Data, key: str = KEY) -> str:
    """The cookie of a session with the data.

    Raises:
        Refuses: The contender sends none.
    """
    scenario = Scenario("log-in", fill(data), has_cookie=False, writes=True)
    try:
        cookie = ask(contender.build(scenario, key), None).cookie()
    except Exception as error:
        raise Refuses(f"{contender.name}: {type(error).__name__}") from error
    if cookie is None:
        raise Refuses(contender.name)
    return cookie


def request_cookie(contender: Contender, scenario: Scenario, data: Data) -> str | None:
    """What the visitor sends in a scenario."""
    if not scenario.has_cookie:
        return None
    return log_in(contender, data, WRONG_KEY if scenario.forged else KEY)


def requests_of(contender: Contender, scenario: Scenario, data: Data, strangers: int = 400) -> list[Environ]:
    """The requests to be timed by turns: one, or one of each stranger, all of the same length."""
    everyone = of_strangers(data)[:strangers] if scenario.strangers else [data]
    return [environ_of(request_cookie(contender, scenario, one)) for one in everyone]


def of_strangers(data: Data) -> list[Data]:
    """The data of more visitors than any contender remembers."""
    return [data | {"user_id": user_id} for user_id in range(100, 500)]


def data_in(contender: Contender, cookie: str | None) -> Data:
    """What the contender finds in a cookie, without what it keeps there for itself."""
    seen: Data = {}

    def look_inside(session: Any) -> None:
        session.get("user_id")
        seen.update(dict(session.items()))

    ask(contender.build(Scenario("look inside", look_inside), KEY), cookie)
    return {name: value for name, value in seen.items() if name not in BEAKERS_OWN}


def check(contender: Contender, scenario: Scenario, data: Data) -> list[tuple[str, ...]] | None:
    """Make sure that a contender does what the scenario says.

    Returns:
        Its session headers at a fixed time, for a comparison; None: it refuses the data.

    Raises:
        AssertionError: It does other work.
    """
    with mock.patch.object(time, "time", return_value=float(NOW)):
        try:
            cookie = request_cookie(contender, scenario, data)
        except Refuses:
            return None
        answer = ask(contender.build(scenario, KEY), cookie)
        label = f"{contender.name}, {scenario.name}"
        if (answer.status, answer.body) != ("200 OK", BODY[0]):
            raise AssertionError(f"{label}: {answer.status}")
        wanted = data | {"visits": data["visits"] + 1} if scenario.writes else data
        sends = scenario.writes or (scenario.permanent and scenario.refresh)
        if sends and data_in(contender, answer.cookie()) != wanted:
            raise AssertionError(f"{label}: the new cookie does not hold the data")
        if scenario.forged and data_in(contender, cookie):
            raise AssertionError(f"{label}: a forged cookie was believed")
        if contender.format and not sends and answer.cookie() is not None:
            raise AssertionError(f"{label}: a cookie was sent")
        return answer.session_headers()
