"""What Chromium keeps of the session's cookie, read back through its driver."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl

import pytest

from session_mw import CookieTooLarge, SessionManager, SessionMiddleware
from support.tokens import KEY, token_of
from support.webdriver import Browser

pytestmark = pytest.mark.heavy

Serve = Callable[..., str]
HOST_COOKIE = "__Host-session"


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Does to its session what the path says, and shows it."""
    session, query = environ["session"], dict(parse_qsl(environ["QUERY_STRING"]))
    match environ["PATH_INFO"].rpartition("/")[2]:
        case "write":
            session.update(query)
        case "permanent":
            session.permanent = True
        case "login":
            session.regenerate_id()
            session["user"] = query["user"]
        case "logout":
            session.invalidate()
        case "big":
            session["big"] = token_noise(8000)
    shown = sorted((key, value) for key, value in session.items() if key != "_permanent")
    start_response("200 OK", [("Content-Type", "text/html"), ("Cache-Control", "no-store")])
    return [b"<!doctype html><p>", repr(dict(shown)).encode(), b"</p>"]


def token_noise(length: int) -> str:
    """Text that does not get shorter by compression."""
    return secrets.token_urlsafe(length)[:length]


def guarded(**settings: Any) -> SessionMiddleware:
    return SessionMiddleware(app, KEY, **settings)


def framing(address: str) -> Callable[..., list[bytes]]:
    """Another site: a page with a frame, a link and a form that lead to the address."""

    def other(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/html")])
        text = (
            f'<!doctype html><p>other</p><iframe src="{address}/read"></iframe><a href="{address}/read">link</a>'
            f'<form method="post" action="{address}/read"><button>form</button></form>'
        )
        return [text.encode()]

    return other


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Moves the middleware's clock. Not the server's: Chromium counts Expires from the response's Date."""
    moved, here = SimpleNamespace(seconds=0), threading.local()
    usual_time, usual_call = time.time, SessionMiddleware.__call__

    def call(*request: Any) -> Any:
        here.seconds = moved.seconds
        try:
            return usual_call(*request)
        finally:
            here.seconds = 0

    monkeypatch.setattr(SessionMiddleware, "__call__", call)
    monkeypatch.setattr(time, "time", lambda: usual_time() + getattr(here, "seconds", 0))

    def move(seconds: int) -> None:
        moved.seconds += seconds

    return move


def only(browser: Browser, name: str = "session") -> dict[str, Any]:
    """The one cookie of the jar."""
    (cookie,) = browser.jar()
    assert cookie["name"] == name
    return cookie


# The cookie's attributes


def test_the_default_cookie_is_kept_with_its_attributes(browser: Browser, serve: Serve) -> None:
    site = serve(guarded())
    assert browser.get(f"{site}/write?a=1") == "{'a': '1'}"
    cookie = browser.cookie("session")
    assert cookie == {
        "name": "session",
        "value": cookie and cookie["value"],
        "domain": "www.shop.test",
        "path": "/",
        "secure": True,
        "httpOnly": True,
        "sameSite": "Lax",
    }
    assert browser.get(f"{site}/read") == "{'a': '1'}"


def test_scripts_do_not_see_the_cookie(browser: Browser, serve: Serve) -> None:
    browser.get(f"{serve(guarded())}/write?a=1")
    assert browser.run("return document.cookie") == ""


def test_the_host_prefix_needs_no_other_setting(browser: Browser, serve: Serve) -> None:
    site = serve(guarded(cookie_name=HOST_COOKIE))
    browser.get(f"{site}/write?a=1")
    cookie = only(browser, HOST_COOKIE)
    assert (cookie["secure"], cookie["path"], cookie["domain"]) == (True, "/", "www.shop.test")
    assert browser.get(f"{site}/deep/below/read") == "{'a': '1'}"


def test_every_refresh_keeps_the_host_prefix_valid(
    browser: Browser, serve: Serve, later: Callable[[int], None]
) -> None:
    site = serve(guarded(cookie_name=HOST_COOKIE))
    browser.get(f"{site}/permanent")
    first = only(browser, HOST_COOKIE)
    later(5000)
    browser.get(f"{site}/deep/read")
    second = only(browser, HOST_COOKIE)
    assert second["value"] != first["value"]
    assert 4990 < second["expires"] - first["expires"] < 5010


def test_every_deletion_reaches_a_cookie_with_the_host_prefix(browser: Browser, serve: Serve) -> None:
    site = serve(guarded(cookie_name=HOST_COOKIE))
    for path in ("/logout", "/deep/below/logout"):
        browser.get(f"{site}/permanent")
        assert browser.get(f"{site}/write?a=1") == "{'a': '1'}"
        assert browser.get(site + path) == "{}"
        assert browser.jar() == []


@pytest.mark.parametrize("name", ["__Secure-session", "__Host-Http-session"])
def test_other_prefixes_are_kept_and_deleted_too(name: str, browser: Browser, serve: Serve) -> None:
    site = serve(guarded(cookie_name=name))
    browser.get(f"{site}/write?a=1")
    assert only(browser, name)["secure"] is True
    browser.get(f"{site}/logout")
    assert browser.jar() == []


@pytest.mark.parametrize("samesite", ["Lax", "Strict", "None"])
def test_samesite_is_kept(samesite: str, browser: Browser, serve: Serve) -> None:
    site = serve(guarded(cookie_samesite=samesite))
    browser.get(f"{site}/write?a=1")
    assert only(browser)["sameSite"] == samesite
    browser.get(f"{site}/logout")
    assert browser.jar() == []


@pytest.mark.parametrize(
    ("samesite", "link", "form", "frame"),
    [("Lax", True, False, False), ("Strict", False, False, False), ("None", True, True, True)],
)
def test_what_another_site_may_bring_along(
    samesite: str, link: bool, form: bool, frame: bool, browser: Browser, serve: Serve
) -> None:
    site = serve(guarded(cookie_samesite=samesite))
    other = serve(framing(site), "www.other.test")
    browser.get(f"{site}/write?a=1")
    seen = []
    for selector in ("a", "button"):
        browser.get(other)
        browser.click(selector)
        seen.append(browser.wait_for("{") == "{'a': '1'}")
    browser.get(other)
    browser.enter_frame()
    seen.append(browser.text == "{'a': '1'}")
    browser.leave_frame()
    assert seen == [link, form, frame]


def test_a_partitioned_cookie_is_one_for_each_site_around(browser: Browser, serve: Serve) -> None:
    site = serve(guarded(cookie_name=HOST_COOKIE, cookie_samesite="None", cookie_partitioned=True))
    other = serve(framing(f"{site}/write?a=1#"), "www.other.test")
    browser.get(other)
    browser.enter_frame()
    assert browser.text == "{'a': '1'}"
    browser.leave_frame()
    inside = only(browser, HOST_COOKIE)
    assert inside["partitionKey"]["topLevelSite"] == "https://other.test"
    assert browser.get(f"{site}/read") == "{}"
    browser.get(serve(framing(f"{site}/logout#"), "www.other.test"))
    assert browser.jar() == []


def test_a_cookie_of_a_domain_is_for_all_its_hosts(browser: Browser, serve: Serve) -> None:
    site = serve(guarded(cookie_domain="shop.test"))
    port = site.rpartition(":")[2]
    browser.get(f"{site}/write?a=1")
    assert only(browser)["domain"] == ".shop.test"
    assert browser.get(f"https://pay.shop.test:{port}/read") == "{'a': '1'}"
    browser.get(f"https://pay.shop.test:{port}/logout")
    assert browser.jar() == []


# Lifetimes and sizes


def test_a_session_that_is_not_permanent_ends_with_the_browser(browser: Browser, serve: Serve) -> None:
    browser.get(f"{serve(guarded())}/write?a=1")
    assert only(browser)["session"] is True


def test_the_end_of_a_permanent_session_moves(browser: Browser, serve: Serve, later: Callable[[int], None]) -> None:
    site = serve(guarded(lifetime=86400))
    browser.get(f"{site}/permanent")
    first = browser.cookie("session")
    assert first is not None
    assert abs(first["expiry"] - time.time() - 86400) < 10
    later(3600)
    browser.get(f"{site}/read")
    second = browser.cookie("session")
    assert second is not None
    assert 3590 < second["expiry"] - first["expiry"] < 3610


def test_an_absolute_lifetime_is_the_end_in_the_browser_too(
    browser: Browser, serve: Serve, later: Callable[[int], None]
) -> None:
    site = serve(guarded(lifetime=86400, absolute_lifetime=90000))
    browser.get(f"{site}/permanent")
    start = time.time()
    later(80000)
    browser.get(f"{site}/read")
    cookie = browser.cookie("session")
    assert cookie is not None
    assert abs(cookie["expiry"] - start - 90000) < 10


def test_a_cookie_that_is_too_large_is_an_error_and_the_old_one_stays(browser: Browser, serve: Serve) -> None:
    site = serve(guarded())
    browser.get(f"{site}/write?a=1")
    before = only(browser)
    browser.get(f"{site}/big")
    status = browser.run("return performance.getEntriesByType('navigation')[0].responseStatus")
    assert status == 500
    assert only(browser) == before
    assert browser.get(f"{site}/read") == "{'a': '1'}"


def test_the_largest_cookie_that_is_sent_is_kept(browser: Browser, serve: Serve) -> None:
    noise = token_noise(4096)
    size = max(size for size in range(3700, 4000) if fits(noise[:size]))
    sessions = SessionManager(KEY)

    def write(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        environ["session"]["text"] = noise[:size]
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"written"]

    browser.get(serve(SessionMiddleware(write, sessions=sessions)))
    cookie = only(browser)
    assert 4093 <= len("session") + len(cookie["value"]) <= 4096
    assert sessions.open({"HTTP_COOKIE": f"session={cookie['value']}"}) == {"text": noise[:size]}


@pytest.mark.parametrize(("size", "kept"), [(4096, 1), (4097, 0)])
def test_the_limit_is_the_browsers(size: int, kept: int, browser: Browser, serve: Serve) -> None:
    def send(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        value = "x" * (size - len("session"))
        start_response("200 OK", [("Set-Cookie", f"session={value}; Path=/"), ("Content-Type", "text/plain")])
        return [b"sent"]

    browser.get(serve(send))
    assert len(browser.jar()) == kept


def fits(text: str) -> bool:
    try:
        return bool(token_of({"text": text}))
    except CookieTooLarge:
        return False


# Visitors


@pytest.mark.parametrize("store", [None, "memory://"])
def test_log_out_deletes_the_cookie(store: str | None, browser: Browser, serve: Serve) -> None:
    site = serve(guarded(store=store))
    browser.get(f"{site}/login?user=ann")
    old = only(browser)["value"]
    assert browser.get(f"{site}/login?user=ben") == "{'user': 'ben'}"
    assert only(browser)["value"] != old
    browser.get(f"{site}/logout")
    assert browser.jar() == []
    assert browser.get(f"{site}/read") == "{}"


@pytest.mark.parametrize("scope", ["Path=/deep/", "Path=/deep", "Path=/deep/below", "Domain=shop.test; Path=/"])
def test_a_visitor_with_duplicate_cookies_gets_out_by_logging_in(scope: str, browser: Browser, serve: Serve) -> None:
    evil = token_of({"user": "mallory"})

    def planting(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [("Set-Cookie", f"session={evil}; {scope}; Secure"), ("Content-Type", "text/html")])
        return [b"planted"]

    site = serve(guarded())
    browser.get(f"{site}/login?user=ann")
    port = serve(planting).rpartition(":")[2]
    browser.get(f"https://www.shop.test:{port}/")
    assert len(browser.jar()) == 2
    assert browser.get(f"{site}/deep/below/read") == "{}"
    assert browser.get(f"{site}/deep/below/login?user=ann") == "{'user': 'ann'}"
    assert only(browser)["path"] == "/"
    assert browser.get(f"{site}/deep/below/read") == "{'user': 'ann'}"


def test_nobody_can_plant_a_cookie_with_the_host_prefix_for_other_hosts(browser: Browser, serve: Serve) -> None:
    evil = token_of({"user": "mallory"}, cookie_name=HOST_COOKIE)

    def planting(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        texts = [f"{HOST_COOKIE}={evil}; Secure; {scope}" for scope in ("Domain=shop.test; Path=/", "Path=/deep")]
        start_response("200 OK", [*(("Set-Cookie", text) for text in texts), ("Content-Type", "text/html")])
        return [b"planted"]

    site = serve(guarded(cookie_name=HOST_COOKIE))
    browser.get(f"{site}/login?user=ann")
    browser.get(f"{serve(planting, 'evil.shop.test')}/")
    browser.get(f"{serve(planting)}/deep/")
    assert browser.get(f"{site}/deep/read") == "{'user': 'ann'}"
    assert only(browser, HOST_COOKIE)["domain"] == "www.shop.test"


@pytest.mark.parametrize("settings", [{}, {"encrypt": True}, {"store": "memory://"}])
def test_the_demo_works_as_a_page_with_forms(settings: dict[str, Any], browser: Browser, serve: Serve) -> None:
    demo = pytest.importorskip("demo_app").app
    site = serve(SessionMiddleware(demo, KEY, **settings))
    assert "hello, stranger" in browser.get(site)
    browser.type('input[name="username"]', "Ann & <b>Co</b>")
    browser.click('form[action="/login"] button')
    browser.wait_for("hello, Ann & <b>Co</b>")
    browser.type('input[name="item"]', "ünïcode apple")
    browser.click('form[action="/cart"] button')
    assert "Visits in this session: 3" in browser.wait_for("ünïcode apple")
    browser.click('form[action="/logout"] button')
    assert "Visits in this session: 1" in browser.wait_for("hello, stranger")
