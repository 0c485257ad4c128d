"""Behind real shared caches, with their defaults, nobody is handed another visitor's session."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from session_mw import MemoryStore, SessionMiddleware
from support.services import HOST, Service
from support.shared_caches import start_apache, start_nginx, stop
from support.sockets import ask
from support.tokens import KEY

waitress_server = pytest.importorskip("waitress.server")

pytestmark = pytest.mark.heavy

CACHES: dict[str, Callable[[int], Service]] = {
    "Apache, on disk": lambda behind: start_apache(behind, "disk"),
    "Apache, in memory": lambda behind: start_apache(behind, "socache"),
    "nginx": start_nginx,
    "nginx, that keeps all": lambda behind: start_nginx(behind, "proxy_cache_valid any 1m;"),
}
LAST_MODIFIED = ("Last-Modified", "Mon, 02 Nov 2020 10:00:00 GMT")
SAID = {
    "nothing": [],
    "last-modified": [LAST_MODIFIED],
    "etag": [("ETag", '"1"')],
    "expires": [("Expires", "Mon, 02 Nov 2099 10:00:00 GMT")],
    "max-age": [("Cache-Control", "max-age=60")],
    "two": [("Cache-Control", "max-age=60"), ("Cache-Control", "must-revalidate")],
    "semicolon": [("Cache-Control", "private; max-age=60"), LAST_MODIFIED],
    "field": [("Cache-Control", 'max-age=60, private="X-Account"')],
    "public": [("Cache-Control", "public, max-age=60")],
    "s-maxage": [("Cache-Control", "s-maxage=60")],
    "private": [("Cache-Control", "private, max-age=60")],
    "no-store": [("Cache-Control", "no-store")],
}
numbers = count(1)


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """A page that does to its session what its path says, in a response with the headers that it says."""
    session, (do, said, *_) = environ["session"], environ["PATH_INFO"].strip("/").split("/")
    if do == "begin":
        session["visitor"], session.permanent = next(numbers), True
    elif do == "write":
        session["pages"] = session.get("pages", 0) + 1
    elif do == "leave":
        session.clear()
    text = str(session.get("visitor")) if do == "who" else do
    start_response("200 OK", [("Content-Type", "text/plain"), *SAID[said]])
    return [text.encode()]


def careless(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """A page that begins a session of its own, as applications without this package do."""
    cookie = ("Set-Cookie", f"session=of-visitor-{next(numbers)}; Path=/")
    start_response("200 OK", [("Content-Type", "text/plain"), LAST_MODIFIED, cookie])
    return [b"page"]


def still(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """A page without a session; each answer is another one."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Cache-Control", "max-age=60")])
    return [str(next(numbers)).encode()]


@pytest.fixture(scope="module")
def behind() -> Iterator[int]:
    sites = {
        "careless": careless,
        "still": SessionMiddleware(still, KEY),
        "cookie": SessionMiddleware(app, KEY),
        "store": SessionMiddleware(app, KEY, store=MemoryStore()),
    }

    def by_first_segment(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        _, site, rest = environ["PATH_INFO"].split("/", 2)
        return sites[site](environ | {"PATH_INFO": "/" + rest, "SCRIPT_NAME": "/" + site}, start_response)

    server = waitress_server.create_server(by_first_segment, host=HOST, port=0)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield int(server.effective_port)
    server.close()
    thread.join(10)


@pytest.fixture(scope="module", params=CACHES)
def cache(request: pytest.FixtureRequest, behind: int) -> Iterator[Service]:
    service = CACHES[request.param](behind)
    yield service
    stop(service)


def values(reply: Any) -> set[str]:
    return {cookie.partition(";")[0] for cookie in reply.all("Set-Cookie")}


def begin(cache: Service, site: str, said: str = "no-store") -> str:
    return ask(cache.port, f"/{site}/begin/{said}").cookie


def who(cache: Service, site: str, cookie: str) -> bytes:
    return ask(cache.port, f"/{site}/who/no-store", cookie).body


def test_the_cache_does_keep_what_it_may(cache: Service) -> None:
    first, second = (ask(cache.port, "/still/page") for _ in range(2))
    assert first.body == second.body


def test_apache_hands_out_the_cookies_of_careless_applications(cache: Service) -> None:
    """So there is something to be kept from it; nginx keeps no response with a Set-Cookie."""
    first, second = (values(ask(cache.port, "/careless/page")) for _ in range(2))
    assert (first == second) is any("apache" in word for word in cache.argv)


@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize("site", ["cookie", "store"])
def test_a_new_session_is_its_visitors_alone(cache: Service, site: str, said: str) -> None:
    path = f"/{site}/begin/{said}"
    alice, bob = (values(ask(cache.port, path)) for _ in range(2))
    assert len(alice) == 1
    assert not alice & bob
    assert who(cache, site, *alice) not in [who(cache, site, cookie) for cookie in bob]


@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize("site", ["cookie", "store"])
@pytest.mark.parametrize("do", ["read", "write"])
def test_a_cookie_that_is_sent_once_more_goes_to_its_visitor_alone(
    cache: Service, site: str, said: str, do: str
) -> None:
    path = f"/{site}/{do}/{said}/{next(numbers)}"
    alice, bob = begin(cache, site), begin(cache, site)
    its_visitor = who(cache, site, alice)
    ask(cache.port, path, alice)
    for cookie in (None, bob):
        for handed in values(ask(cache.port, path, cookie)):
            assert who(cache, site, handed) != its_visitor


@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize("site", ["cookie", "store"])
def test_a_log_out_ends_nobody_elses_session(cache: Service, site: str, said: str) -> None:
    path = f"/{site}/leave/{said}/{next(numbers)}"
    alice = begin(cache, site)
    assert "session=" in values(ask(cache.port, path, alice))
    assert values(ask(cache.port, path)) == set()
