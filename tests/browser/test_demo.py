"""The demo as somebody sees it who starts it and clicks: in Chromium, over a socket, at every size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path

import pytest

from support.axe import Axe
from support.demo import running_demo
from support.services import wait_until
from support.tokens import KEY
from support.webdriver import BINDS_SESSIONS, Browser

pytestmark = pytest.mark.heavy

SCREENS = [(width, dark) for width in (1280, 360) for dark in (False, True)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The demo with sessions in a store and with Flask; its address."""
    pytest.importorskip("flask")
    options = ["--store", "sqlite:///demo.db", "--flask"]
    with running_demo(tmp_path_factory.mktemp("demo"), *options, SECRET_KEY=KEY) as demo:
        yield demo.url


def press(browser: Browser, action: str, text: str) -> str:
    """Press the button of the form that goes to an address, and wait for the page that shows the text."""
    browser.click(f'form[action="{action}"] button')
    return browser.wait_for(text)


def log_in(browser: Browser, site: str, *, remember: bool = False) -> None:
    browser.get(f"{site}/account/login")
    browser.type("#username", "ada")
    browser.type("#password", "correct horse")
    if remember:
        browser.click("[name=remember]")
    press(browser, "/account/login", "Your account")


def confirm(browser: Browser) -> None:
    browser.type("#password", "correct horse")
    press(browser, "/account/login", "Recovery codes")


def inspector(browser: Browser) -> str:
    """What the inspector beside the page says."""
    browser.enter_frame()
    try:
        return browser.wait_for("Session inspector")
    finally:
        browser.leave_frame()


def look_again_until(browser: Browser, text: str) -> None:
    def is_shown() -> bool:
        if text not in browser.text:
            browser.click("main a.button")
        return text in browser.text

    wait_until(is_shown, f"the page does not show {text!r}")


def through_the_rooms(browser: Browser, site: str) -> Iterator[str]:
    """Click through all pages but the broken cookies, and stop at each."""
    browser.get(site)
    browser.type("#username", "Ann <b>")
    press(browser, "/login", "hello, Ann <b>")
    browser.type("#item", "ünïcode apple " + "w" * 16)
    press(browser, "/cart", "ünïcode apple")
    browser.type("#message", "W" * 30)
    press(browser, "/flash", "W" * 30)
    assert "ünïcode apple" in inspector(browser)
    yield "home"
    browser.get(f"{site}/wrap")
    yield "wrap"
    assert "ünïcode apple" in browser.get(f"{site}/flask/")
    browser.type("#item", "pear")
    press(browser, "/flask/cart", "Flask put it into the cart.")
    yield "Flask"
    browser.get(f"{site}/account")
    yield "log-in"
    browser.type("#username", "ada")
    browser.type("#password", "guessed")
    press(browser, "/account/login", "do not go together")
    yield "wrong password"
    log_in(browser, site, remember=True)
    yield "account"
    press(browser, "/break/close", "brought you back")
    browser.get(f"{site}/account/codes")
    yield "confirm"
    confirm(browser)
    yield "codes"
    browser.get(f"{site}/nowhere")
    yield "error"


def through_the_broken_cookies(browser: Browser, site: str) -> Iterator[str]:
    """Break the cookie in each way, see the inspector tell of it, and stop there."""
    browser.get(f"{site}/break")
    yield "good cookie"
    press(browser, "/break/change", "One character is different")
    assert "unknown" in inspector(browser)
    yield "changed"
    press(browser, "/break/restore", "Your cookie is good")
    press(browser, "/break/twin", "Two cookies of one name")
    assert "ambiguous" in inspector(browser)
    yield "twin"
    press(browser, "/break/restore", "Your cookie is good")
    press(browser, "/break/copy", "Another browser")
    assert "Accepted" in inspector(browser)
    yield "copy"
    press(browser, "/break/logout", "This browser is logged out")
    assert "unknown" in inspector(browser)
    browser.get(f"{site}/break")
    yield "no cookie"
    press(browser, "/break/anew", "Your cookie is good")
    press(browser, "/break/expire", "It ends in a second")
    yield "expiring"
    look_again_until(browser, "The cookie is refused")
    assert "unknown" in inspector(browser)
    yield "refused"


def test_every_page_can_be_seen_and_used_at_every_size(browser: Browser, axe: Axe, site: str) -> None:
    flaws, titles = [], set()
    for name in chain(through_the_rooms(browser, site), through_the_broken_cookies(browser, site)):
        titles.add(browser.run("return document.title"))
        for width, dark in SCREENS:
            browser.show(width, dark=dark)
            found = axe.flaws(browser, keyboard=not dark)
            flaws += [f"{name}, {width}{' dark' * dark}: {flaw}" for flaw in found]
        browser.show(320)
        fits = "return document.scrollingElement.scrollWidth <= document.scrollingElement.clientWidth"
        flaws += [] if browser.run(fits) else [f"{name} is wider than 320 pixels"]
        browser.show(1280)
    assert flaws == []
    assert len(titles) == 16


def test_a_user_comes_back_and_is_logged_out_from_elsewhere(browser: Browser, site: str) -> None:
    phone = browser
    with closing(Browser()) as laptop:
        log_in(laptop, site, remember=True)
        laptop.get(f"{site}/account/codes")
        assert "Recovery codes" in laptop.text
        laptop.restart()
        assert "The remember cookie brought you back" in laptop.get(f"{site}/account")
        assert "Is it still you?" in laptop.get(f"{site}/account/codes")
        confirm(laptop)
        laptop.get(f"{site}/account")
        laptop.run("document.getElementById('label').value = ''")
        laptop.type("#label", "Laptop")
        press(laptop, "/account/label", "Laptop")

        log_in(phone, site)
        assert "Laptop" in phone.text
        phone.click('[aria-label="End Laptop"]')
        phone.wait_for("That device is logged out.")
        assert "Laptop" not in phone.get(f"{site}/account")
        assert "Log in" in laptop.get(f"{site}/account")

        log_in(laptop, site, remember=True)
        press(laptop, "/account/everywhere", "here and on every other device")
        for device in (laptop, phone):
            assert "The password of both" in device.get(f"{site}/account")


def test_sessions_in_cookies_are_explained_too(browser: Browser, tmp_path: Path) -> None:
    with running_demo(tmp_path, SECRET_KEY=KEY) as demo:
        browser.get(demo.url)
        browser.type("#username", "Ann")
        press(browser, "/login", "hello, Ann")
        browser.get(f"{demo.url}/break")
        press(browser, "/break/change", "One character is different")
        assert "bad_signature" in inspector(browser)
        press(browser, "/break/restore", "Your cookie is good")
        press(browser, "/break/copy", "Another browser")
        press(browser, "/break/logout", "This browser is logged out")
        assert "'Ann'" in browser.text
        assert "Accepted" in inspector(browser)
        browser.get(f"{demo.url}/break")
        press(browser, "/break/anew", "Your cookie is good")
        press(browser, "/break/overfill", "413 Content Too Large")
        browser.get(f"{demo.url}/flask/")
        assert "--flask" in browser.text


def test_chromium_binds_the_session_to_the_device(tmp_path: Path) -> None:
    pytest.importorskip("jwt")
    from support.certificates import make_trusted

    certificate, home = make_trusted(tmp_path, "demo.test")
    options = ["--store", "sqlite:///demo.db", "--tls", str(certificate), "--device-bound"]
    with (
        running_demo(tmp_path, *options, SECRET_KEY=KEY) as demo,
        closing(Browser(BINDS_SESSIONS, home=home)) as browser,
    ):
        site = f"https://demo.test:{demo.port}"
        log_in(browser, site)
        wait_until(lambda: "bound to its key" in browser.get(f"{site}/account"), "the session is not bound")
        assert "This session is bound to this device" in browser.text
