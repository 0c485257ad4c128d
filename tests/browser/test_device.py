"""Real Chromium binds sessions to a key of its own, and proves it (DBSC)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("jwt")

from session_mw import MemoryStore, SessionMiddleware
from support.certificates import make_trusted
from support.device import BindingBrowser
from support.services import wait_until
from support.tls_server import https
from support.tokens import KEY
from support.webdriver import BINDS_SESSIONS, Browser

pytestmark = pytest.mark.heavy

HOST, ELSEWHERE = "app.example.test", "www.other.test"
NAME, PROOF = "__Host-session", "__Host-session-proof"


def pages(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Log-in with a redirection, log-out, and pages that say who is logged in, with an image and a script's request."""
    session, path = environ["session"], environ["PATH_INFO"]
    headers = [("Content-Type", "text/html; charset=utf-8")]
    if path == "/login":
        session.regenerate_id()
        session.principal = session["user"] = "ada"
        # It outlives the browser's run.
        session.permanent = True
        start_response("303 See Other", [*headers, ("Location", "/")])
        return [b""]
    if path == "/logout":
        session.invalidate()
    if path == "/write" and session:
        session["n"] = session.get("n", 0) + 1
    user = session.get("user", "nobody")
    start_response("200 OK", headers)
    return [f"<!doctype html><p>{path} of {user}</p><img src=/image alt=''><script>fetch('/write')</script>".encode()]


@dataclass
class Site:
    """The application behind https.

    Attributes:
        app: The middleware, to be asked in another way than through the network too.
        seen: Method, path and status of each answer, in order.
    """

    app: Any
    port: int = 0
    seen: list[tuple[str, str, str]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        def start(status: str, *rest: Any) -> Any:
            with self._lock:
                self.seen.append((environ["REQUEST_METHOD"], environ["PATH_INFO"], status[:3]))
            return start_response(status, *rest)

        return self.app(environ, start)

    def url(self, path: str = "/", host: str = HOST) -> str:
        return f"https://{host}:{self.port}{path}"

    def asked(self, path: str) -> list[str]:
        """The statuses of what came to a path."""
        return [status for _, seen, status in self.seen if seen == path]

    def thief(self, browser: Browser) -> BindingBrowser:
        """Another browser, with a copy of the jar."""
        return BindingBrowser(self.app, {cookie["name"]: cookie["value"] for cookie in browser.jar()})


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate, and the home directory of a browser that takes it. A browser told to take any binds nothing."""
    return make_trusted(tmp_path_factory.mktemp("authority"), HOST, ELSEWHERE)


@contextmanager
def served(certificate: Path, **settings: Any) -> Iterator[Site]:
    site = Site(SessionMiddleware(pages, KEY, cookie_name=NAME, device_bound=True, **settings))
    with https(site, certificate) as site.port:
        yield site


@contextmanager
def chromium(home: Path) -> Iterator[Browser]:
    browser = Browser(BINDS_SESSIONS, home=home)
    try:
        yield browser
    finally:
        browser.close()


def log_in(browser: Browser, site: Site) -> None:
    assert "of ada" in browser.get(site.url("/login"))
    wait_until(lambda: "200" in site.asked("/.session-device/register"), "the browser does not register")
    wait_until(lambda: browser.cookie(PROOF) is not None, "there is no proof cookie")


@pytest.mark.parametrize("place", ["cookie", "revocable", "store"])
def test_chromium_binds_a_session_and_nobody_else_can_use_it(trusted: tuple[Path, Path], place: str) -> None:
    certificate, home = trusted
    settings = {"cookie": {}, "revocable": {"revocations": MemoryStore()}, "store": {"store": MemoryStore()}}[place]
    with served(certificate, **settings) as site, chromium(home) as browser:
        log_in(browser, site)
        # Its own requests, those of a page's parts and scripts too, find the session from now on.
        assert "of ada" in browser.get(site.url("/again"))

        # Without a proof that holds a page is held until there is one.
        site.seen.clear()
        browser.forget_cookie(PROOF, site.url())
        assert "/held of ada" in browser.get(site.url("/held"))
        order = [path for _, path, _ in site.seen]
        assert order.index("/.session-device/refresh") < order.index("/held")

        # A copy of the session cookie is worth nothing.
        thief = site.thief(browser)
        assert b"of ada" in thief.get("/").body
        assert b"of nobody" in thief.thief(NAME).get("/").body

        # A link of another site: browsers make no proof for it, and do for the page that asks for itself again.
        browser.forget_cookie(PROOF, site.url())
        browser.get(site.url("/", ELSEWHERE))
        browser.run(f"document.body.innerHTML = \"<a href='{site.url('/linked#part')}'>a link</a>\"")
        browser.click("a")
        assert "/linked of ada" in browser.wait_for("of ada")
        assert browser.url.endswith("/linked#part")

        # After a restart it has its key still.
        browser.restart()
        browser.get(site.url("/", ELSEWHERE))
        browser.forget_cookie(PROOF, site.url())
        assert "/restarted of ada" in browser.get(site.url("/restarted"))

        # A log-out ends it, in the browser too.
        site.seen.clear()
        assert "of nobody" in browser.get(site.url("/logout"))
        wait_until(lambda: site.asked("/.session-device/refresh") == ["401"], "the browser does not ask")
        assert {cookie["name"] for cookie in browser.jar()} & {NAME, PROOF} == set()
        assert "of nobody" in browser.get(site.url("/over"))
        assert site.asked("/.session-device/refresh") == ["401"]


def test_both_cookies_of_a_copied_jar_are_refused_when_the_proof_is_over(trusted: tuple[Path, Path]) -> None:
    certificate, home = trusted
    with served(certificate, store=MemoryStore(), device_proof_lifetime=3) as site, chromium(home) as browser:
        log_in(browser, site)
        thief = site.thief(browser)
        assert b"of ada" in thief.get("/").body
        time.sleep(4.5)
        assert b"of nobody" in thief.get("/").body
        assert "of ada" in browser.get(site.url("/expired"))


def test_a_browser_that_binds_nothing_notices_nothing(browser: Browser, trusted: tuple[Path, Path]) -> None:
    certificate, _ = trusted
    with served(certificate) as site:
        assert "of ada" in browser.get(site.url("/login"))
        for path in ("/one", "/write", "/two"):
            assert f"{path} of ada" in browser.get(site.url(path))
        ours = {cookie["name"] for cookie in browser.jar()}
        assert ours == {NAME}
        assert "of nobody" in browser.get(site.url("/logout"))
        assert [path for _, path, _ in site.seen if path.startswith("/.session-device")] == []
