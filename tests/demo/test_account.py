"""The demo's log-in, its devices, and the page that asks for the password again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from session_mw import MemoryStore
from session_mw.csrf import CSRF_KEY
from support.demo import Site, form_to, heading, log_in, press

pytest.importorskip("webtest")

SAFARI = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1 Version/18.0 Safari/604.1"
STORES = [{"store": "memory://"}, {"revocations": "memory://"}]


def devices(page):
    return [item.strong.text for item in page.html.select(".devices li")]


@pytest.fixture
def site():
    return Site(store="memory://")


def test_a_stranger_is_sent_to_the_log_in_page_and_back():
    browser = Site().browser()
    form = browser.get("/account/codes").follow().forms[0]
    form["username"], form["password"] = "grace", "correct horse"
    page = form.submit().follow()
    assert heading(page) == "Recovery codes"
    assert page.html.find(role="status").text == "You are logged in, grace."
    assert "hello, grace" in browser.get("/")


def test_the_page_says_who_may_log_in():
    page = Site().browser().get("/account/login")
    assert [code.text for code in page.html.select(".lead code")] == ["ada", "grace", "correct horse"]


@pytest.mark.parametrize(("name", "password"), [("ada", "guessed"), ("nobody", "correct horse"), ("", ""), ("ada", "")])
def test_a_wrong_password_is_told_at_its_fields(name, password):
    page = log_in(Site().browser(), name, password)
    assert page.status_int == 403
    assert page.html.title.text.startswith("Error: ")
    for field in ("username", "password"):
        found = page.html.find(id=field)
        assert found["aria-invalid"] == "true"
        assert page.html.find(id=found["aria-describedby"])["role"] == "alert"
    assert page.html.find(id="username")["value"] == name
    assert not page.html.find(id="password").has_attr("value")


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)"]
)
def test_nobody_is_sent_to_another_site(target):
    form = Site().browser().get("/account/login", {"next": target}).forms[0]
    form["username"], form["password"] = "ada", "correct horse"
    assert form.submit().location == "http://localhost/account"


def test_what_a_stranger_put_into_the_cart_stays(site):
    browser = site.browser()
    browser.post("/cart", {"item": "apple"})
    log_in(browser)
    assert "<li>apple</li>" in browser.get("/")


def test_the_browser_is_closed_and_the_remember_cookie_brings_the_user_back_but_not_to_what_matters(site):
    browser = site.logged_in(remember=True)
    page = press(browser.get("/account"), "/break/close")
    assert "login.is_fresh is False" in page.html.main.text
    assert devices(page) == ["Firefox on Linux"]
    page = browser.get("/account/codes").follow()
    assert heading(page) == "Is it still you?"
    page.forms[0]["password"] = "guessed"
    page = page.forms[0].submit(status=403)
    page.forms[0]["password"] = "correct horse"
    assert heading(page.forms[0].submit().follow()) == "Recovery codes"


def test_the_first_page_greets_whom_the_remember_cookie_brings_back(site):
    browser = site.logged_in(remember=True)
    browser.post("/break/close")
    assert heading(browser.get("/")) == "hello, ada"
    assert site.sessions.sessions_of("ada")[0].label == "Firefox on Linux"


def test_without_remember_me_a_closed_browser_is_logged_out(site):
    browser = site.logged_in()
    browser.post("/break/close")
    assert heading(browser.get("/account").follow()) == "Log in"


def test_the_password_is_asked_for_again_after_five_minutes(site, clock):
    browser = site.logged_in()
    clock.now += 300
    assert heading(browser.get("/account/codes")) == "Recovery codes"
    clock.now += 1
    assert heading(browser.get("/account/codes").follow()) == "Is it still you?"
    assert heading(browser.get("/account")) == "Your account"


def test_somebody_else_may_log_in_on_the_same_page(site):
    browser = site.logged_in()
    form = {"username": "grace", "password": "correct horse"}
    assert "You are logged in as grace" in browser.post("/account/login", form).follow().html.main.text


def test_devices_have_names_that_can_be_changed(site):
    here, phone = site.logged_in(), site.logged_in(HTTP_USER_AGENT=SAFARI)
    assert sorted(devices(here.get("/account"))) == ["Firefox on Linux", "Safari on iOS"]
    form = form_to(phone.get("/account"), "/account/label")
    form["label"] = "<b>Ada's phone</b>"
    assert "<b>Ada's phone</b>" in devices(form.submit().follow())


@pytest.mark.parametrize(
    ("agent", "label"),
    [
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0",
            "Edge on Windows",
        ),
        ("Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36", "Chrome on Android"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 15_0) AppleWebKit/605 Version/18.0 Safari/605", "Safari on macOS"),
        ("something", "A browser"),
    ],
)
def test_a_device_is_named_after_its_user_agent(site, agent, label):
    assert devices(site.logged_in(HTTP_USER_AGENT=agent).get("/account")) == [label]


def test_one_device_is_ended_from_another(site):
    here, phone = site.logged_in(), site.logged_in(remember=True, HTTP_USER_AGENT=SAFARI)
    page = press(here.get("/account"), "/account/end")
    assert devices(page) == ["Firefox on Linux"]
    assert heading(phone.get("/account").follow()) == "Log in"


def test_nobody_ends_a_device_of_another_user(site):
    ada = site.logged_in()
    grace = site.browser()
    log_in(grace, "grace")
    (info,) = site.sessions.sessions_of("ada")
    grace.post("/account/end", {"id": info.id})
    assert heading(ada.get("/account")) == "Your account"


@pytest.mark.parametrize("settings", STORES)
def test_log_out_everywhere_ends_every_device_and_forgets_it(settings):
    site = Site(**settings)
    here, phone = site.logged_in(), site.logged_in(remember=True)
    page = press(here.get("/account"), "/account/everywhere")
    assert page.html.find(role="status").text == "You are logged out, here and on every other device."
    for browser in (here, phone):
        assert heading(browser.get("/account").follow()) == "Log in"


@pytest.mark.parametrize(
    ("settings", "notes"),
    [
        ({}, ["--store sqlite:///demo.db", "--revocations sqlite:///ended.db"]),
        ({"revocations": "memory://"}, ["--store sqlite:///demo.db"]),
        ({"store": "memory://"}, []),
    ],
)
def test_a_page_says_which_option_gives_what_it_lacks(settings, notes):
    page = Site(**settings).logged_in().get("/account")
    assert [note.code.text for note in page.html.select("[aria-labelledby=devices] .note")] == notes
    assert ("/account/everywhere" in page) is (len(notes) < 2)


@pytest.mark.parametrize("settings", [{}, *STORES])
@pytest.mark.parametrize("action", ["/account/logout", "/logout"])
def test_both_log_outs_end_session_and_remember_cookie(settings, action):
    site = Site(**settings)
    browser = site.logged_in(remember=True)
    assert {"session", "remember"} <= browser.cookies.keys()
    browser.post(action)
    assert not {"session", "remember"} & browser.cookies.keys()
    assert heading(browser.get("/")) == "hello, stranger"


def test_a_log_in_gives_the_session_a_new_id_and_a_lifetime(site):
    browser = site.browser()
    browser.get("/")
    before = browser.cookies["session"]
    log_in(browser)
    assert browser.cookies["session"] != before
    session = site.sessions.open({"HTTP_COOKIE": f"session={browser.cookies['session']}"})
    assert (session.principal, session["username"], CSRF_KEY in session) == ("ada", "ada", False)
    assert site.sessions.settings.lifetime == timedelta(days=31)


def test_forms_that_come_after_the_log_out_are_refused_with_a_page(site):
    browser = site.logged_in()
    page = browser.get("/account")
    browser.post("/account/logout")
    answer = form_to(page, "/account/label").submit(status=401)
    assert heading(answer) == "401 Unauthorized"
    assert answer.headers["WWW-Authenticate"] == "Cookie"


@pytest.mark.parametrize("settings", [{}, {"store": MemoryStore()}], ids=["cookie", "store"])
def test_the_page_says_whether_the_session_is_bound_to_the_device(settings):
    assert "--device-bound" in Site(**settings).logged_in().get("/account").text
    pytest.importorskip("jwt")
    bound = Site(device_bound=True, **settings)
    assert "not bound to this device yet" in bound.logged_in(**{"wsgi.url_scheme": "https"}).get("/account").text
