"""The remember cookie: who comes back by it, how it rotates, when it ends."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest

from session_mw import MemoryStore, SessionManager, SessionMiddleware, StoreError
from session_mw.login import LoginMiddleware
from support.clock import Clock
from support.logins import ATTRIBUTES, ENDING, PLACES, Site, Users, site_on
from support.stores import Recording
from support.wsgi import KEY, Body, Server, environ_of

DAYS = 86400


@pytest.fixture
def recording() -> Recording:
    return Recording(MemoryStore())


@pytest.fixture(params=PLACES)
def site(request: pytest.FixtureRequest) -> Site:
    return Site(**PLACES[request.param])


@pytest.fixture(params=ENDING)
def stored(request: pytest.FixtureRequest) -> Site:
    """Devices are records in a store, and so are sessions, or what is known of their endings."""
    return Site(**PLACES[request.param])


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_remembered_user_comes_back_stale_after_a_restart(site: Site) -> None:
    browser = site.browser()
    assert browser.sees("/in-remember") == "42 fresh"
    browser.restart()
    assert browser.sees() == "42 stale"
    assert browser.sees() == "42 stale"


def test_a_user_who_was_not_to_be_remembered_does_not_come_back(site: Site) -> None:
    browser = site.browser()
    browser.get("/in")
    assert "remember" not in browser.jar
    assert browser.restart().sees() == "None stale"


def test_the_cookies_attributes_are_the_session_cookies(clock: Clock) -> None:
    clock.now = 1_700_000_000
    site = Site(remember_lifetime=timedelta(days=2))
    cookies = site.browser().get("/in-remember").cookies
    (remember,) = [cookie for cookie in cookies if cookie.startswith("remember=")]
    attributes = remember.partition("; ")[2]
    assert attributes == f"Expires=Thu, 16 Nov 2023 22:13:20 GMT; {ATTRIBUTES}"
    settings = {"cookie_domain": "example.com", "cookie_path": "/app", "cookie_samesite": "Strict"}
    site = Site(remember_lifetime=timedelta(days=2), settings=settings)
    cookies = site.browser(HTTP_HOST="example.com", SCRIPT_NAME="/app").get("/in-remember", https=True).cookies
    (remember,) = [cookie for cookie in cookies if cookie.startswith("remember=")]
    assert remember.partition("Expires=Thu, 16 Nov 2023 22:13:20 GMT; ")[2] == (
        "Domain=example.com; Path=/app; Secure; HttpOnly; SameSite=Strict"
    )


def test_a_response_that_sets_the_cookie_is_kept_from_shared_caches(site: Site) -> None:
    answer = site.browser().get("/in-remember")
    assert answer.all("Cache-Control") == ["private"]
    assert answer.vary == ["Cookie"]


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("max-age=60", "max-age=60, private"),
        ("public, max-age=60", 'public, max-age=60, no-cache="Set-Cookie"'),
        ("no-store", "no-store"),
        ("private, max-age=60", "private, max-age=60"),
    ],
)
@pytest.mark.parametrize("path", ["/in-remember", "/"])
def test_so_is_one_that_deletes_it_alone_whatever_the_application_says(value: str, sent: str, path: str) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        def start(status: str, headers: Any, exc_info: Any = None) -> Any:
            return start_response(status, [*headers, ("Cache-Control", value)], exc_info)

        return site.page(environ, start)

    site = Site(store="memory://")
    browser = site.browser()
    browser.get("/in-remember")
    browser.restart()
    site.users.clear()
    browser.app = SessionMiddleware(LoginMiddleware(app, load_user=site.users.load), sessions=site.sessions)
    answer = browser.get(path)
    assert [cookie.partition("=")[0] for cookie in answer.cookies][:1] == ["remember"]
    assert answer.all("Cache-Control") == [sent]


def test_a_remembered_device_is_forgotten_after_the_lifetime_whatever_its_use(site: Site, clock: Clock) -> None:
    browser = site.browser()
    browser.get("/in-remember")
    for _ in range(29):
        clock.advance(DAYS)
        assert browser.restart().sees() == "42 stale"
    clock.advance(DAYS - 1)
    copy = browser.restart().copy()
    assert copy.sees() == "42 stale"
    clock.advance(1)
    assert browser.sees() == "None stale"


@pytest.mark.parametrize("store", [None, "memory://"])
def test_a_session_goes_on_when_its_device_is_forgotten_by_time(store: str | None, clock: Clock) -> None:
    site = Site(store=store, remember_lifetime=3600)
    browser = site.browser()
    browser.get("/in-remember")
    clock.advance(3700)
    assert browser.sees() == "42 fresh"


def test_a_session_token_is_refused_as_a_remember_cookie_and_the_reverse(site: Site) -> None:
    browser = site.browser()
    browser.get("/in-remember")
    exchanged = site.browser()
    exchanged.jar = {"session": browser.jar["remember"], "remember": browser.jar["session"]}
    assert exchanged.sees() == "None stale"


@pytest.mark.parametrize("salt", ["session_mw remember", "\0\0\0\x13session_mw remember\0\0\0\x01s\0\0\0\x08remember"])
def test_no_salt_makes_one_pass_as_the_other(salt: str) -> None:
    site = Site(settings={"salt": salt, "digest": "sha256"})
    browser = site.browser()
    browser.get("/in-remember")
    exchanged = site.browser()
    exchanged.jar = {"session": browser.jar["remember"], "remember": browser.jar["session"]}
    assert exchanged.sees() == "None stale"


def test_a_remember_cookie_of_another_name_or_salt_is_refused(site: Site) -> None:
    browser = site.browser()
    browser.get("/in-remember")
    other = Site(store=site.sessions.store, remember_cookie_name="other").browser()
    other.jar = {"other": browser.jar["remember"]}
    assert other.sees() == "None stale"


HOSTILE = ["", "x", "a.b.c", "x" * 5000, "\xff\xfe", '"', "A" * 22 + "." + "A" * 43 + "." + "A" * 22, "🍪"]


@pytest.mark.parametrize("value", HOSTILE)
def test_whatever_a_client_sends_raises_nothing(site: Site, value: str, caplog: pytest.LogCaptureFixture) -> None:
    browser = site.browser()
    browser.jar["remember"] = value.encode().decode("latin-1")
    answer = browser.get()
    assert (answer.body, answer.cookies) == (b"None stale", [])
    assert warnings_in(caplog) == []


def test_every_changed_character_is_refused_and_ends_nothing(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    browser = site.browser()
    browser.get("/in-remember")
    browser.restart()
    value = browser.jar["remember"]
    for at in range(0, len(value), 3):
        forged = site.browser()
        forged.jar["remember"] = value[:at] + ("B" if value[at] != "B" else "C") + value[at + 1 :]
        assert forged.sees() == "None stale"
    assert warnings_in(caplog) == []
    assert browser.sees() == "42 stale"


def test_two_different_remember_cookies_are_both_refused_and_a_log_in_clears_them(site: Site) -> None:
    browser, evil = site.browser(), site.browser()
    browser.get("/in-remember")
    evil.get("/in-as-43-remember")
    header = f"remember={browser.jar['remember']}; remember={evil.jar['remember']}"
    app = site.app
    answer = Server(app, environ_of("/", header)).run()
    assert answer.body == b"None stale"
    answer = Server(app, environ_of("/in-remember", header, HTTP_HOST="example.com")).run()
    remember = [cookie for cookie in answer.cookies if cookie.startswith("remember=")]
    assert any("Domain=example.com" in cookie and "Max-Age=0" in cookie for cookie in remember)
    assert "Max-Age" not in remember[-1]


def test_a_signed_cookie_is_signed_anew_with_the_current_key_and_ends_when_it_would_have(clock: Clock) -> None:
    users = Users("42")
    old = Site(users=users)
    browser = old.browser()
    browser.get("/in-remember")
    browser.restart()
    clock.advance(20 * DAYS)
    new_key = "another secret key that is long enough"

    def behind(**settings: Any) -> Any:
        return SessionMiddleware(LoginMiddleware(old.page, load_user=users.load), new_key, **settings)

    browser.app = behind(secret_key_fallbacks=[KEY])
    assert browser.sees() == "42 stale"
    browser.restart()
    browser.app = behind()
    assert browser.sees() == "42 stale"
    clock.advance(10 * DAYS)
    assert browser.restart().sees() == "None stale"


def test_a_version_that_a_user_gets_later_ends_the_remember_cookie_when_it_changes(site: Site, clock: Clock) -> None:
    browser = site.browser()
    browser.get("/in-remember")
    site.users["42"].session_version = "1"
    assert browser.restart().sees() == "42 stale"
    clock.advance(60)
    assert browser.restart().sees() == "42 stale"
    site.users["42"].session_version = "2"
    assert browser.restart().sees() == "None stale"


def test_a_remember_cookie_survives_a_rotation_of_the_secret_key_with_the_users_version(
    site: Site, clock: Clock
) -> None:
    site.users["42"].session_version = "1"
    browser = site.browser()
    browser.get("/in-remember")
    place = {name: getattr(site.sessions, name) for name in ("store", "revocations")}
    for fallbacks in ([KEY], []):
        sessions = SessionManager("another secret key that is long enough", secret_key_fallbacks=fallbacks, **place)
        browser.app = SessionMiddleware(LoginMiddleware(site.page, load_user=site.users.load), sessions=sessions)
        clock.advance(60)
        assert browser.restart().sees() == "42 stale"


def test_a_store_needs_no_secret_key(clock: Clock) -> None:
    users = Users("42")
    site = Site(users=users)
    app = SessionMiddleware(LoginMiddleware(site.page, load_user=users.load), store=MemoryStore())
    browser = site.browser()
    browser.app = app
    browser.get("/in-remember")
    assert browser.restart().sees() == "42 stale"


# The series


def test_the_cookie_changes_at_each_use(stored: Site, clock: Clock) -> None:
    browser = stored.browser()
    browser.get("/in-remember")
    seen = {browser.jar["remember"]}
    for _ in range(4):
        clock.advance(60)
        browser.restart().get()
        seen.add(browser.jar["remember"])
    assert len(seen) == 5


def test_the_secret_is_hashed_at_rest() -> None:
    store = MemoryStore()
    site = Site(store=store)
    browser = site.browser()
    browser.get("/in-remember")
    browser.restart().get()
    series, secret, tag = browser.jar["remember"].split(".")
    records = [store.load(key) for key in store.keys_of("42")]
    assert len(records) == 2 + 1
    for record in records:
        assert record is not None
        assert secret.encode() not in record.data
        assert series.encode() not in record.data
        assert tag.encode() not in record.data


def test_with_store_encryption_no_users_name_can_be_read() -> None:
    store = MemoryStore()
    users = Users("gaius-julius")
    site = Site(store=store, users=users, settings={"store_encryption": True})
    site.pages["/me"] = lambda login, environ: login.log_in("gaius-julius", remember=True)
    browser = site.browser()
    browser.get("/me")
    browser.restart()
    assert browser.sees() == "gaius-julius stale"
    assert list(store.keys_of("gaius-julius")) == []
    assert browser.sees("/out-everywhere") == "None stale"
    assert browser.restart().sees() == "None stale"


def test_with_encrypted_cookies_no_users_name_can_be_read_in_the_store_of_revocations() -> None:
    pytest.importorskip("cryptography")
    written: list[bytes] = []

    class Watched(MemoryStore):
        def create(self, key: str, data: bytes, ttl: int, principal: str | None = None) -> bool:
            written.append(data + str(principal).encode())
            return super().create(key, data, ttl, principal)

    site = site_on("revocations", Watched(), Users("gaius-julius"), encrypt=True)
    site.pages["/me"] = lambda login, environ: login.log_in("gaius-julius", remember=True)
    browser = site.browser()
    browser.get("/me")
    assert browser.restart().sees() == "gaius-julius stale"
    assert written
    assert not any(b"gaius" in data for data in written)


def test_tabs_that_restart_within_ten_seconds_all_succeed(stored: Site, clock: Clock) -> None:
    browser = stored.browser()
    browser.get("/in-remember")
    browser.restart()
    tabs = [browser.copy() for _ in range(8)]
    for tab in tabs:
        assert tab.sees() == "42 stale"
        clock.advance(1.25)
    # Whichever cookie the browser took last is good.
    clock.advance(3600)
    for tab in tabs[:1]:
        assert tab.restart().sees() == "42 stale"


@pytest.mark.parametrize("last", range(8))
def test_whichever_answer_of_the_tabs_comes_last_its_cookie_is_good(stored: Site, clock: Clock, last: int) -> None:
    browser = stored.browser()
    browser.get("/in-remember")
    browser.restart()
    tabs = [browser.copy() for _ in range(8)]
    for tab in tabs:
        tab.get()
    clock.advance(3600)
    assert tabs[last].restart().sees() == "42 stale"


def test_a_used_cookie_that_comes_again_later_ends_the_series_and_every_session_of_it(
    stored: Site, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    victim, other_device = stored.browser(), stored.browser()
    other_device.get("/in-remember")
    victim.get("/in-remember")
    log_in_itself = victim.copy()
    thief = victim.copy().restart()
    renewed = thief.copy()
    assert thief.sees() == "42 stale"
    renewed.jar = dict(thief.jar)
    renewed.get("/regenerate")
    clock.advance(11)
    assert warnings_in(caplog) == []
    assert victim.restart().sees() == "None stale"
    (warning,) = warnings_in(caplog)
    assert "came again after it was used" in warning
    assert [browser.sees() for browser in (thief, renewed, log_in_itself)] == ["None stale"] * 3
    assert thief.restart().sees() == "None stale"
    assert other_device.sees() == "42 fresh"
    assert other_device.restart().sees() == "42 stale"


def test_a_cookie_used_several_uses_ago_is_known_as_used(
    stored: Site, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    browser = stored.browser()
    browser.get("/in-remember")
    old = browser.copy().restart()
    for _ in range(30):
        clock.advance(60)
        browser.restart().get()
    assert old.sees() == "None stale"
    assert len(warnings_in(caplog)) == 1
    assert browser.sees() == "None stale"


def test_ten_seconds_are_within_the_grace_and_eleven_are_not(stored: Site, clock: Clock) -> None:
    for late, expected in ((10, "42 stale"), (11, "None stale")):
        browser = stored.browser()
        browser.get("/in-remember")
        copy = browser.restart().copy()
        browser.get()
        clock.advance(late)
        assert copy.sees() == expected


class _Failing:
    """Ways in which a request can fail after the remember cookie was read."""

    @staticmethod
    def raises(site: Site, recording: Recording) -> None:
        site.failing = RuntimeError("the application fails")

    @staticmethod
    def user_is_not_loaded(site: Site, recording: Recording) -> None:
        site.users.failing = RuntimeError("the database is down")

    @staticmethod
    def session_is_not_saved(site: Site, recording: Recording) -> None:
        recording.fail("create")

    @staticmethod
    def record_is_not_updated(site: Site, recording: Recording) -> None:
        recording.fail("update")

    @staticmethod
    def record_is_not_loaded(site: Site, recording: Recording) -> None:
        recording.fail("load")


@pytest.mark.parametrize(
    ("place", "way"),
    [
        *(
            (place, way)
            for place in ENDING
            for way in ("raises", "user_is_not_loaded", "record_is_not_updated", "record_is_not_loaded")
        ),
        # With revocations it is in its cookie.
        ("store", "session_is_not_saved"),
    ],
)
def test_a_request_that_fails_uses_no_secret_up(
    recording: Recording, clock: Clock, caplog: pytest.LogCaptureFixture, place: str, way: str
) -> None:
    site = site_on(place, recording)
    browser = site.browser()
    browser.get("/in-remember")
    browser.restart()
    getattr(_Failing, way)(site, recording)
    with pytest.raises((RuntimeError, StoreError)):
        browser.get()
    site.failing = site.users.failing = None
    recording.before.clear()
    clock.advance(3600)
    assert browser.sees() == "42 stale"
    clock.advance(3600)
    assert browser.restart().sees() == "42 stale"
    assert warnings_in(caplog) == []


def test_a_response_that_went_out_uses_the_secret_up_though_the_store_fails_then(
    recording: Recording, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(store=recording)
    browser = site.browser()
    browser.get("/in-remember")
    browser.restart()
    recording.once("create", lambda: recording.fail("update"))
    assert browser.sees() == "42 stale"
    assert "the store failed in what follows" in warnings_in(caplog)[0]
    recording.before.clear()
    # Its browser has the next one, which tells that the first is used.
    copy = browser.copy().restart()
    clock.advance(60)
    assert copy.sees() == "42 stale"


def streaming(site: Site, *, early: bool, body: Any = None) -> Any:
    """The site's page as a generator, which starts its response before or after its first line."""

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        answer = b"".join(site.page(environ, start_response))
        yield answer
        yield b"!"

    def eager(environ: dict[str, Any], start_response: Any) -> Any:
        return Body(b"".join(site.page(environ, start_response)), b"!")

    return SessionMiddleware(
        LoginMiddleware(eager if early else app, load_user=site.users.load), sessions=site.sessions
    )


@pytest.mark.parametrize("early", [True, False])
def test_generators_send_the_cookie_and_use_the_secret_up(stored: Site, clock: Clock, early: bool) -> None:
    browser = stored.browser()
    browser.app = streaming(stored, early=early)
    assert browser.sees("/in-remember") == "42 fresh!"
    copy = browser.restart().copy()
    assert browser.sees() == "42 stale!"
    assert browser.jar["remember"] != copy.jar["remember"]
    clock.advance(11)
    assert copy.sees() == "None stale!"


def test_a_generator_whose_commit_fails_uses_no_secret_up(
    recording: Recording, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(store=recording)
    browser = site.browser()
    browser.app = streaming(site, early=False)
    browser.get("/in-remember")
    browser.restart()
    recording.fail("create")
    with pytest.raises(StoreError):
        browser.get()
    recording.before.clear()
    clock.advance(3600)
    assert browser.sees() == "42 stale!"
    assert warnings_in(caplog) == []


def wrapped(site: Site, app: Any) -> Any:
    return SessionMiddleware(LoginMiddleware(app, load_user=site.users.load), sessions=site.sessions)


def test_write_sends_the_cookie(stored: Site) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        from session_mw.login import get_login

        write = start_response("200 OK", [("Content-Type", "text/plain")])
        get_login(environ).log_in("42", remember=True)
        write(b"hello")
        return [b"!"]

    browser = stored.browser()
    browser.app = wrapped(stored, app)
    assert browser.sees() == "hello!"
    browser.app = stored.app
    assert browser.restart().sees() == "42 stale"


def test_a_log_in_after_an_early_start_response_is_in(stored: Site) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        from session_mw.login import get_login

        start_response("200 OK", [("Content-Type", "text/plain")])
        get_login(environ).log_in("42", remember=True)
        return [b"hello"]

    browser = stored.browser()
    browser.app = wrapped(stored, app)
    browser.get()
    assert set(browser.jar) == {"session", "remember"}


def test_an_error_page_with_exc_info_carries_the_cookie(stored: Site) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        from session_mw.login import get_login

        start_response("200 OK", [("Content-Type", "text/plain")])
        get_login(environ).log_in("42", remember=True)
        try:
            raise ValueError("the view fails")
        except ValueError:
            import sys

            start_response("500 Oops", [("Content-Type", "text/plain")], sys.exc_info())
        return [b"sorry"]

    browser = stored.browser()
    browser.app = wrapped(stored, app)
    answer = browser.get()
    assert answer.status == "500 Oops"
    assert set(browser.jar) == {"session", "remember"}


def test_a_restart_after_the_headers_repeats_the_cookie(stored: Site) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        import sys

        from session_mw.login import get_login

        get_login(environ).log_in("42", remember=True)
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b""
        try:
            raise ValueError("late")
        except ValueError:
            start_response("500 Oops", [("Content-Type", "text/plain")], sys.exc_info())
        yield b"sorry"

    server = Server(wrapped(stored, app), environ_of())
    server.run()
    first, second = ([value for name, value in start[1] if name == "Set-Cookie"] for start in server.starts)
    assert first == second
    assert len(first) == 2


def test_a_second_start_response_without_exc_info_is_an_error(stored: Site) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        start_response("200 OK", [])
        return []

    with pytest.raises(AssertionError, match="second time"):
        Server(wrapped(stored, app), environ_of()).run()


def test_the_body_is_closed_once_and_passed_on_as_it_is_where_nothing_waits(stored: Site) -> None:
    body = Body(b"hello")

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [])
        return body

    passed = LoginMiddleware(app, load_user=stored.users.load)({"session": stored.sessions.open({})}, lambda *_: print)
    assert passed is body
    Server(wrapped(stored, app), environ_of()).run()
    assert body.closed == 1


def test_the_applications_header_list_stays_as_it_is(stored: Site) -> None:
    headers = [("Content-Type", "text/plain")]

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        from session_mw.login import get_login

        get_login(environ).log_in("42", remember=True)
        start_response("200 OK", headers)
        return [b"hello"]

    Server(wrapped(stored, app), environ_of()).run()
    assert headers == [("Content-Type", "text/plain")]


def test_head_uses_the_secret_up_too(stored: Site, clock: Clock) -> None:
    browser = stored.browser()
    browser.get("/in-remember")
    copy = browser.restart().copy()
    app = wrapped(stored, stored.page)
    server = Server(app, environ_of("/", browser.cookie, REQUEST_METHOD="HEAD"))
    body = app(server.environ, server.start_response)
    body.close()
    clock.advance(11)
    assert copy.sees() == "None stale"


# Log-ins, records


def test_log_in_ends_another_users_remember_cookie(site: Site) -> None:
    browser = site.browser()
    browser.get("/in-remember")
    copy = browser.restart().copy()
    assert browser.sees("/in-as-43") == "43 fresh"
    assert "remember" not in browser.jar
    assert browser.restart().sees() == "None stale"
    if site.can_end:
        assert copy.sees() == "None stale"


def test_log_in_keeps_the_same_users_remember_cookie(site: Site) -> None:
    browser = site.browser()
    browser.get("/in-remember")
    browser.restart()
    assert browser.sees("/in") == "42 fresh"
    assert browser.restart().sees() == "42 stale"


def test_a_log_in_after_a_look_in_the_same_request_keeps_the_rotated_cookie(stored: Site, clock: Clock) -> None:
    def look_and_log_in(login: Any, environ: Any) -> None:
        assert login.user_id == "42"
        login.log_in("42")

    stored.pages["/look-in"] = look_and_log_in
    browser = stored.browser()
    browser.get("/in-remember")
    assert browser.restart().sees("/look-in") == "42 fresh"
    clock.advance(60)
    assert browser.restart().sees() == "42 stale"


def test_a_log_in_with_remember_replaces_the_devices_series(stored: Site, clock: Clock) -> None:
    browser = stored.browser()
    browser.get("/in-remember")
    old = browser.copy().restart()
    browser.get("/in-remember")
    assert old.sees() == "None stale"
    assert browser.sees() == "42 fresh"
    assert browser.restart().sees() == "42 stale"


def test_a_late_request_does_not_come_back_by_the_remember_cookie(stored: Site) -> None:
    browser = stored.browser()
    browser.get("/in-remember")
    late = browser.copy()
    browser.get("/confirm")
    answer = late.get()
    assert (answer.body, answer.cookies) == (b"None stale", [])
    assert browser.sees() == "42 fresh"


def test_an_unreadable_record_leaves_the_visitor_anonymous_with_one_warning(
    recording: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(store=recording)
    browser = site.browser()
    browser.get("/in-remember")
    browser.restart()
    session_ids = {info.id for info in site.sessions.sessions_of("42")}
    (device,) = set(recording.inner.keys_of("42")) - session_ids
    for data in (b"", b"R", b"R{", recording.inner.load(device).data[:-5], b"\x80\x04pickle"):
        recording.inner.delete(device)
        recording.inner.create(device, data, 1000)
        caplog.clear()
        assert browser.sees() == "None stale"
        assert len(warnings_in(caplog)) <= 1


def test_a_store_that_lists_nothing_remembers_devices_too(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    class Unindexed:
        """A store with the six methods alone."""

        def __init__(self) -> None:
            store = MemoryStore()
            self.load, self.touch, self.delete, self.close = store.load, store.touch, store.delete, store.close
            self._store = store

        def create(self, key: str, data: bytes, ttl: int) -> bool:
            return self._store.create(key, data, ttl)

        def update(self, key: str, data: bytes, ttl: int, version: Any) -> bool:
            return self._store.update(key, data, ttl, version)

    site = Site(store=Unindexed())
    browser = site.browser()
    browser.get("/in-remember")
    thief = browser.copy().restart()
    assert thief.sees() == "42 stale"
    clock.advance(11)
    logged_in = browser.copy()
    assert browser.restart().sees() == "None stale"
    assert len(warnings_in(caplog)) == 1
    assert (thief.sees(), logged_in.sees()) == ("None stale", "None stale")
