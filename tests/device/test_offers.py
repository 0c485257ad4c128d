"""Which responses offer to bind the session to the device."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("jwt")

from session_mw import MemoryStore, SessionManager, SessionMiddleware
from session_mw.device.guard import UNDER_WAY
from support.device import REGISTER, BindingBrowser, Device, bound_site, site, warnings_in
from support.tokens import KEY
from support.visitors import Visitor
from support.wsgi import PLAIN, visit

ADA = b'{"user": "42"}'


def offers(answer):
    return answer.all("Secure-Session-Registration")


def test_the_offer_names_algorithms_path_and_a_challenge(clock):
    for place, algorithms in (({}, "ES256"), ({"store": MemoryStore()}, "ES256 RS256")):
        (offer,) = offers(BindingBrowser(bound_site(**place)).get("/login"))
        challenge = rf"{int(clock.now)}\.[A-Za-z0-9_-]{{43}}"
        assert re.fullmatch(rf'\({algorithms}\);path="{REGISTER}";challenge="{challenge}"', offer)


def test_each_response_offers_in_which_the_session_was_read_or_written(settings):
    browser = BindingBrowser(bound_site(**settings))
    for path, count in (("/login", 1), ("/", 1), ("/write", 1), ("/untouched", 0), ("/", 1)):
        assert len(offers(browser.get(path))) == count
    browser.register()
    for path in ("/", "/write", "/renew", "/login"):
        assert offers(browser.get(path)) == []


def test_a_response_that_does_not_touch_the_session_offers_nothing(settings):
    def ignoring(environ, start_response):
        start_response("200 OK", [PLAIN])
        return [b""]

    browser = BindingBrowser(bound_site(**settings))
    browser.get("/login")
    browser.app = SessionMiddleware(ignoring, KEY, device_bound=True, **settings)
    assert Visitor.get(browser, https=True).headers == [PLAIN]


def test_an_anonymous_session_is_offered_nothing(settings):
    browser = BindingBrowser(bound_site(**settings))
    assert offers(browser.get("/anonymous")) == []
    assert offers(browser.get("/")) == []
    assert b"_signer" not in browser.jar["session"].encode()


def test_without_the_setting_nothing_is_different():
    app = SessionMiddleware(site, KEY)
    browser = BindingBrowser(app)
    assert offers(browser.get("/login")) == []
    assert visit(app, REGISTER, https=True).body == b"{}"


def test_http_is_offered_nothing_and_told_of(log):
    app = bound_site()
    for host in ("127.0.0.1:8000", "localhost", "app.localhost"):
        assert offers(visit(app, "/login", HTTP_HOST=host)) == []
    assert warnings_in(log) == []
    for _ in range(2):
        assert offers(visit(app, "/login", HTTP_HOST="www.example")) == []
    assert warnings_in(log) == [
        "sessions are not bound to devices where a request comes over http, and one did. If a proxy has ended TLS, "
        "tell the server to believe its X-Forwarded-Proto"
    ]


@pytest.mark.parametrize(
    ("settings", "root", "is_offered"),
    [
        ({"cookie_path": "/app"}, "", False),
        ({"cookie_path": "/app"}, "/app", True),
        ({"cookie_path": "/app/"}, "/app", True),
        ({"cookie_path": "/app"}, "/application", False),
        ({"cookie_path": "/app", "device_path": "/app/.device"}, "", True),
        ({"cookie_path": "/%C3%BC"}, "/\xc3\xbc", True),
    ],
)
def test_nothing_is_offered_where_the_cookie_would_not_be_sent(settings, root, is_offered, log):
    app = bound_site(**settings)
    answers = [BindingBrowser(app).get("/login", SCRIPT_NAME=root) for _ in range(2)]
    assert [len(offers(answer)) for answer in answers] == [int(is_offered)] * 2
    told = [line for line in warnings_in(log) if "not bound to devices" in line]
    assert len(told) == (0 if is_offered else 1)
    if told:
        assert f"which has Path={settings['cookie_path']}, to {root}{REGISTER}. Let device_path lie below" in told[0]


@pytest.mark.parametrize("directive", ["public", "public, max-age=60", "s-maxage=60"])
def test_a_response_for_shared_caches_offers_nothing(directive):
    def page(environ, start_response):
        session = environ["session"]
        if environ["PATH_INFO"] == "/login":
            session.principal = "42"
        shown = str(session.get("user")).encode()
        start_response("200 OK", [PLAIN, *([] if environ["PATH_INFO"] == "/login" else [("Cache-Control", directive)])])
        return [shown]

    browser = BindingBrowser(bound_site(page))
    assert len(offers(browser.get("/login"))) == 1
    answer = browser.get("/")
    assert answer.headers == [PLAIN, ("Cache-Control", directive), ("Vary", "Cookie")]


def test_an_offer_alone_changes_no_other_header(clock):
    browser = BindingBrowser(bound_site())
    browser.get("/login")
    answer = browser.get("/")
    assert answer.headers == [PLAIN, ("Secure-Session-Registration", offers(answer)[0]), ("Vary", "Cookie")]


def test_an_error_page_that_takes_the_place_of_a_page_has_the_offer_too():
    import sys

    def page(environ, start_response):
        environ["session"].principal = "42"
        start_response("200 OK", [PLAIN])
        try:
            raise ValueError
        except ValueError:
            start_response("503 Service Unavailable", [PLAIN], sys.exc_info())
        return [b""]

    answer = BindingBrowser(bound_site(page)).get()
    assert (answer.status, len(offers(answer))) == ("503 Service Unavailable", 1)


def test_a_manager_without_the_middleware_offers_nothing():
    """Nobody would answer the browser."""
    sessions = SessionManager(KEY, device_bound=True)
    session = sessions.open({"wsgi.url_scheme": "https"})
    session.principal = "42"
    assert [name for name, _ in sessions.respond(session, [])] == ["Cache-Control", "Vary", "Set-Cookie"]


# What the browser says of a request (Fetch Metadata)


def fetched(destination: str, site: str = "same-origin", mode: str = "no-cors") -> dict[str, str]:
    return {"HTTP_SEC_FETCH_DEST": destination, "HTTP_SEC_FETCH_SITE": site, "HTTP_SEC_FETCH_MODE": mode}


def test_the_parts_of_a_page_are_offered_nothing(clock, settings):
    """A browser registers once for each offer, and makes only so many signatures in some minutes."""
    browser = BindingBrowser(bound_site(**settings))
    browser.get("/login")
    clock.advance(10)
    for destination in ("image", "script", "style", "font", "video", "worker", "report"):
        assert offers(browser.get(**fetched(destination))) == []
    for destination in ("document", "iframe", "frame"):
        assert len(offers(browser.get(**fetched(destination, mode="navigate")))) == 1


@pytest.mark.parametrize("request_", [fetched("empty", mode="cors"), fetched("document", mode="navigate")])
def test_a_browser_that_has_just_got_an_offer_gets_no_other_for_ten_seconds(clock, settings, request_):
    """The page that a log-in leads to, and its scripts, ask while the browser registers."""
    browser = BindingBrowser(bound_site(**settings))
    assert len(offers(browser.get("/login", **request_))) == 1
    assert offers(browser.get("/write", **request_)) == []
    clock.advance(9)
    assert offers(browser.get(**request_)) == []
    clock.advance(1)
    assert len(offers(browser.get(**request_))) == 1
    assert len(offers(browser.get("/login", **request_))) == 1


def test_a_page_that_another_site_leads_to_is_offered_nothing_where_the_cookie_would_not_come_along(settings):
    link = fetched("document", "cross-site", "navigate")
    for samesite in ("Lax", "Strict", None, "None"):
        browser = BindingBrowser(bound_site(**settings, cookie_samesite=samesite))
        assert len(offers(browser.get("/login", **link))) == (1 if samesite == "None" else 0)
    assert len(offers(BindingBrowser(bound_site(**settings)).get("/login", **fetched("document", "same-site")))) == 1


# Requests that were under way


@pytest.mark.parametrize("origin", ["same-origin", "none"])
def test_requests_that_were_under_way_while_the_browser_registered_are_answered(clock, settings, place, log, origin):
    """They bring the cookie of before, and no proof: the page that a log-in leads to, say."""
    browser = BindingBrowser(bound_site(**settings))
    browser.get("/login")
    before = browser.thief("session")
    browser.register()
    log.clear()
    page, is_in_cookie = fetched("document", origin, "navigate"), place in ("signed", "encrypted")
    clock.advance(UNDER_WAY)
    assert before.get(**page).body == ADA
    assert warnings_in(log) == []
    clock.advance(1)
    assert before.get(**page).body == (ADA if is_in_cookie else b"{}")


def test_what_such_a_request_writes_is_saved_in_a_store_and_dropped_where_the_cookie_has_ended(clock, settings, place):
    browser = BindingBrowser(bound_site(**settings))
    browser.get("/login")
    before = browser.thief("session")
    browser.register()
    cookie = before.jar["session"]
    assert before.get("/write", **fetched("empty")).body == b'{"n": 1, "user": "42"}'
    if place in ("signed", "encrypted"):
        return
    assert before.jar["session"] == cookie
    assert browser.get().body == (ADA if place == "revocable" else b'{"n": 1, "user": "42"}')


@pytest.mark.parametrize("place", ["revocable", "stored", "sealed"], indirect=True)
def test_a_log_out_reaches_requests_that_were_under_way(clock, settings):
    browser = BindingBrowser(bound_site(**settings))
    browser.get("/login")
    before = browser.thief("session")
    browser.register()
    browser.get("/logout")
    assert before.get(**fetched("empty")).body == b"{}"


@pytest.mark.parametrize("place", ["revocable", "stored", "sealed"], indirect=True)
def test_a_registration_that_was_under_way_is_refused(clock, settings, place):
    """It is the second one."""
    browser = BindingBrowser(bound_site(**settings))
    browser.get("/login")
    other = browser.thief("session")
    other.offer = browser.offer
    browser.register()
    proof = Device().proof(other.offer[1], brings_key=True)
    answer = Visitor.get(
        other, REGISTER, https=True, REQUEST_METHOD="POST", HTTP_SECURE_SESSION_RESPONSE=proof, **fetched("empty")
    )
    assert answer.status == ("401 Unauthorized" if place == "revocable" else "409 Conflict")
    assert answer.cookies == []


@pytest.mark.parametrize("place", ["revocable", "stored", "sealed"], indirect=True)
@pytest.mark.parametrize("origin", ["cross-site", "same-site", None])
def test_only_a_site_s_own_requests_were_under_way(clock, settings, origin):
    browser = BindingBrowser(bound_site(**settings))
    browser.get("/login")
    before = browser.thief("session")
    browser.register()
    assert before.get(**({} if origin is None else {"HTTP_SEC_FETCH_SITE": origin})).body == b"{}"


def test_a_proof_of_the_former_session_does_not_tell_that_nothing_was_under_way(clock, settings):
    app = bound_site(**settings)
    former, browser = BindingBrowser(app).bind(), BindingBrowser(app)
    browser.get("/login")
    before = browser.thief("session")
    browser.register()
    before.jar["session-proof"] = former.proof_cookie
    assert before.get(**fetched("empty")).body == ADA


def test_with_a_proof_of_its_own_that_is_over_nothing_was_under_way(clock):
    browser = BindingBrowser(bound_site(store=MemoryStore(), device_proof_lifetime=1)).bind()
    thief = browser.thief()
    clock.advance(2)
    assert thief.get(**fetched("empty")).body == b"{}"


# A link from another site


LINK = fetched("document", "cross-site", "navigate")


@pytest.fixture
def unproven(clock, settings):
    """A visitor whose proof is too old."""
    browser = BindingBrowser(bound_site(**settings)).bind()
    clock.advance(601)
    del browser.jar["session-proof"]
    return browser


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_from_another_site_s_link_asks_for_itself_once_more(unproven, site, log):
    """A browser makes no proof for a request that another site causes, and does for one of the page itself."""
    answer = unproven.get("/write", **fetched("document", site, "navigate"))
    assert answer.status == "200 OK"
    assert b"location.reload()" in answer.body
    assert answer.headers == [
        ("Cache-Control", "no-store"),
        ("Content-Security-Policy", answer.all("Content-Security-Policy")[0]),
        ("Content-Length", str(len(answer.body))),
        ("Content-Type", "text/html; charset=utf-8"),
        ("Vary", "Cookie, Sec-Fetch-Site"),
    ]
    assert warnings_in(log) == []
    assert unproven.refresh().status == "200 OK"
    assert unproven.get("/write", **fetched("document", "same-origin", "navigate")).body == b'{"n": 1, "user": "42"}'


def test_the_reloading_page_s_policy_lets_its_own_script_run(unproven):
    import base64
    import hashlib

    answer = unproven.get(**LINK)
    script = re.search(rb"<script>(.*?)</script>", answer.body)[1]
    digest = base64.b64encode(hashlib.sha256(script).digest()).decode()
    assert answer.all("Content-Security-Policy") == [f"default-src 'none'; script-src 'sha256-{digest}'"]


def test_once_it_has_been_asked_for_by_itself_the_application_answers(unproven):
    """Also without a proof: there is no end to it otherwise."""
    assert unproven.get(**fetched("document", "same-origin", "navigate")).body == b"{}"


@pytest.mark.parametrize(
    "request_",
    [
        fetched("document", "none", "navigate"),
        fetched("iframe", "cross-site", "navigate"),
        fetched("empty", "cross-site", "cors"),
        {**LINK, "REQUEST_METHOD": "POST"},
        {**LINK, "REQUEST_METHOD": "HEAD"},
    ],
)
def test_all_other_requests_are_the_application_s(unproven, request_):
    assert b"reload" not in unproven.get(**request_).body


def test_a_visitor_with_a_proof_or_without_a_bound_session_is_not_asked_to_wait(clock, settings):
    app = bound_site(**settings)
    browser = BindingBrowser(app).bind()
    assert browser.get(**LINK).body == ADA
    assert BindingBrowser(app).get(**LINK).body == b"{}"
    unbound = BindingBrowser(app)
    unbound.get("/login")
    assert unbound.get(**LINK).body == ADA


def test_report_asks_nobody_to_wait(clock, settings):
    browser = BindingBrowser(bound_site(**{**settings, "device_bound": "report"})).bind()
    assert browser.thief("session").get(**LINK).body == ADA


def test_a_page_that_does_without_the_session_is_served_while_the_store_is_down(clock):
    from support.stores import METHODS, Recording

    def ignoring(environ, start_response):
        if environ["PATH_INFO"] == "/about":
            start_response("200 OK", [PLAIN])
            return [b"about us"]
        return site(environ, start_response)

    store = Recording(MemoryStore())
    browser = BindingBrowser(bound_site(ignoring, store=store)).bind()
    store.fail(*METHODS)
    assert browser.thief("session").get("/about", **LINK).body == b"about us"


# Two registrations at once, in a browser


def test_a_proof_of_the_other_key_is_taken_away_so_that_the_browser_proves_the_right_one(clock):
    """Two tabs have registered the same session in a cookie, and their answers came crosswise with a page's."""
    app = bound_site()
    one = BindingBrowser(app)
    one.get("/login")
    other = one.thief()
    other.offer, other.device = one.offer, Device()
    one.register()
    other.register()
    one.jar["session-proof"] = other.proof_cookie
    answer = one.get("/write")
    assert answer.body == b'{"n": 1}'
    (deletion,) = answer.cookies
    assert deletion.startswith("session-proof=; Expires=")
    assert one.proof_cookie is None
    assert other.identifier != one.identifier
    # The browser has both, and asks for each.
    late = one.thief()
    late.identifier, late.challenge, late.device = other.identifier, other.challenge, other.device
    late.instructions = other.instructions
    assert late.refresh().status == "401 Unauthorized"
    assert one.refresh().status == "200 OK"
    assert one.get().body == ADA
