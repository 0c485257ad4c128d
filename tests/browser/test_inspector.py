"""The inspector in Chromium: what it shows of the browser's own cookie, and that everybody can use its pages."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl
from wsgiref.util import shift_path_info

import pytest

from session_mw import MemoryStore, Session, SessionManager, SessionMiddleware
from session_mw.csrf import csrf_token
from session_mw.flash import flash
from session_mw.inspector import SessionInspector
from support.axe import Axe
from support.refusals import REFUSALS, Refusal
from support.services import waitress_server
from support.tokens import KEY, OTHER_KEY, signed, token_of
from support.visitors import Client
from support.webdriver import Browser

pytestmark = pytest.mark.heavy

SCREENS = [(1280, False), (360, True), (1280, True), (360, False), (320, False)]
"""Widths in CSS pixels, and whether dark pages are preferred."""
ON_EACH = ("none", "signed", "several")
"""Scenes that have all kinds of sections and colours; the others are seen on the first two screens."""


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Writes the query to the session, and shows the inspector in a frame."""
    environ["session"].update(parse_qsl(environ["QUERY_STRING"]))
    start_response("200 OK", [("Content-Type", "text/html")])
    return [b'<!doctype html><title>page</title><iframe src="/_session"></iframe>']


def fill(session: Session) -> None:
    """Nested data, what libraries keep, and texts that would break out of a page."""
    session["cart"] = [{"id": 41, "name": "Oat cookies"}, {"id": 7, "tags": ["tea", ["black"]]}]
    session["seen"] = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    session["</style><script>document.title = 'broken out'</script>"] = "\u202e<img src=x onerror=alert(1)>"
    session["long" * 20] = "x" * 500
    session["deep"] = [[[[[[[[[[[["bottom"]]]]]]]]]]]]
    session.permanent, session.principal, session.label = True, "42", "Firefox on Linux"
    flash(session, "Your order is on its way.", "success")
    csrf_token(session)


def begun(**settings: Any) -> Refusal:
    client = Client(SessionManager(KEY, **settings))
    client.do(fill)
    return Refusal(client.sessions, client.cookie)


def scenes() -> dict[str, Refusal]:
    """Managers and Cookie headers, by the name of what there is to see."""
    old, forged = signed(b'{"user":"ann"}', int(time.time()) - 40 * 86400), token_of({"admin": True}, OTHER_KEY)
    sessions = SessionManager(KEY)
    return {
        "none": Refusal(SessionManager(KEY, cookie_domain="example.com"), "theme=dark"),
        "signed": begun(absolute_lifetime=90 * 86400),
        "encrypted": begun(encrypt=True),
        "stored": begun(store=MemoryStore()),
        "expired": Refusal(sessions, f"session={old}"),
        "several": Refusal(sessions, f"session={forged}; session=junk; session={token_of({'a': 1})}"),
        "twins": REFUSALS["ambiguous"](),
    }


def inspecting(scenes: dict[str, Refusal]) -> Callable[..., Any]:
    """Each scene's inspector, mounted below its name."""
    mounted = {
        name: SessionMiddleware(SessionInspector(app, debug=True), sessions=scene.sessions)
        for name, scene in scenes.items()
    }

    def dispatch(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        name = shift_path_info(environ) or ""
        environ["HTTP_COOKIE"] = scenes[name].header
        return mounted[name](environ, start_response)

    return dispatch


def test_it_shows_the_browser_s_own_cookie_and_leaves_it_alone(browser: Browser) -> None:
    with waitress_server(SessionMiddleware(SessionInspector(app, debug=True), KEY)) as site:
        assert "No session cookie came" in browser.get(f"{site.url}/_session")
        browser.get(f"{site.url}/?user=ann&_permanent=1")
        before = browser.cookie("session")
        assert before is not None
        browser.enter_frame()
        assert "Accepted" in browser.text
        browser.leave_frame()
        text = browser.get(f"{site.url}/_session")
        assert before["value"] in text
        assert '"ann"' in text
        browser.click(".again")
        browser.wait_for("Accepted")
        assert browser.cookie("session") == before
        assert browser.run("return getComputedStyle(document.querySelector('.card')).borderRadius") != "0px"


def test_everybody_can_use_its_pages(browser: Browser, axe: Axe) -> None:
    flaws = []
    with waitress_server(inspecting(scenes())) as site:
        for name in scenes():
            for width, dark in SCREENS if name in ON_EACH else SCREENS[:2]:
                browser.show(width, dark=dark)
                browser.get(f"{site.url}/{name}/_session")
                assert browser.run("return document.title").endswith(" – Session inspector")
                browser.run("document.querySelectorAll('details').forEach(details => { details.open = true })")
                flaws += [f"{name}, {width} pixels, dark {dark}: {flaw}" for flaw in axe.flaws(browser)]
    assert flaws == []
