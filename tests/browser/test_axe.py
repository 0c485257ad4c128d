"""What looks for flaws in pages finds them, or its silence would say nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from support.axe import Axe
from support.services import waitress_server
from support.webdriver import Browser

pytestmark = pytest.mark.heavy

HEAD = '<!doctype html><html lang="en"><meta name="viewport" content="width=device-width"><title>page</title>'
STYLE = "<style>a { line-height: 3 }</style>"
GOOD = f'{HEAD}{STYLE}<main><h1>page</h1><p><a href="/1">one</a><p><a href="/2">two</a></main>'
SCROLLS = '<div style="overflow: auto"><div style="width: 3000px">wide</div></div>'


@pytest.mark.parametrize(
    ("page", "flaws"),
    [
        (GOOD, []),
        (GOOD + SCROLLS, []),
        (GOOD.replace("<main>", "<main>" + SCROLLS), []),
        (GOOD + '<p style="color: #bbb">pale', ["color-contrast"]),
        (GOOD + '<p style="width: 2000px">wide', ["lies from", "the page is"]),
        (GOOD.replace("<a ", '<a style="outline: none" ', 1), ["does not show that it has the focus"]),
        (GOOD.replace('<a href="/2"', '<a inert href="/2"'), ["Tab goes to"]),
    ],
)
def test_each_kind_of_flaw_is_found(page: str, flaws: list[str], browser: Browser, axe: Axe) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        policy = ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
        start_response("200 OK", [("Content-Type", "text/html"), policy])
        return [page.encode()]

    with waitress_server(app) as site:
        browser.show(360)
        browser.get(site.url)
        for _ in range(2):
            found = axe.flaws(browser)
            assert len(found) == len(flaws), found
            assert all(kind in flaw for kind, flaw in zip(flaws, found, strict=True)), found


def test_a_page_is_seen_at_each_width_in_light_and_dark(browser: Browser) -> None:
    seen = []
    for width, dark in [(1280, False), (360, True), (320, False)]:
        browser.show(width, dark=dark)
        browser.get("data:text/html,page")
        seen.append(browser.run("return [innerWidth, matchMedia('(prefers-color-scheme: dark)').matches]"))
    assert seen == [[1280, False], [360, True], [320, False]]
    assert browser.screenshot().startswith(b"\x89PNG")
