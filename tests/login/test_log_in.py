"""log_in, log_out, confirm, and what stands in the session."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from session_mw import (
    ConfigurationError,
    MemoryStore,
    MissingSession,
    SessionError,
    SessionMiddleware,
    SessionUnavailable,
    StoreError,
)
from session_mw.csrf import csrf_token
from session_mw.login import LoginMiddleware, get_login
from support.clock import Clock
from support.logins import ENDING, PLACES, Browser, Site, User, Users, site_on
from support.stores import Recording
from support.wsgi import PLAIN, environ_of, page, visit


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def site(place: str) -> Site:
    return Site(**PLACES[place])


def session_of(site: Site, browser: Browser) -> Any:
    return site.sessions.open({"HTTP_COOKIE": browser.cookie})


def test_who_logs_in_is_logged_in_afresh_in_this_request_and_in_the_next(site: Site) -> None:
    browser = site.browser()
    assert browser.sees() == "None stale"
    assert browser.sees("/in") == "42 fresh"
    assert browser.sees() == "42 fresh"


def test_the_user_is_what_load_user_gives(site: Site) -> None:
    site.pages["/user"] = lambda login, environ: login.user
    browser = site.browser()
    assert browser.sees("/user") == "None stale"
    browser.get("/in")
    assert browser.sees("/user") == str(User("42"))


def test_the_user_is_loaded_at_most_once_a_request_and_only_when_asked_for(site: Site) -> None:
    def look(login: Any, environ: Any) -> str:
        return f"{login.user} {login.user} {login.user_id} {login.is_fresh}"

    site.pages["/look"] = look
    browser = site.browser()
    browser.get("/in")
    site.users.asked.clear()
    browser.get("/look")
    assert site.users.asked == ["42"]
    browser.get("/silent")
    assert site.users.asked == ["42"]


def test_a_page_that_asks_nothing_does_not_touch_the_session(site: Site) -> None:
    browser = site.browser()
    browser.get("/in-remember")
    answer = browser.get("/silent")
    assert (answer.vary, answer.cookies) == ([], [])


def test_a_page_that_asks_who_is_logged_in_varies_and_sets_no_cookie(site: Site) -> None:
    browser = site.browser()
    answer = browser.get()
    assert (answer.vary, answer.cookies) == (["Cookie"], [])
    browser.get("/in")
    answer = browser.get()
    assert (answer.vary, answer.cookies) == (["Cookie"], [])


def test_a_user_who_cannot_be_loaded_stays_logged_in(site: Site) -> None:
    browser = site.browser()
    browser.get("/in-remember")
    site.users.failing = RuntimeError("the database is down")
    for path in ("/", "/in-as-43", "/out"):
        with pytest.raises(RuntimeError):
            browser.get(path)
    site.users.failing = None
    assert browser.sees() == "42 fresh"
    assert browser.restart().sees() == "42 stale"


def test_a_user_who_is_no_longer_known_is_logged_out(site: Site) -> None:
    browser = site.browser()
    browser.get("/in-remember")
    del site.users["42"]
    assert browser.sees() == "None stale"
    assert browser.jar == {}


def test_log_in_gives_the_session_a_new_id_and_a_principal() -> None:
    site = Site(store="memory://")
    browser = site.browser()
    browser.get("/write")
    planted = browser.copy()
    before = session_of(site, browser).id
    browser.get("/in")
    session = session_of(site, browser)
    assert session.id != before
    assert session.principal == "42"
    assert session["cart"] == "apple"
    assert planted.sees() == "None stale"
    assert [info.id for info in site.sessions.sessions_of("42")] == [session.id]


def test_log_in_drops_the_csrf_secret_of_the_anonymous_session(site: Site) -> None:
    site.pages["/token"] = lambda login, environ: csrf_token(environ["session"])
    browser = site.browser()
    browser.get("/token")
    assert "_csrf_token" in session_of(site, browser)
    browser.get("/in")
    assert "_csrf_token" not in session_of(site, browser)


def test_log_in_as_another_user_starts_from_an_empty_session(site: Site) -> None:
    browser = site.browser()
    browser.get("/in")
    browser.get("/write")
    copy = browser.copy()
    assert browser.sees("/in-as-43") == "43 fresh"
    session = session_of(site, browser)
    assert "cart" not in session
    assert session.principal == "43"
    if site.can_end:
        assert copy.sees() == "None stale"


def test_log_in_again_as_the_same_user_keeps_the_data(site: Site) -> None:
    browser = site.browser()
    browser.get("/in")
    browser.get("/write")
    browser.get("/in")
    assert session_of(site, browser)["cart"] == "apple"


@pytest.mark.parametrize("before", ["/", "/in", "/in-remember", "/in-as-43-remember"])
@pytest.mark.parametrize("ends", ["/clear", "/out", "/in-as-43", "/in-remember", "/regenerate", "/confirm"])
@pytest.mark.parametrize("again", ["/in", "/in-remember"])
def test_a_log_in_counts_whatever_was_done_before_in_the_same_request(
    site: Site, before: str, ends: str, again: str
) -> None:
    def end_and_log_in(login: Any, environ: Any) -> None:
        if ends != "/confirm" or login.user_id is not None:
            site.pages[ends](login, environ)
        site.pages[again](login, environ)

    site.pages["/again"] = end_and_log_in
    browser = site.browser()
    browser.get(before)
    copy = browser.copy()
    assert browser.sees("/again") == "42 fresh"
    assert browser.sees() == "42 fresh"
    if again == "/in-remember":
        assert browser.restart().sees() == "42 stale"
    elif ends in ("/clear", "/out"):
        # The device ended with its session.
        assert "remember" not in browser.jar
        if site.can_end:
            assert copy.restart().sees() == "None stale"


@pytest.mark.parametrize("then", ["/in-as-43", "/in-as-43-remember", "/in", "/in-remember", "/confirm"])
def test_a_log_in_counts_also_where_the_remember_cookie_had_brought_somebody_back(site: Site, then: str) -> None:
    def look_and_log_in(login: Any, environ: Any) -> None:
        assert login.user_id == "42"
        site.pages[then](login, environ)

    site.pages["/look"] = look_and_log_in
    browser = site.browser()
    browser.get("/in-remember")
    copy = browser.restart().copy()
    user_id = "43" if "43" in then else "42"
    assert browser.sees("/look") == f"{user_id} fresh"
    assert browser.sees() == f"{user_id} fresh"
    comes_back = then != "/in-as-43"
    assert browser.restart().sees() == (f"{user_id} stale" if comes_back else "None stale")
    if user_id == "43" and site.can_end:
        assert copy.sees() == "None stale"


def test_log_in_begins_the_sessions_life_anew(place: str, clock: Clock) -> None:
    where = PLACES[place]
    site = Site(**{**where, "settings": {**where.get("settings", {}), "absolute_lifetime": 3600}})
    browser = site.browser()
    browser.get("/write")
    clock.advance(3000)
    browser.get("/in")
    assert session_of(site, browser).created == int(clock.now)
    clock.advance(3000)
    assert browser.sees() == "42 fresh"


def test_log_in_does_not_depend_on_the_old_record() -> None:
    store = Recording(MemoryStore())
    site = Site(store=store)
    browser = site.browser()
    browser.get("/write")
    anonymous = session_of(site, browser).id
    # A parallel request ends the anonymous session after this one has read it.
    store.once("update", lambda: store.inner.delete(anonymous))
    browser.get("/in")
    assert browser.sees() == "42 fresh"


def test_two_log_ins_at_once_from_one_anonymous_session_both_count() -> None:
    store = Recording(MemoryStore())
    site = Site(store=store)
    browser = site.browser()
    browser.get("/write")
    double = browser.copy()
    store.once("update", lambda: double.get("/in"))
    browser.get("/in")
    assert (browser.sees(), double.sees()) == ("42 fresh", "42 fresh")


@pytest.mark.parametrize("user_id", [42, None, b"42", "", "\ud800", ["42"]])
def test_an_id_that_is_no_non_empty_str_is_an_error_that_says_so(site: Site, user_id: Any) -> None:
    expected = ValueError if isinstance(user_id, str) else TypeError
    raised: list[Exception] = []

    def log_in(login: Any, environ: Any) -> str:
        with pytest.raises(expected, match="non-empty str") as info:
            login.log_in(user_id)
        raised.append(info.value)
        return "refused"

    site.pages["/bad"] = log_in
    browser = site.browser()
    assert browser.sees("/bad") == "refused"
    assert len(raised) == 1
    assert browser.sees() == "None stale"


@pytest.mark.parametrize("value", [42, "", None, ["42"], {"id": "42"}, True])
def test_what_stands_in_the_session_is_checked_for_its_type(site: Site, value: Any) -> None:
    site.pages["/plant"] = lambda login, environ: environ["session"].update(_user_id=value)
    browser = site.browser()
    assert browser.sees("/plant") == "None stale"
    assert browser.sees() == "None stale"


@pytest.mark.parametrize(
    "facts",
    [
        {"_login_at": "soon", "_login_version": 7, "_login_agent": [], "_login_until": "never"},
        {"_login_at": True, "_login_until": 2.5, "_login_version": None},
        {"_login_version": "☃"},
    ],
)
def test_facts_of_other_types_raise_nothing(site: Site, facts: dict[str, Any]) -> None:
    site.users["42"].session_version = "1"
    site.pages["/plant"] = lambda login, environ: environ["session"].update(facts)
    site.pages["/confirmed"] = lambda login, environ: (login.confirmed, login.user_id)
    browser = site.browser()
    browser.get("/in")
    browser.get("/plant")
    assert browser.get("/confirmed").status == "200 OK"


def test_log_out_ends_the_session_and_both_cookies(site: Site) -> None:
    browser = site.browser()
    browser.get("/in-remember")
    copy = browser.copy()
    assert browser.sees("/out") == "None stale"
    assert browser.jar == {}
    assert browser.sees() == "None stale"
    if site.can_end:
        assert copy.sees() == "None stale"
        assert copy.restart().sees() == "None stale"


def test_log_out_and_log_out_everywhere_by_somebody_anonymous_do_nothing(site: Site) -> None:
    browser = site.browser()
    browser.get("/write")
    for path in ("/out", "/out-everywhere"):
        answer = browser.get(path)
        assert (answer.status, answer.cookies) == ("200 OK", [])
    assert session_of(site, browser)["cart"] == "apple"


def test_confirm_makes_a_log_in_fresh_and_renews_the_id(clock: Clock) -> None:
    site = Site(store="memory://")
    browser = site.browser()
    browser.get("/in-remember")
    browser.restart()
    assert browser.sees() == "42 stale"
    before = session_of(site, browser).id
    assert browser.sees("/confirm") == "42 fresh"
    assert browser.sees() == "42 fresh"
    assert session_of(site, browser).id != before


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("method", ["log_in", "confirm"])
def test_nobody_is_logged_in_or_confirmed_under_an_id_that_cannot_change_any_more(site: Site, method: str) -> None:
    def streamed(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        login = get_login(environ)
        start_response("200 OK", [PLAIN])
        yield b"begun"
        with pytest.raises(SessionError, match="no cookie can carry it"):
            login.log_in("42") if method == "log_in" else login.confirm()
        yield b", ended"

    planted = site.browser()
    planted.get("/write" if method == "log_in" else "/in")
    victim = planted.copy()
    victim.app = SessionMiddleware(LoginMiddleware(streamed, load_user=site.users.load), sessions=site.sessions)
    assert victim.sees() == "begun, ended"
    assert planted.sees() == ("None stale" if method == "log_in" else "42 fresh")


@pytest.mark.parametrize("place", PLACES)
def test_nobody_is_logged_in_over_a_socket_whose_session_keeps_its_id(site: Site) -> None:
    def socket(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        login = get_login(environ)
        seen.append(login.user_id)
        with pytest.raises(SessionError, match="WebSocket"):
            login.log_in("42")
        return []

    seen: list[str | None] = []
    planted, device = site.browser(), site.browser()
    planted.get("/write")
    device.get("/in-remember")
    device.jar["session"] = planted.jar["session"]
    app = SessionMiddleware(LoginMiddleware(socket, load_user=site.users.load), sessions=site.sessions)
    app(environ_of("/", device.cookie, HTTP_SEC_WEBSOCKET_KEY="dGhlIHNhbXBsZSBub25jZQ=="), lambda *_: print)
    assert planted.sees() == "None stale"
    # Where the session is in its cookie nothing is saved over a socket, and it is known who came.
    assert seen == [None if site.sessions.store is not None else "42"]
    assert device.sees() == "42 stale"


def test_what_raises_in_log_in_changes_nothing(site: Site) -> None:
    def try_as_43(login: Any, environ: Any) -> str:
        assert login.user_id == "42"
        with pytest.raises(TypeError, match="session_version"):
            login.log_in("43", remember=True)
        return "failed"

    site.pages["/try"] = try_as_43
    site.users["43"].session_version = 7  # type: ignore[assignment]
    browser = site.browser()
    browser.get("/in-remember")
    assert browser.sees("/try") == "failed"
    assert browser.sees() == "42 fresh"
    assert browser.restart().sees() == "42 stale"


def test_confirm_by_somebody_anonymous_is_an_error(site: Site) -> None:
    with pytest.raises(SessionError, match="nobody is logged in"):
        site.browser().get("/confirm")


@pytest.mark.parametrize("place", ENDING)
def test_a_log_out_elsewhere_is_not_undone_by_a_confirm_in_flight(place: str) -> None:
    store = Recording(MemoryStore())
    site = site_on(place, store)
    browser = site.browser()
    browser.get("/in")
    store.once("update", lambda: site.sessions.end_all("42"))
    assert browser.get("/confirm").cookies == []
    assert browser.sees() == "None stale"


@pytest.mark.parametrize("place", ENDING)
def test_log_out_everywhere_ends_every_session_and_every_remembered_device(site: Site) -> None:
    here, there, closed, other = (site.browser() for _ in range(4))
    here.get("/in")
    there.get("/in-remember")
    closed.get("/in-remember")
    closed.restart()
    other.get("/in-as-43-remember")
    assert here.sees("/out-everywhere") == "None stale"
    for browser in (here, there, closed):
        assert browser.sees() == "None stale"
    assert there.restart().sees() == "None stale"
    assert other.sees() == "43 fresh"
    assert other.restart().sees() == "43 stale"


@pytest.mark.parametrize("place", ENDING)
@pytest.mark.parametrize("during", ["/write", "/confirm", "/regenerate", "/"])
def test_log_out_everywhere_reaches_requests_in_flight(site: Site, during: str) -> None:
    def slow(login: Any, environ: Any) -> None:
        assert login.user_id == "42"
        here.get("/out-everywhere")
        site.pages[during](login, environ)

    site.pages["/slow"] = slow
    here, there = site.browser(), site.browser()
    here.get("/in")
    there.get("/in-remember")
    copy = there.copy()
    there.get("/slow")
    for browser in (there, there.restart(), copy, copy.restart()):
        assert browser.sees() == "None stale"


def test_log_out_everywhere_reaches_requests_that_are_being_saved() -> None:
    store = Recording(MemoryStore())
    site = Site(store=store)
    here, there = site.browser(), site.browser()
    here.get("/in")
    there.get("/in")
    store.once("update", lambda: here.get("/out-everywhere"))
    there.get("/write")
    assert there.sees() == "None stale"
    assert site.sessions.sessions_of("42") == []


def test_log_out_everywhere_without_a_place_that_knows_all_sessions_is_an_error_that_says_so() -> None:
    site = Site()
    browser = site.browser()
    browser.get("/in")
    with pytest.raises(ConfigurationError, match=r"cannot be listed.*SQLite.*revocations="):
        browser.get("/out-everywhere")
    assert browser.sees() == "42 fresh"


@pytest.mark.parametrize("path", ["/in", "/in-remember"])
def test_a_session_made_under_another_session_version_ends(site: Site, path: str) -> None:
    site.users["42"].session_version = "hash of the old password"
    browser = site.browser()
    browser.get(path)
    assert browser.sees() == "42 fresh"
    site.users["42"].session_version = "hash of the new password"
    assert browser.sees() == "None stale"
    assert browser.jar == {}


def test_a_remember_cookie_made_under_another_session_version_ends(site: Site) -> None:
    site.users["42"].session_version = "1"
    browser = site.browser()
    browser.get("/in-remember")
    browser.restart()
    site.users["42"].session_version = "2"
    assert browser.sees() == "None stale"
    assert browser.jar == {}


def test_who_changes_the_password_and_logs_in_again_stays(site: Site) -> None:
    def change(login: Any, environ: Any) -> None:
        login.user.session_version = "2"
        login.log_in("42")

    site.pages["/password"] = change
    site.users["42"].session_version = "1"
    here, there = site.browser(), site.browser()
    here.get("/in")
    there.get("/in")
    here.get("/password")
    assert (here.sees(), there.sees()) == ("42 fresh", "None stale")


def test_a_session_version_is_kept_nowhere_readable(site: Site) -> None:
    site.users["42"].session_version = "$argon2id$secret"
    browser = site.browser()
    browser.get("/in-remember")
    assert "argon2id" not in str(dict(session_of(site, browser)))


def test_a_session_version_that_is_no_str_is_an_error_that_says_so(site: Site) -> None:
    site.users["42"].session_version = 7  # type: ignore[assignment]
    with pytest.raises(TypeError, match="session_version is a str"):
        site.browser().get("/in")


def test_a_session_version_survives_a_rotation_of_the_secret_key() -> None:
    from session_mw import SessionManager

    users = Users("42")
    users["42"].session_version = "1"
    old = Site(store="memory://", users=users)
    browser = old.browser()
    browser.get("/in")
    new = Site(store=old.sessions.store, users=users)
    settings = {"store": old.sessions.store, "secret_key_fallbacks": [old.sessions.settings.secret_key]}
    sessions = SessionManager("another secret key, long enough", **settings)
    app = SessionMiddleware(LoginMiddleware(new.page, load_user=users.load), sessions=sessions)
    browser.app = app
    assert browser.sees() == "42 fresh"
    # It is kept under the current key now.
    browser.app = SessionMiddleware(
        LoginMiddleware(new.page, load_user=users.load), "another secret key, long enough", store=old.sessions.store
    )
    assert browser.sees() == "42 fresh"


@pytest.mark.parametrize("protection", ["basic", "strong"])
def test_protection_goes_by_the_user_agent_alone(site: Site, protection: Any) -> None:
    settings = {"revocations": site.sessions.revocations}
    guarded = Site(store=site.sessions.store, settings=settings, protection=protection)
    browser = guarded.browser(HTTP_USER_AGENT="Firefox", REMOTE_ADDR="192.0.2.1")
    browser.get("/in-remember")
    assert browser.sees(REMOTE_ADDR="198.51.100.7") == "42 fresh"
    copy = browser.copy()
    shown = copy.sees(HTTP_USER_AGENT="curl")
    assert shown == ("42 stale" if protection == "basic" else "None stale")
    if protection == "strong":
        assert copy.jar == {}


def test_without_protection_another_user_agent_changes_nothing(site: Site) -> None:
    browser = site.browser(HTTP_USER_AGENT="Firefox")
    browser.get("/in")
    assert browser.sees(HTTP_USER_AGENT="curl") == "42 fresh"


@pytest.mark.parametrize("user_id", ["42", "Zoë"])
def test_remote_user_tells_the_users_id_and_asks_for_the_user_once(user_id: str) -> None:
    site = Site(users=Users(user_id), remote_user=True)
    site.pages["/me"] = lambda login, environ: login.log_in(user_id)
    site.pages["/remote"] = lambda login, environ: environ.get("REMOTE_USER", "nobody").encode("latin-1").decode()
    browser = site.browser()
    assert browser.sees("/remote", REMOTE_USER="root") == "nobody"
    browser.get("/me")
    site.users.asked.clear()
    assert browser.sees("/remote", REMOTE_USER="root") == user_id
    assert site.users.asked == [user_id]


def test_without_remote_user_the_servers_own_stays(site: Site) -> None:
    site.pages["/remote"] = lambda login, environ: environ["REMOTE_USER"]
    assert site.browser().sees("/remote", REMOTE_USER="root") == "root"


def test_max_sessions_ends_the_session_used_least_recently(clock: Clock) -> None:
    site = Site(store="memory://", max_sessions=2)
    first, second, third = (site.browser() for _ in range(3))
    for browser in (first, second):
        browser.get("/in-remember")
        clock.advance(86400 * 5)
    first.get()
    clock.advance(10)
    third.get("/in")
    assert [browser.sees() for browser in (first, second, third)] == ["42 fresh", "None stale", "42 fresh"]
    assert second.restart().sees() == "None stale"
    assert len(site.sessions.sessions_of("42")) == 2


def test_max_sessions_ends_no_device_of_which_a_newer_session_goes_on(clock: Clock) -> None:
    site = Site(store="memory://", max_sessions=3)
    browser, other = site.browser(), site.browser()
    browser.get("/in-remember")
    for _ in range(6):
        clock.advance(3600)
        assert browser.restart().sees() == "42 stale"
        assert len(site.sessions.sessions_of("42")) <= 3
    clock.advance(3600)
    other.get("/in")
    assert browser.sees() == "42 stale"
    assert browser.restart().sees() == "42 stale"
    assert other.sees() == "42 fresh"


def test_max_sessions_without_an_index_is_an_error_that_says_so() -> None:
    with pytest.raises(ConfigurationError, match="max_sessions needs a store"):
        Site(max_sessions=2).browser().get()


def test_a_log_in_without_a_key_and_a_store_is_the_error_that_says_what_to_set() -> None:
    app = SessionMiddleware(LoginMiddleware(page(lambda session: None), load_user=Users("42").load))

    def log_in(environ: Any, start_response: Any) -> Any:
        with pytest.raises(SessionUnavailable):
            get_login(environ).log_in("42", remember=True)
        assert get_login(environ).user_id is None
        start_response("200 OK", [])
        return [b""]

    app = SessionMiddleware(LoginMiddleware(log_in, load_user=Users("42").load))
    assert visit(app).status == "200 OK"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"load_user": None}, "load_user"),
        ({"login_url": ""}, "login_url"),
        ({"login_url": "/log in"}, "login_url"),
        ({"login_url": "/login\r\nX: 1"}, "login_url"),
        ({"remember_lifetime": 0}, "remember_lifetime"),
        ({"remember_lifetime": "30 days"}, "remember_lifetime"),
        ({"remember_lifetime": True}, "remember_lifetime"),
        ({"remember_lifetime": 86400 * 401}, "400 days"),
        ({"remember_cookie_name": "a b"}, "remember_cookie_name"),
        ({"max_sessions": 0}, "max_sessions"),
        ({"max_sessions": True}, "max_sessions"),
        ({"protection": "strict"}, "protection"),
        ({"remote_user": 1}, "remote_user"),
        ({"environ_key": ""}, "environ_key"),
    ],
)
def test_a_wrong_setting_is_an_error_when_the_middleware_is_built(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        LoginMiddleware(page(), **{"load_user": Users("42").load, **options})


def test_a_remember_cookie_with_the_session_cookies_name_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="choose another name"):
        Site(remember_cookie_name="session").browser().get()


def test_a_remember_cookie_whose_prefix_the_attributes_break_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="__Host-"):
        Site(remember_cookie_name="__Host-r", settings={"cookie_path": "/app"}).browser().get()


def test_without_the_middlewares_the_errors_say_what_to_wrap() -> None:
    with pytest.raises(MissingSession, match="SessionMiddleware"):
        LoginMiddleware(page(), load_user=Users("42").load)(environ_of(), lambda *_: print)
    with pytest.raises(MissingSession, match="LoginMiddleware"):
        get_login(environ_of())


def test_a_store_that_fails_is_a_store_error_and_nobody_is_taken_for_anonymous() -> None:
    store = Recording(MemoryStore())
    site = Site(store=store)
    browser = site.browser()
    browser.get("/in")
    store.fail("load")
    with pytest.raises(StoreError):
        browser.get()
    store.before.clear()
    assert browser.sees() == "42 fresh"


def test_an_application_that_empties_the_session_ends_the_remember_cookie_too(site: Site) -> None:
    browser = site.browser()
    browser.get("/in-remember")
    browser.get("/clear")
    assert browser.jar == {}


def test_logs_hold_no_cookie_and_no_name(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "session_mw")
    browser = site.browser()
    browser.get("/in-remember")
    value = browser.jar["remember"]
    browser.restart()
    browser.jar["remember"] = value[:-1] + ("A" if value[-1] != "A" else "B")
    assert browser.sees() == "None stale"
    assert caplog.records
    assert all(record.levelno <= logging.INFO for record in caplog.records)
    assert all(value[:20] not in record.getMessage() for record in caplog.records)
