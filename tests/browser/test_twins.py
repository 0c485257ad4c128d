"""In Chromium, over https: a log-out leaves no cookie of the session's name, under whatever settings it was set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from session_mw import MemoryStore, SessionMiddleware
from support.tokens import KEY
from support.webdriver import Browser

pytestmark = pytest.mark.heavy

HOST_COOKIE = {"cookie_name": "__Host-session", "cookie_samesite": "None"}
PARTITIONED = {"cookie_partitioned": True}
# The settings of yesterday, those of today, the site's host, and whether a proxy hides path or host from the app.
TWINS: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "partitioned before": (PARTITIONED, {}, "www.shop.test", ""),
    "partitioned now": ({}, PARTITIONED, "www.shop.test", ""),
    "partitioned under __Host-": ({**HOST_COOKIE, **PARTITIONED}, HOST_COOKIE, "www.shop.test", ""),
    "a domain before": ({"cookie_domain": "shop.test"}, {}, "www.shop.test", ""),
    "a domain now": ({}, {"cookie_domain": "shop.test"}, "www.shop.test", ""),
    "another domain": ({"cookie_domain": "shop.test"}, {"cookie_domain": "www.shop.test"}, "www.shop.test", ""),
    "a path before": ({"cookie_path": "/app"}, {}, "www.shop.test", ""),
    "a path with a slash before": ({"cookie_path": "/app/"}, {}, "www.shop.test", ""),
    "a path now": ({}, {"cookie_path": "/app"}, "www.shop.test", ""),
    "an underscore": ({"cookie_domain": "shop.test"}, {}, "my_shop.shop.test", ""),
    "a hidden path": (
        {"cookie_domain": "shop.test", "cookie_path": "/app"},
        {"cookie_path": "/app"},
        "w.shop.test",
        "path",
    ),
    "a hidden host": ({"cookie_domain": "shop.test"}, {"cookie_domain": "www.shop.test"}, "www.shop.test", "host"),
}


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    session, page = environ["session"], environ["PATH_INFO"].rpartition("/")[2]
    if page == "login":
        session.regenerate_id()
        session["user"] = "ann"
    elif page in ("logout", "bye"):
        session.invalidate()
        if page == "bye":
            session["message"] = "bye"
    start_response("200 OK", [("Content-Type", "text/html"), ("Cache-Control", "no-store")])
    return [b"<!doctype html><p>", repr(dict(session)).encode(), b"</p>"]


@dataclass
class Site:
    """An application whose settings change, behind a proxy that rewrites what it sees of the request."""

    hides: str
    settings: dict[str, Any] = field(default_factory=dict)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if self.hides == "path":
            environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix("/app")
        elif self.hides == "host":
            environ["HTTP_HOST"] = "127.0.0.1:8000"
        return SessionMiddleware(app, KEY, **self.settings)(environ, start_response)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("stored", [False, True])
def test_a_log_out_leaves_no_twin(browser: Browser, serve: Callable[..., str], twin: str, stored: bool) -> None:
    before, now, host, hides = TWINS[twin]
    store = MemoryStore() if stored else None
    site = Site(hides)
    address = serve(site, host) + "/app"
    for pages in (["logout"], ["login", "logout"], ["bye", "read", "logout"]):
        site.settings = {**before, "store": store}
        assert browser.get(f"{address}/login") == "{'user': 'ann'}"
        site.settings = {**now, "store": store}
        shown = [browser.get(f"{address}/{page}") for page in pages]
        assert "read" not in pages or shown[1] == "{'message': 'bye'}"
        assert browser.jar() == []
        assert browser.get(f"{address}/login") == "{'user': 'ann'}"
        assert browser.get(f"{address}/read") == "{'user': 'ann'}"
        browser.forget_cookies()
