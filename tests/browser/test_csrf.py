"""Forms without a token, as Chromium sends them: over https with Sec-Fetch-Site, over http with Origin alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import pytest

from session_mw import SessionMiddleware
from session_mw.csrf import CSRFMiddleware
from support.services import HOST
from support.webdriver import Browser
from support.wsgi import KEY

pytestmark = pytest.mark.heavy

Serve = Callable[..., str]


class Threads(ThreadingMixIn, WSGIServer):
    """Serves each connection in a thread: browsers open some that they do not use."""

    daemon_threads = True


class Quiet(WSGIRequestHandler):
    """Logs nothing."""

    def log_message(self, *_: Any) -> None:
        """Nothing is logged."""


@contextmanager
def http(app: Any) -> Iterator[int]:
    server = Threads((HOST, 0), Quiet)
    server.set_app(app)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


@pytest.fixture
def serve_plainly() -> Iterator[Serve]:
    with ExitStack() as running:

        def start(app: Any, host: str = "www.shop.test") -> str:
            return f"http://{host}:{running.enter_context(http(app))}"

        yield start


@pytest.fixture(params=["https", "http"])
def serve_by(request: pytest.FixtureRequest) -> Serve:
    start: Serve = request.getfixturevalue("serve" if request.param == "https" else "serve_plainly")
    return start


class Shop:
    """A page with a form to itself; what the form asks for is noted with what the browser said."""

    def __init__(self) -> None:
        self.said: list[tuple[str | None, str | None]] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        session = environ["session"]
        if environ["PATH_INFO"] == "/back":
            start_response("303 See Other", [("Location", "/read")])
            return []
        if environ["PATH_INFO"] == "/login":
            session["user"] = "ann"
        if environ["REQUEST_METHOD"] == "POST":
            session["order"] = "paid"
            self.said.append((environ.get("HTTP_SEC_FETCH_SITE"), environ.get("HTTP_ORIGIN")))
        start_response("200 OK", [("Content-Type", "text/html"), ("Cache-Control", "no-store")])
        text = f"<!doctype html><p>{dict(session)}</p><form method=post action=/pay><button>pay</button></form>"
        return [text.encode()]


def with_form_to(address: str, *headers: tuple[str, str]) -> Any:
    """A page with a form that leads to the address."""

    def page(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/html"), *headers])
        return [f"<!doctype html><form method=post action='{address}'><button>back</button></form>".encode()]

    return page


def guarded(shop: Shop, **settings: Any) -> SessionMiddleware:
    return SessionMiddleware(CSRFMiddleware(shop, **settings), KEY)


def sent_from(other: str, browser: Browser, until: str) -> str:
    browser.get(other)
    browser.click("button")
    return browser.wait_for(until)


def test_a_form_of_the_site_itself_needs_no_token(browser: Browser, serve_by: Serve) -> None:
    shop = Shop()
    site = serve_by(guarded(shop))
    browser.get(f"{site}/login")
    browser.click("button")
    assert "'user': 'ann', 'order': 'paid'" in browser.wait_for("order")
    assert shop.said == [("same-origin" if site.startswith("https") else None, site)]


@pytest.mark.parametrize("host", ["www.bank.test", "blog.shop.test"])
def test_a_form_of_another_site_is_refused_and_the_visitor_stays_logged_in(
    host: str, browser: Browser, serve_by: Serve
) -> None:
    shop = Shop()
    site = serve_by(guarded(shop))
    browser.get(f"{site}/login")
    assert "The CSRF check failed: " in sent_from(serve_by(with_form_to(f"{site}/pay"), host), browser, "failed")
    assert "{'user': 'ann'}" in browser.get(f"{site}/read")
    assert shop.said == []


@pytest.mark.parametrize(
    "header", [("Referrer-Policy", "no-referrer"), ("Content-Security-Policy", "sandbox allow-forms")]
)
def test_a_form_that_hides_its_origin_is_refused(header: tuple[str, str], browser: Browser, serve_by: Serve) -> None:
    shop = Shop()
    site = serve_by(guarded(shop))
    other = serve_by(with_form_to(f"{site}/pay", header), "www.bank.test")
    assert "The CSRF check failed: " in sent_from(other, browser, "failed")
    assert shop.said == []


def test_a_form_of_a_trusted_site_passes(browser: Browser, serve_by: Serve) -> None:
    shop = Shop()
    bank: list[Any] = [None]
    other = serve_by(lambda environ, start_response: bank[0](environ, start_response), "www.bank.test")
    site = serve_by(guarded(shop, trusted_origins=[other]))
    bank[0] = with_form_to(f"{site}/pay")
    assert "'order': 'paid'" in sent_from(other, browser, "order")
    assert shop.said == [("cross-site" if site.startswith("https") else None, other)]


def test_a_visitor_who_comes_back_with_a_post_has_the_session_after_a_redirect(
    browser: Browser, serve_by: Serve
) -> None:
    shop = Shop()
    bank: list[Any] = [None]
    other = serve_by(lambda environ, start_response: bank[0](environ, start_response), "www.bank.test")
    site = serve_by(guarded(shop, trusted_origins=[other]))
    bank[0] = with_form_to(f"{site}/back")
    browser.get(f"{site}/login")
    assert "{'user': 'ann'}" in sent_from(other, browser, "{")
