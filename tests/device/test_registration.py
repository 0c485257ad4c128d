"""A browser registers its device: who may, for how long, and who comes first."""

from __future__ import annotations

import json
import logging
import random
import string

import pytest

pytest.importorskip("jwt")

from session_mw import CookieTooLarge, MemoryStore, SessionManager, SessionMiddleware
from session_mw.device import binding_of, proven_until
from support.device import MINUTE, REFRESH, REGISTER, BindingBrowser, Device, bound_site, site
from support.tokens import KEY
from support.validators import between_validators
from support.wsgi import PLAIN, visit


def test_a_browser_that_registers_gets_all_that_it_has_to_know(clock, settings, place):
    browser = BindingBrowser(bound_site(**settings))
    browser.get("/login")
    answer = browser.register()
    assert json.loads(answer.body) == {
        "session_identifier": browser.identifier,
        "refresh_url": REFRESH,
        "scope": {"include_site": False},
        "credentials": [
            {"type": "cookie", "name": "session-proof", "attributes": "Path=/; Secure; HttpOnly; SameSite=Lax"}
        ],
    }
    now = int(clock.now)
    *session, (_, proof), (_, challenge), length = answer.headers[4:]
    assert answer.headers[:4] == [
        ("Cache-Control", "no-store"),
        ("Content-Type", "application/json"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("X-Content-Type-Options", "nosniff"),
    ]
    assert proof.startswith("session-proof=")
    assert f".{now}." in proof
    assert proof.endswith("; Max-Age=600; Path=/; Secure; HttpOnly; SameSite=Lax")
    assert challenge.startswith(f'"{now}.')
    assert challenge.endswith(f';id="{browser.identifier}"')
    assert length == ("Content-Length", str(len(answer.body)))
    assert [name for name, _ in session] == ["Vary", *["Set-Cookie"] * (place not in ("stored", "sealed"))]


def test_a_bound_session_goes_on_as_it_was(settings):
    browser = BindingBrowser(bound_site(**settings)).bind()
    assert browser.get("/write").body == b'{"n": 1, "user": "42"}'
    assert browser.get("/write").body == b'{"n": 2, "user": "42"}'
    assert browser.get().body == b'{"n": 2, "user": "42"}'


def test_what_a_page_can_show_of_a_binding(clock, settings):
    seen = []

    def look(environ, start_response):
        session = environ["session"]
        seen.append((session.device_bound, binding_of(session), proven_until(session)))
        return site(environ, start_response)

    browser = BindingBrowser(bound_site(look, **settings))
    browser.get()
    browser.bind()
    clock.advance(30)
    browser.get()
    assert seen[:2] == [(False, None, None)] * 2
    is_bound, binding, until = seen[2]
    assert is_bound
    assert (binding.session_identifier, binding.algorithm) == (browser.identifier, "ES256")
    assert until == int(clock.now) + 570
    browser.thief("session").get()
    assert seen[3] == (False, None, None)


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_a_stored_session_takes_keys_of_both_algorithms(algorithm):
    browser = BindingBrowser(bound_site(store=MemoryStore()), device=Device(algorithm)).bind()
    assert len(browser.proof_cookie) < 160
    assert browser.get().body == b'{"user": "42"}'
    assert browser.refresh().status == "200 OK"
    assert browser.thief("session").get().body == b"{}"


def test_a_session_in_the_cookie_takes_no_key_that_is_too_long_for_it():
    browser = BindingBrowser(bound_site(), device=Device("RS256"))
    answer = browser.get("/login")
    assert answer.all("Secure-Session-Registration")[0].startswith("(ES256);")
    assert browser.register().status == "400 Bad Request"


def test_a_key_takes_little_room_in_a_cookie():
    browser = BindingBrowser(bound_site())
    browser.get("/login")
    before = len(browser.jar["session"])
    browser.register()
    assert len(browser.jar["session"]) - before <= 64


# Who may register


def test_nobody_registers_without_a_session(settings):
    app = bound_site(**settings)
    browser = BindingBrowser(app)
    browser.get("/login")
    stranger = BindingBrowser(app, offer=browser.offer)
    answer = stranger.register()
    assert answer.status == "401 Unauthorized"
    assert stranger.jar == {}


def test_an_anonymous_session_is_not_bound(settings):
    browser = BindingBrowser(bound_site(**settings))
    assert browser.get("/anonymous").all("Secure-Session-Registration") == []
    ada = BindingBrowser(browser.app)
    ada.get("/login")
    browser.offer = ada.offer
    assert browser.register().status == "401 Unauthorized"


@pytest.mark.parametrize("user", ["42", "43"])
def test_the_challenge_of_another_session_is_refused(settings, user):
    app = bound_site(**settings)
    ada, bob = BindingBrowser(app), BindingBrowser(app)
    ada.get("/login")
    bob.get(f"/login/{user}")
    bob.offer = ada.offer
    assert bob.register().status == "403 Forbidden"
    assert bob.get().body == b'{"user": "%b"}' % user.encode()


def test_an_offer_holds_for_five_minutes(clock, settings):
    browser = BindingBrowser(bound_site(**settings))
    for wait, status in ((5 * MINUTE + 1, "403 Forbidden"), (5 * MINUTE, "200 OK")):
        browser.get("/login")
        clock.advance(wait)
        assert browser.register().status == status


def test_an_offer_of_a_server_whose_clock_is_ahead_holds(clock, settings):
    browser = BindingBrowser(bound_site(**settings))
    for ahead, status in ((61, "403 Forbidden"), (60, "200 OK")):
        # the session itself is of a server whose clock is right
        browser.get("/login")
        clock.advance(ahead)
        browser.get()
        clock.advance(-ahead)
        assert browser.register().status == status


def test_an_offer_holds_though_the_page_writes_meanwhile(settings):
    browser = BindingBrowser(bound_site(**settings))
    browser.get("/login")
    offer = browser.offer
    browser.get("/write")
    browser.offer = offer
    assert browser.register().status == "200 OK"
    assert browser.get().body == b'{"n": 1, "user": "42"}'


def test_an_offer_of_before_a_log_out_is_refused(settings):
    browser = BindingBrowser(bound_site(**settings))
    browser.get("/login")
    offer = browser.offer
    browser.get("/logout")
    browser.get("/login")
    browser.offer = offer
    assert browser.register().status == "403 Forbidden"


def test_a_challenge_for_a_refresh_registers_nothing(settings):
    app = bound_site(**settings)
    ada = BindingBrowser(app).bind()
    bob = BindingBrowser(app)
    bob.get("/login")
    bob.offer = REGISTER, ada.challenge
    assert bob.register().status == "403 Forbidden"


def test_a_session_that_began_before_the_setting_can_be_bound(place, settings):
    before = BindingBrowser(between_validators(lambda inner: SessionMiddleware(inner, KEY, **settings), site))
    before.get("/login")
    browser = BindingBrowser(bound_site(**settings), before.jar)
    browser.get()
    first = browser.offer
    cookie = browser.jar["session"]
    browser.get()
    # Nothing was written for it.
    assert browser.jar["session"] == cookie
    browser.get("/write")
    browser.offer = first
    assert browser.register().status == "200 OK"
    assert browser.get().body == b'{"n": 1, "user": "42"}'
    assert browser.thief("session").get().body == b"{}"


# Who comes first


def test_a_second_registration_is_refused_and_told(settings, log):
    browser = BindingBrowser(bound_site(**settings))
    browser.get("/login")
    offer = browser.offer
    browser.register()
    first = browser.identifier
    log.clear()
    browser.offer = offer
    answer = browser.register(Device())
    assert answer.status == "409 Conflict"
    assert answer.cookies == []
    assert [(record.levelno, record.getMessage()) for record in log.records] == [
        (logging.WARNING, "device-bound sessions: register refused: the session is bound to another device already")
    ]
    assert browser.identifier == first
    assert browser.refresh().status == "200 OK"


def test_a_second_registration_without_the_proof_is_refused(settings):
    browser = BindingBrowser(bound_site(**settings))
    browser.get("/login")
    offer = browser.offer
    browser.register()
    thief = browser.thief("session")
    thief.offer = offer
    assert thief.register(Device()).status == "409 Conflict"


def test_the_first_of_two_registrations_at_once_wins_in_a_store(clock):
    """The second one has read the session before the first one was saved."""
    store = MemoryStore()
    app = bound_site(store=store)
    one, other = BindingBrowser(app), BindingBrowser(app)
    one.get("/login")
    other.jar, other.offer = dict(one.jar), one.offer
    update, due = store.update, iter([True])

    def overtaken(*arguments, **named):
        if next(due, False):
            assert one.register().status == "200 OK"
        return update(*arguments, **named)

    store.update = overtaken
    answer = other.register(Device())
    assert answer.status == "409 Conflict"
    assert answer.cookies == []
    assert one.get().body == b'{"user": "42"}'
    assert one.refresh().status == "200 OK"


def test_a_page_that_names_a_session_keeps_the_binding_of_a_registration_that_overtakes_it():
    """The session began before the setting: the page's save gives it a name, without a key."""
    store = MemoryStore()
    before = BindingBrowser(between_validators(lambda inner: SessionMiddleware(inner, KEY, store=store), site))
    before.get("/login")
    app = bound_site(store=store)
    browser, page = BindingBrowser(app, before.jar), BindingBrowser(app, dict(before.jar))
    browser.get()
    update, due = store.update, iter([True])

    def overtaken(*arguments, **named):
        if next(due, False):
            assert browser.register().status == "200 OK"
        return update(*arguments, **named)

    store.update = overtaken
    assert page.get("/write").body == b'{"n": 1, "user": "42"}'
    assert browser.get().body == b'{"n": 1, "user": "42"}'
    assert browser.thief("session").get().body == b"{}"
    assert browser.refresh().status == "200 OK"


def test_a_page_that_logs_somebody_else_in_does_not_get_the_device_of_a_registration_that_overtakes_it():
    store = MemoryStore()

    def change(environ, start_response):
        if environ["PATH_INFO"] == "/change":
            # without a new id
            environ["session"].principal = "43"
        return site(environ, start_response)

    app = bound_site(change, store=store)
    browser = BindingBrowser(app)
    browser.get("/login")
    page = browser.thief()
    update, due = store.update, iter([True])

    def overtaken(*arguments, **named):
        if next(due, False):
            assert browser.register().status == "200 OK"
        return update(*arguments, **named)

    store.update = overtaken
    page.get("/change")
    assert page.get().body == b'{"user": "42"}'
    assert SessionManager(KEY, store=store).sessions_of("43")[0].device_bound is False


def test_a_cookie_of_before_the_registration_ends_where_endings_are_remembered():
    browser = BindingBrowser(bound_site(revocations=MemoryStore()))
    browser.get("/login")
    old = browser.thief("session")
    browser.register()
    # It comes late: what it does is dropped.
    assert old.get("/write").body == b'{"n": 1}'
    assert old.get().body == b"{}"
    assert old.offer is None
    assert browser.get().body == b'{"user": "42"}'


def test_a_copy_of_a_stored_session_s_cookie_is_bound_with_it():
    browser = BindingBrowser(bound_site(store=MemoryStore()))
    browser.get("/login")
    old = browser.thief("session")
    browser.register()
    assert old.get().body == b"{}"


def test_a_registration_of_a_session_that_another_request_ends_is_refused():
    store = MemoryStore()
    browser = BindingBrowser(bound_site(store=store))
    browser.get("/login")
    other = browser.thief()
    update, due = store.update, iter([True])

    def overtaken(*arguments, **named):
        if next(due, False):
            other.get("/logout")
        return update(*arguments, **named)

    store.update = overtaken
    answer = browser.register()
    assert answer.status == "401 Unauthorized"
    assert answer.cookies == []
    assert browser.get().body == b"{}"


# Room


def text_of(length: int) -> str:
    """A text that does not compress."""
    return "".join(random.Random(length).choices(string.ascii_letters + string.digits, k=length))


def filling(environ, start_response):
    """A page whose path says how long a text it puts into its user's session."""
    session = environ["session"]
    session.principal, session["text"] = "42", text_of(int(environ["PATH_INFO"].strip("/")))
    start_response("200 OK", [PLAIN])
    return [b""]


@pytest.fixture(scope="module")
def longest() -> int:
    """The longest text that a session can hold in its cookie where it is not offered a device."""
    sessions, length = SessionManager(KEY), 4000
    while True:
        session = sessions.open({})
        session.principal, session["text"] = "42", text_of(length)
        try:
            sessions.commit(session)
        except CookieTooLarge:
            length -= 1
        else:
            return length


def test_what_fits_into_a_cookie_still_fits(longest):
    """Without a name for it, and not offered a device."""
    browser = BindingBrowser(bound_site(filling))
    assert browser.get(f"/{longest}").status == "200 OK"
    assert browser.offer is None
    # Nor does a name that it has already stand in the way.
    browser.get("/10")
    assert browser.offer is not None
    assert browser.get(f"/{longest}").status == "200 OK"
    with pytest.raises(CookieTooLarge):
        browser.get("/4200")


def test_a_session_is_offered_a_device_as_long_as_its_key_has_room(longest):
    lengths, browsers = range(longest - 160, longest, 10), []
    for length in lengths:
        browsers.append(BindingBrowser(bound_site(filling)))
        browsers[-1].get(f"/{length}")
    offered = [browser.offer is not None for browser in browsers]
    assert offered == sorted(offered, reverse=True)
    assert (offered[0], offered[-1]) == (True, False)
    for browser in browsers[: offered.index(False)]:
        assert browser.register().status == "200 OK"
        assert len("session") + len(browser.jar["session"]) <= 4096


def test_a_registration_that_finds_no_room_is_refused_with_words(longest):
    """The session has grown since the offer."""
    browser = BindingBrowser(bound_site(filling))
    browser.get("/10")
    offer = browser.offer
    browser.get(f"/{longest - 60}")
    assert browser.offer is None
    before, browser.offer = dict(browser.jar), offer
    answer = browser.register()
    assert (answer.status, answer.cookies) == ("413 Content Too Large", [])
    assert browser.jar == before


def test_pages_outside_of_the_paths_are_the_application_s():
    app = bound_site()
    for path in ("/.session-device", "/.session-device/", f"{REGISTER}/", f"{REGISTER}x", "/.session-device/other"):
        assert visit(app, path, https=True).body == b"{}"
