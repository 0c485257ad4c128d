"""A bound session counts only together with the device's proof."""

from __future__ import annotations

import logging

import pytest

pytest.importorskip("jwt")

from session_mw import MemoryStore, SessionManager, SessionMiddleware, StoreError
from session_mw.login import LoginMiddleware, get_login
from support.device import MINUTE, BindingBrowser, Device, bound_site, site, warnings_in
from support.stores import METHODS, Recording
from support.tokens import KEY, OTHER_KEY
from support.validators import between_validators
from support.wsgi import PLAIN

REFUSED = "session cookie refused: unproven"
ADA = b'{"user": "42"}'


@pytest.fixture
def browser(clock, settings):
    """One with a bound session."""
    return BindingBrowser(bound_site(**settings)).bind()


def test_an_answer_takes_a_proof_away_that_does_not_hold(browser, clock):
    """As long as a browser has one it makes no other; this one is over by the clock of another server."""
    clock.advance(601)
    answer = browser.get()
    assert answer.body == b"{}"
    assert [cookie.partition(";")[0] for cookie in answer.cookies] == ["session-proof="]
    assert browser.get().cookies == []
    assert browser.refresh().status == "200 OK"
    assert browser.get().body == ADA


def test_without_a_proof_the_session_is_empty_and_a_warning_tells(browser, log):
    thief = browser.thief("session")
    assert thief.get().body == b"{}"
    assert warnings_in(log) == [REFUSED]
    assert browser.get().body == ADA


def test_both_cookies_are_worth_something_for_ten_minutes(browser, clock, log):
    thief = browser.thief()
    clock.advance(10 * MINUTE)
    assert thief.get().body == ADA
    assert warnings_in(log) == []
    clock.advance(1)
    assert thief.get().body == b"{}"
    assert warnings_in(log) == [REFUSED]


def test_the_lifetime_of_a_proof_can_be_set(clock, settings):
    browser = BindingBrowser(bound_site(device_proof_lifetime=90, **settings)).bind()
    clock.advance(90)
    assert browser.get().body == ADA
    clock.advance(1)
    assert browser.get().body == b"{}"
    assert browser.refresh().status == "200 OK"
    assert browser.get().body == ADA


@pytest.mark.parametrize(("ahead", "is_accepted"), [(60, True), (61, False)])
def test_a_proof_of_a_server_whose_clock_is_ahead_counts(clock, settings, ahead, is_accepted):
    browser = BindingBrowser(bound_site(**settings)).bind()
    session = browser.jar["session"]
    clock.advance(ahead)
    browser.refresh()
    clock.advance(-ahead)
    browser.jar["session"] = session
    assert browser.get().body == (ADA if is_accepted else b"{}")


def changed(text):
    """The text with one character changed, at every place."""
    for place, character in enumerate(text):
        yield text[:place] + ("A" if character != "A" else "B") + text[place + 1 :]


def test_a_proof_of_which_a_character_is_changed_is_none(browser):
    proof = browser.proof_cookie
    for other in (
        *changed(proof),
        "",
        proof[:-1],
        proof + "A",
        proof.upper(),
        f"{proof}.{proof}",
        "\xff\xfe",
        "a" * 4000,
    ):
        browser.jar["session-proof"] = other
        assert browser.get().body == b"{}", other
    browser.jar["session-proof"] = proof
    assert browser.get().body == ADA


def test_a_proof_in_quotes_counts(browser):
    browser.jar["session-proof"] = f'"{browser.proof_cookie}"'
    assert browser.get().body == ADA


def test_the_proof_of_another_session_does_not_count(browser):
    other = BindingBrowser(browser.app).bind()
    other.jar["session-proof"] = browser.proof_cookie
    assert other.get().body == b"{}"


def test_the_proof_of_another_key_does_not_count(clock):
    """Of a session in a cookie, whose copies of before can be registered once more."""
    browser = BindingBrowser(bound_site())
    browser.get("/login")
    other = browser.thief()
    other.offer, other.device = browser.offer, Device()
    assert browser.register().status == other.register().status == "200 OK"
    other.jar["session-proof"] = browser.proof_cookie
    assert other.get().body == b"{}"
    assert browser.get().body == ADA


def test_a_proof_of_another_application_with_the_key_does_not_count(clock, settings):
    jars = []
    for more in ({}, {"salt": "another"}, {"cookie_name": "other"}):
        jars.append(BindingBrowser(bound_site(**settings, **more)).bind())
    one, *others = jars
    for other in others:
        one.jar["session-proof"] = other.proof_cookie
        assert one.get().body == b"{}"


def test_several_proof_cookies_are_looked_at(browser):
    """One may have been planted under another Path."""
    proof = browser.proof_cookie
    for header in (
        f"session-proof=planted; session={browser.jar['session']}; session-proof={proof}",
        f"session-proof={proof}; session={browser.jar['session']}; session-proof=planted",
        f"a=b;session-proof={proof};session={browser.jar['session']};c=d",
    ):
        assert BindingBrowser(browser.app).get(HTTP_COOKIE=header).body == ADA


def test_a_challenge_is_no_proof(browser):
    for text in (browser.challenge, f"{browser.identifier}.{browser.challenge}"):
        browser.jar["session-proof"] = text
        assert browser.get().body == b"{}"


# What an unproven request can do


@pytest.mark.parametrize("path", ["/write", "/renew", "/logout", "/clear", "/anonymous", "/untouched"])
def test_no_answer_to_it_replaces_or_deletes_the_session_cookie(browser, path):
    thief = browser.thief("session")
    answer = thief.get(path)
    assert answer.cookies == []
    assert answer.all("Secure-Session-Registration") == []
    assert browser.get().body == ADA


def test_it_writes_nothing_to_the_store(clock):
    store = Recording(MemoryStore())
    browser = BindingBrowser(bound_site(store=store)).bind()
    store.calls.clear()
    for path in ("/write", "/renew", "/logout", "/clear"):
        browser.thief("session").get(path)
    assert set(store.calls) == {"load"}


@pytest.mark.parametrize("user", ["42", "43"])
def test_a_log_in_begins_another_session(browser, user):
    """A browser that cannot prove its device any more is not locked out."""
    other = browser.thief("session")
    answer = other.get(f"/login/{user}")
    assert len(answer.all("Secure-Session-Registration")) == 1
    assert other.jar["session"] != browser.jar["session"]
    assert other.get("/write").body == b'{"n": 1, "user": "%b"}' % user.encode()
    assert other.register().status == "200 OK"
    assert other.identifier != browser.identifier


def test_a_permanent_session_that_nobody_reads_is_not_refreshed_without_a_proof(clock, settings, log):
    def permanent(environ, start_response):
        if environ["PATH_INFO"] == "/login":
            environ["session"].permanent = True
        return ignoring(environ, start_response) if environ["PATH_INFO"] == "/x" else site(environ, start_response)

    def ignoring(environ, start_response):
        start_response("200 OK", [PLAIN])
        return [b""]

    browser = BindingBrowser(bound_site(permanent, **settings)).bind()
    thief = browser.thief("session")
    clock.advance(60)
    is_stored = "store" in settings
    assert thief.get("/x").cookies == []
    assert warnings_in(log) == ([] if is_stored else [REFUSED])
    for _ in range(3):
        # the first time it is read, then it is known
        answer = browser.get("/x")
        assert len(answer.cookies) == (0 if is_stored else 1)
        clock.advance(1)
    assert thief.get("/x").cookies == []
    clock.advance(10 * MINUTE)
    assert browser.get("/x").cookies == []


def test_one_request_writes_one_line(browser, log):
    """Several copies of the cookie, and an application that looks again and again."""
    header = "; ".join(f"session={browser.jar['session']}" for _ in range(3))
    BindingBrowser(browser.app).get("/write", HTTP_COOKIE=header)
    assert warnings_in(log) == [REFUSED]


def test_beside_another_session_s_cookie_neither_is_trusted_and_no_log_out_ends_the_bound_one(browser, log):
    mine = BindingBrowser(browser.app)
    mine.get("/login/43")
    header = f"session={browser.jar['session']}; session={mine.jar['session']}"
    thief = BindingBrowser(browser.app)
    assert thief.get(HTTP_COOKIE=header).body == b"{}"
    assert "session cookie refused: ambiguous" in warnings_in(log)
    thief.get("/logout", HTTP_COOKIE=header)
    assert browser.get().body == ADA


def test_what_the_browser_says_of_a_skipped_proof_is_logged_and_changes_nothing(browser, log):
    thief = browser.thief("session")
    for value, reason in (
        ('quota_exceeded;session_identifier="x"', "quota_exceeded"),
        ("unreachable, server_error", "server_error, unreachable"),
        ('x"\r\n', "another reason"),
    ):
        log.clear()
        assert thief.get(HTTP_SECURE_SESSION_SKIPPED=value).body == b"{}"
        line = f"a browser says that it sends no proof of its device: {reason}"
        assert (logging.INFO, line) in [(record.levelno, record.getMessage()) for record in log.records]
        assert warnings_in(log) == [REFUSED]
    assert browser.get(HTTP_SECURE_SESSION_SKIPPED="unreachable").body == ADA


# To try it


def test_report_only_logs(clock, settings, log):
    browser = BindingBrowser(bound_site(**{**settings, "device_bound": "report"})).bind()
    thief = browser.thief("session")
    log.clear()
    assert thief.get("/write").body == b'{"n": 1, "user": "42"}'
    assert warnings_in(log) == ["session cookie would be refused: unproven"]
    log.clear()
    assert browser.get().status == "200 OK"
    assert warnings_in(log) == []
    assert browser.refresh().status == "200 OK"


def test_switched_off_bound_sessions_go_on_as_others(clock, settings):
    browser = BindingBrowser(bound_site(**settings)).bind()
    browser.app = between_validators(lambda inner: SessionMiddleware(inner, KEY, **settings), site)
    thief = browser.thief("session")
    assert thief.get("/write").body == b'{"n": 1, "user": "42"}'
    thief.app = bound_site(**settings)
    assert thief.get().body == b"{}"


# Ends and changes of id


def test_a_new_id_keeps_the_binding_and_its_identifier(browser):
    old = browser.thief("session")
    browser.get("/renew")
    assert browser.get("/write").body == b'{"n": 1, "user": "42"}'
    assert browser.refresh().status == "200 OK"
    assert browser.get().body == b'{"n": 1, "user": "42"}'
    assert browser.thief("session").get().body == b"{}"
    assert old.get().body == b"{}"


def test_a_log_in_as_the_same_user_keeps_the_binding(browser):
    assert browser.get("/login").all("Secure-Session-Registration") == []
    assert browser.refresh().status == "200 OK"
    assert browser.thief("session").get().body == b"{}"


def test_a_log_in_as_another_user_begins_without_a_device(browser):
    answer = browser.get("/login/43")
    assert len(answer.all("Secure-Session-Registration")) == 1
    assert browser.thief("session").get().body == b'{"user": "43"}'
    assert browser.register(Device()).status == "200 OK"
    assert browser.thief("session").get().body == b"{}"


def test_a_session_that_is_nobody_s_any_more_is_not_bound(clock, settings):
    def give_up(environ, start_response):
        if environ["PATH_INFO"] == "/nobody":
            environ["session"].principal = None
        return site(environ, start_response)

    browser = BindingBrowser(bound_site(give_up, **settings)).bind()
    browser.get("/nobody")
    assert browser.thief("session").get().body == ADA
    assert browser.refresh().status == "401 Unauthorized"


def test_a_log_out_ends_the_binding_and_takes_the_proof_along(browser):
    answer = browser.get("/logout")
    assert answer.cookies[-1] == (
        "session-proof=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax"
    )
    assert browser.jar == {}
    assert browser.refresh().status == "401 Unauthorized"


def test_a_log_out_and_a_log_in_in_one_request_begin_another_session(clock, settings):
    def both(environ, start_response):
        if environ["PATH_INFO"] == "/again":
            environ["session"].invalidate()
            environ["session"].principal = "43"
        return site(environ, start_response)

    browser = BindingBrowser(bound_site(both, **settings)).bind()
    answer = browser.get("/again")
    assert len(answer.all("Secure-Session-Registration")) == 1
    assert [cookie for cookie in answer.cookies if cookie.startswith("session-proof=;")]
    assert browser.thief("session").get("/write").body == b'{"n": 1}'


def test_the_login_of_the_package_is_bound(clock, settings):
    def page(environ, start_response):
        login = get_login(environ)
        {"/login": lambda: login.log_in("42"), "/confirm": login.confirm, "/logout": login.log_out}.get(
            environ["PATH_INFO"], lambda: None
        )()
        start_response("200 OK", [PLAIN])
        return [str(login.user_id).encode()]

    app = bound_site(LoginMiddleware(page, load_user=lambda user_id: user_id), **settings)
    browser = BindingBrowser(app).bind()
    assert browser.thief("session").get().body == b"None"
    assert browser.get("/confirm").body == b"42"
    assert browser.refresh().status == "200 OK"
    assert browser.thief("session").get().body == b"None"
    browser.get("/logout")
    assert browser.refresh().status == "401 Unauthorized"


# Keys and stores


def test_proofs_of_an_older_key_count_as_long_as_it_is_a_fallback(clock, settings):
    browser = BindingBrowser(bound_site(**settings)).bind()
    later = {**settings, "secret_key": OTHER_KEY}
    browser.app = bound_site(secret_key_fallbacks=[KEY], **later)
    assert browser.get().body == ADA
    assert browser.refresh().status == "200 OK"
    browser.app = bound_site(**later)
    if "store" in settings:
        # its id needs no key, the record was written anew, and the proof is of the new key by now
        assert browser.get("/write").body == b'{"n": 1, "user": "42"}'
    else:
        assert browser.get().body == b"{}"


def test_a_store_that_is_down_is_an_error_also_without_a_proof(clock):
    store = Recording(MemoryStore())
    browser = BindingBrowser(bound_site(store=store)).bind()
    store.fail(*METHODS)
    with pytest.raises(StoreError):
        browser.thief("session").get()


@pytest.mark.parametrize("place", ["stored", "sealed"], indirect=True)
def test_a_list_of_sessions_says_which_are_bound(clock, settings):
    sessions = SessionManager(KEY, device_bound=True, **settings)
    app = between_validators(lambda inner: SessionMiddleware(inner, sessions=sessions), site)
    BindingBrowser(app).get("/login")
    browser = BindingBrowser(app).bind()
    assert sorted(info.device_bound for info in sessions.sessions_of("42")) == [False, True]
    browser.get("/renew")
    browser.get("/write")
    assert sorted(info.device_bound for info in sessions.sessions_of("42")) == [False, True]
    key = browser.device.jwk["x"]
    assert all(
        key.encode() not in record.data for record in map(settings["store"].load, settings["store"].keys_of("42"))
    )
