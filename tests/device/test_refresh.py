"""A browser proves its device again and again, and gets a new proof cookie."""

from __future__ import annotations

import logging

import pytest

pytest.importorskip("jwt")

from session_mw import MemoryStore, StoreError
from support.device import MINUTE, REFRESH, BindingBrowser, Device, bound_site
from support.stores import METHODS, Recording

HOUR = 60 * MINUTE
ADA = b'{"user": "42"}'


@pytest.fixture
def browser(clock, settings):
    """One with a bound session."""
    return BindingBrowser(bound_site(**settings)).bind()


def ask(browser: BindingBrowser, proof: str | None = None, **more: str):
    """A POST to the endpoint, with another proof than the right one."""
    headers = {"sec_secure_session_id": browser.identifier, **more}
    if proof is not None:
        headers["secure_session_response"] = proof
    return browser.post(REFRESH, **headers)


def test_a_proof_is_answered_by_a_new_cookie_and_the_next_challenge(browser, clock):
    clock.advance(9 * MINUTE)
    former = browser.challenge
    answer = browser.refresh()
    now = int(clock.now)
    assert (answer.status, answer.body) == ("200 OK", b"")
    (proof,) = answer.cookies
    assert f".{now}." in proof
    assert proof.endswith("; Max-Age=600; Path=/; Secure; HttpOnly; SameSite=Lax")
    assert browser.challenge.startswith(f"{now}.")
    assert browser.challenge != former
    assert answer.all("Cache-Control") == ["no-store"]
    assert answer.all("Content-Length") == ["0"]
    clock.advance(10 * MINUTE)
    assert browser.get().body == ADA


def test_a_browser_without_a_proof_cookie_gets_one(browser):
    del browser.jar["session-proof"]
    assert browser.get().body == b"{}"
    assert browser.refresh().status == "200 OK"
    assert browser.get().body == ADA


def test_without_a_proof_a_challenge_comes_back(browser):
    """After a restart the browser has lost it."""
    answer = ask(browser)
    assert answer.status == "403 Forbidden"
    assert answer.cookies == []
    assert browser.refresh().status == "200 OK"


@pytest.mark.parametrize(
    ("proof_lifetime", "seconds"), [(600, 900), (1, 301), (1800, 2100), (3600, 3600)], ids=lambda value: f"{value}s"
)
def test_a_challenge_holds_for_a_proof_s_lifetime_and_at_most_an_hour(clock, settings, proof_lifetime, seconds):
    browser = BindingBrowser(bound_site(device_proof_lifetime=proof_lifetime, **settings)).bind()
    clock.advance(seconds)
    assert browser.refresh().status == "200 OK"
    former = browser.challenge
    clock.advance(seconds + 1)
    answer = browser.refresh()
    assert (answer.status, answer.cookies) == ("403 Forbidden", [])
    assert browser.challenge != former
    assert browser.refresh().status == "200 OK"


@pytest.mark.parametrize(("ahead", "status"), [(60, "200 OK"), (61, "403 Forbidden")])
def test_a_challenge_of_a_server_whose_clock_is_ahead_holds(browser, clock, ahead, status):
    clock.advance(ahead)
    ask(browser)
    clock.advance(-ahead)
    assert browser.refresh().status == status


def test_a_challenge_of_another_session_is_refused_with_a_new_one(browser):
    other = BindingBrowser(browser.app).bind()
    browser.challenge = other.challenge
    assert browser.refresh().status == "403 Forbidden"
    assert browser.refresh().status == "200 OK"


def test_a_challenge_for_a_registration_is_refused(browser):
    other = BindingBrowser(browser.app)
    other.get("/login")
    assert other.offer is not None
    browser.challenge = other.offer[1]
    assert browser.refresh().status == "403 Forbidden"


def test_a_challenge_that_nobody_made_is_refused(browser):
    for challenge in ("", "x", f"{10**11}.{'A' * 43}", browser.challenge[:-1], browser.challenge + "A", "\ud83d\ude00"):
        browser.challenge = challenge
        assert browser.refresh().status == "403 Forbidden"
        assert browser.proof_cookie is not None


def test_another_key_proves_nothing(browser):
    answer = browser.refresh(Device())
    assert (answer.status, answer.cookies) == ("400 Bad Request", [])


def test_a_thief_with_both_cookies_proves_nothing(browser, clock):
    thief = browser.thief()
    thief.identifier, thief.instructions = browser.identifier, browser.instructions
    ask(thief)
    assert thief.refresh(Device()).status == "400 Bad Request"
    clock.advance(10 * MINUTE + 1)
    assert thief.get().body == b"{}"
    assert browser.refresh().status == "200 OK"
    assert browser.get().body == ADA


def test_the_same_proof_counts_again_while_its_challenge_holds(browser, clock):
    """Browsers send it again where an answer was lost; nothing is kept of challenges."""
    proof = browser.device.proof(browser.challenge)
    assert ask(browser, proof).status == "200 OK"
    clock.advance(60)
    assert ask(browser, proof).status == "200 OK"
    clock.advance(15 * MINUTE)
    assert ask(browser, proof).status == "403 Forbidden"


def test_what_chromium_sends_and_what_the_draft_says_are_both_read(browser):
    proof = browser.device.proof(browser.challenge)
    for spelling in ('"%s"', ' "%s" ', '"%s";a=1', '"%s" ; b="c"', " %s "):
        identifier = spelling % browser.identifier
        assert ask(browser, spelling % proof, sec_secure_session_id=identifier).status == "200 OK"


# What comes without a session


def test_it_is_refused_without_an_identifier(browser):
    proof = browser.device.proof(browser.challenge)
    for identifier in (None, "", '""', "x", "a,b", "é", browser.identifier[:-1], f"{browser.identifier}, x", "\xff"):
        headers = {} if identifier is None else {"sec_secure_session_id": identifier}
        answer = browser.post(REFRESH, secure_session_response=proof, **headers)
        assert (answer.status, answer.cookies) == ("400 Bad Request", [])


def test_it_is_refused_without_a_session(browser):
    stranger = BindingBrowser(browser.app, identifier=browser.identifier)
    proof = browser.device.proof(browser.challenge)
    assert ask(stranger, proof).status == "401 Unauthorized"
    assert ask(stranger).status == "401 Unauthorized"


def test_it_is_refused_for_the_identifier_of_another_session(browser):
    other = BindingBrowser(browser.app).bind()
    other.identifier = browser.identifier
    assert ask(other, browser.device.proof(browser.challenge)).status == "401 Unauthorized"


def test_it_is_refused_for_a_session_that_is_not_bound(browser):
    other = BindingBrowser(browser.app)
    other.get("/login")
    other.identifier = browser.identifier
    assert ask(other).status == "401 Unauthorized"


def test_an_expired_session_is_not_proven(clock, settings):
    browser = BindingBrowser(bound_site(lifetime=HOUR, **settings)).bind()
    for _ in range(6):
        clock.advance(10 * MINUTE - 1)
        status = browser.refresh().status
    assert status == "200 OK"
    clock.advance(7)
    assert browser.refresh().status == "401 Unauthorized"


# The session is not used


def test_a_refresh_neither_saves_nor_refreshes_the_session(clock, settings):
    """A page that is left open would never expire."""

    def permanent(environ, start_response):
        environ["session"].permanent = True
        environ["session"].principal = "42"
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b""]

    browser = BindingBrowser(bound_site(permanent, **settings)).bind()
    clock.advance(5 * MINUTE)
    for answer in (browser.refresh(), ask(browser), browser.refresh(Device())):
        assert [cookie for cookie in answer.cookies if cookie.startswith("session=")] == []


def test_a_refresh_asks_a_store_once(clock):
    store = Recording(MemoryStore())
    browser = BindingBrowser(bound_site(store=store)).bind()
    clock.advance(20 * 86400)
    ask(browser)
    store.calls.clear()
    assert browser.refresh().status == "200 OK"
    assert store.calls == ["load"]


def test_a_store_that_is_down_is_an_error_of_the_server(clock):
    """Of a 4xx the browser would give the binding up."""
    store = Recording(MemoryStore())
    browser = BindingBrowser(bound_site(store=store)).bind()
    store.fail(*METHODS)
    with pytest.raises(StoreError):
        browser.refresh()
    store.before.clear()
    assert browser.refresh().status == "200 OK"


@pytest.mark.parametrize("place", ["revocable", "stored", "sealed"], indirect=True)
def test_a_refresh_that_comes_late_with_an_old_id_is_to_be_tried_again(clock, settings):
    """A 401 would end the binding in the browser, which gets its new cookie at the same time."""
    browser = BindingBrowser(bound_site(**settings)).bind()
    late = browser.thief()
    late.identifier, late.challenge = browser.identifier, browser.challenge
    late.device, late.instructions = browser.device, browser.instructions
    browser.get("/renew")
    assert late.refresh().status == "403 Forbidden"
    late.jar = browser.jar
    assert late.refresh().status == "200 OK"
    browser.get("/logout")
    assert ask(late).status == "401 Unauthorized"


def test_refusals_are_logged_at_info_and_quote_nothing(browser, log):
    for answer in (
        ask(browser, "x.y.z\r\n"),
        ask(browser, sec_secure_session_id="é"),
        browser.refresh(Device()),
        ask(BindingBrowser(browser.app, identifier=browser.identifier)),
    ):
        assert answer.status.startswith("4")
    assert {record.levelno for record in log.records} == {logging.INFO}
    text = " ".join(record.getMessage() for record in log.records)
    assert "x.y.z" not in text
    assert "é" not in text
    assert browser.identifier not in text
