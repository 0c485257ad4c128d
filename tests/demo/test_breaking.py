"""Cookies that are broken on purpose: what browsers then send, and what the demo makes of it."""

from __future__ import annotations

import pytest

from support.demo import Site, form_to, heading, press

pytest.importorskip("webtest")

KINDS = [{}, {"encrypt": True}, {"store": "memory://"}, {"revocations": "memory://"}]


def seen(page):
    """What the page says that the application finds."""
    return [code.text for code in page.html.main.select("pre code") if code.text.startswith("{")]


@pytest.fixture(params=KINDS, ids=lambda settings: next(iter(settings), "signed"))
def site(request):
    return Site(**request.param)


@pytest.fixture
def browser(site):
    """One with a session in which there is a name."""
    browser = site.browser()
    browser.post("/login", {"username": "cizixs"})
    return browser


def test_without_a_cookie_a_session_can_be_begun(site):
    page = site.browser().get("/break")
    assert heading(page) == "Break my cookie"
    assert len(page.forms) == 1
    assert seen(press(page, "/break/anew")) == ["{'visits': 1}"]


@pytest.mark.parametrize("action", ["change", "expire", "twin", "copy"])
def test_nothing_can_be_done_to_a_cookie_that_is_not_there(site, action):
    answer = site.browser().post(f"/break/{action}")
    assert answer.location == "http://localhost/break"
    assert "Set-Cookie" not in answer.headers


def test_one_character_is_changed_and_the_old_cookie_put_back(browser):
    good = browser.cookies["session"]
    page = press(browser.get("/break"), "/break/change")
    changed = browser.cookies["session"]
    assert sum(a != b for a, b in zip(good, changed, strict=True)) == 1
    assert [token.text for token in page.html.select(".token")] == [good, changed]
    assert len(page.html.find_all("mark")) == 2
    assert seen(page) == ["{}"]
    assert "Set-Cookie" not in browser.get("/break").headers
    page = press(page, "/break/restore")
    assert browser.cookies == {"session": good}
    assert seen(page) == ["{'username': 'cizixs'}"]


def test_a_session_expires_a_second_later(browser, clock):
    page = press(browser.get("/break"), "/break/expire")
    assert heading(page) == "It ends in a second"
    clock.now += 2
    page = browser.get(page.html.main.find("a", "button")["href"])
    assert heading(page) == "The cookie is refused"
    assert seen(page) == ["{}"]
    assert "Set-Cookie" not in page.headers


@pytest.mark.parametrize(
    ("settings", "reason", "can_be_put_back"),
    [({}, "expired", True), ({"encrypt": True}, "expired", True), ({"store": "memory://"}, "unknown", False)],
)
def test_the_page_says_why_and_offers_the_old_cookie_where_it_is_still_good(settings, reason, can_be_put_back, clock):
    browser = Site(**settings).browser()
    browser.post("/login", {"username": "cizixs"})
    press(browser.get("/break"), "/break/expire")
    clock.now += 2
    page = browser.get("/break")
    assert page.html.select_one(".lead code").text == reason
    assert ("/break/restore" in page) is can_be_put_back
    if can_be_put_back:
        assert seen(press(page, "/break/restore")) == ["{'username': 'cizixs'}"]


def test_a_second_cookie_makes_both_worthless_until_somebody_writes(browser):
    page = press(browser.get("/break"), "/break/twin")
    assert heading(page) == "Two cookies of one name"
    assert seen(page) == ["{}"]
    assert "mallory" not in page
    assert [cookie.path for cookie in browser.cookiejar if cookie.name == "session"] == ["/", "/break"]
    page = press(page, "/break/anew")
    assert seen(page) == ["{'visits': 1}"]
    assert [cookie.path for cookie in browser.cookiejar if cookie.name == "session"] == ["/"]


def test_the_second_cookie_is_for_that_page_alone(browser):
    press(browser.get("/break"), "/break/twin")
    assert heading(browser.get("/")) == "hello, cizixs"
    press(browser.get("/break"), "/break/restore")
    assert heading(browser.get("/break")) == "Break my cookie"


@pytest.mark.parametrize("change", ["change", "expire", "twin", "copy"])
def test_the_inspector_beside_looks_at_what_the_page_looks_at(browser, clock, change):
    page = press(browser.get("/break"), f"/break/{change}")
    clock.now += 2
    verdicts = {"change": ["bad_signature", "unknown"], "expire": ["expired", "unknown"], "twin": ["ambiguous"]}
    shown = browser.get(page.html.iframe["src"]).text
    assert [word for word in verdicts.get(change, ["accepted"]) if word in shown] != []


@pytest.mark.parametrize(("settings", "after"), [({}, "{'username': 'cizixs'}"), *((kind, "{}") for kind in KINDS[2:])])
def test_a_log_out_ends_the_copy_in_another_browser_where_the_server_remembers(settings, after):
    browser = Site(**settings).browser()
    browser.post("/login", {"username": "cizixs"})
    page = press(browser.get("/break"), "/break/copy")
    assert seen(page) == ["{'username': 'cizixs'}"] * 2
    page = press(page, "/break/logout")
    assert seen(page) == ["{}", after]
    assert ("--revocations" in page.html.main.text) is (settings == {})
    assert "/break/logout" not in page


def test_the_inspector_of_the_copy_shows_the_copy_and_changes_nothing(browser):
    page = press(browser.get("/break"), "/break/copy")
    copied = browser.cookies["copied"]
    press(page, "/break/logout")
    assert browser.get("/break/copy").html.iframe["src"] == "/break/copy/_session"
    answer = browser.get("/break/copy/_session")
    assert copied in "".join(answer.html.text.split())
    assert "Set-Cookie" not in answer.headers
    assert "session" not in browser.cookies


def test_without_a_copy_there_is_no_other_browser(browser):
    assert browser.get("/break/copy").location == "http://localhost/break"


@pytest.mark.parametrize("settings", [{}, {"encrypt": True}])
def test_too_much_is_an_error_and_the_cookie_stays(settings):
    browser = Site(**settings).browser()
    browser.post("/login", {"username": "cizixs"})
    before = browser.cookies
    page = form_to(browser.get("/break"), "/break/overfill").submit(status=413)
    assert "luggage" in page.html.main.text
    assert browser.cookies == before
    assert "/break/overfill" not in Site(store="memory://").logged_in().get("/break")


def test_a_picture_of_the_page_brings_nobody_back_in_place_of_the_broken_cookie(site):
    browser = site.logged_in(remember=True)
    press(browser.get("/break"), "/break/change")
    for path in ("/style.css", "/favicon.svg", "/favicon.ico", "/break/_session"):
        accept = {"Accept": "image/avif,*/*"} if "_session" not in path else {}
        assert "Set-Cookie" not in browser.get(path, headers=accept, expect_errors=True).headers


@pytest.mark.parametrize("kept", ["", "a b", "x; Domain=evil.example", "é", '"quoted"', "x" * 5000])
def test_what_is_put_back_is_a_token_or_nothing(site, kept):
    answer = site.browser().post("/break/restore", headers={"Cookie": f"kept={kept}".encode().decode("latin-1")})
    assert [
        line for line in answer.headers.getall("Set-Cookie") if line.startswith("session=") and "Domain" in line
    ] == []
    assert not any(kept and kept in line for line in answer.headers.getall("Set-Cookie"))


def test_over_https_the_raw_cookies_are_secure():
    browser = Site().browser(**{"wsgi.url_scheme": "https", "HTTP_HOST": "localhost"})
    browser.post("/login", {"username": "cizixs"})
    answer = form_to(browser.get("/break"), "/break/change").submit()
    lines = answer.headers.getall("Set-Cookie")
    assert len(lines) == 2
    assert all("; Secure; HttpOnly; SameSite=Lax" in line for line in lines)
