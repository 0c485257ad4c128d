"""Ending a session ends the remember cookie of its device: from another request, from another process, for good."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from session_mw import MemoryStore, SessionManager, StoreError
from support.clock import Clock
from support.logins import ENDING, PLACES, Browser, Site, site_on
from support.stores import Recording

DAYS = 86400


@pytest.fixture(params=ENDING)
def place(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def site(place: str) -> Site:
    return Site(**PLACES[place])


@pytest.fixture
def recording() -> Recording:
    return Recording(MemoryStore())


def remembered(site: Site) -> Browser:
    browser = site.browser()
    assert browser.sees("/in-remember") == "42 fresh"
    return browser


def is_ended(browser: Browser) -> bool:
    """Whether neither the session nor the remember cookie brings the user back."""
    closed = browser.copy().restart()
    return [browser.sees(), closed.sees(), browser.restart().sees()] == ["None stale"] * 3


def lives(browser: Browser) -> bool:
    """Whether both do."""
    closed = browser.copy().restart()
    return [browser.sees()[:2], closed.sees()] == ["42", "42 stale"]


# One session


def test_ending_a_session_ends_the_remember_cookie_of_that_device_alone(site: Site) -> None:
    here, there = remembered(site), remembered(site)
    site.sessions.end(site.session_id(there))
    assert is_ended(there)
    assert lives(here)


@pytest.mark.parametrize("between", ["/regenerate", "/confirm", "/write", "/in"])
def test_so_does_ending_the_one_that_the_cookie_has_brought_back_and_that_changed_since(
    site: Site, between: str
) -> None:
    browser = remembered(site)
    browser.restart().get()
    browser.get(between)
    site.sessions.end(site.session_id(browser))
    assert is_ended(browser)


def test_so_does_ending_the_one_that_the_device_had_before_and_all_of_the_device_end(site: Site) -> None:
    browser = remembered(site)
    before = browser.copy()
    browser.restart().get()
    browser.get("/confirm")
    site.sessions.end(site.session_id(before))
    assert is_ended(browser)
    assert is_ended(before)


def test_an_id_that_was_noted_before_it_changed_is_good_enough_with_revocations(clock: Clock) -> None:
    site = Site(**PLACES["revocations"])
    browser = remembered(site)
    noted = site.session_id(browser)
    for seconds in (1, 3600):
        clock.advance(seconds)
        browser.get("/confirm")
    clock.advance(DAYS)
    site.sessions.end(noted)
    assert is_ended(browser)


def test_a_session_that_is_not_remembered_ends_alone(site: Site) -> None:
    device = remembered(site)
    other = site.browser()
    other.get("/in")
    site.sessions.end(site.session_id(other))
    assert other.sees() == "None stale"
    assert lives(device)


def test_a_log_out_ends_every_copy_of_the_devices_sessions_and_of_its_cookie(site: Site) -> None:
    browser = remembered(site)
    first = browser.copy()
    browser.restart().get()
    second = browser.copy()
    browser.get("/out")
    assert browser.jar == {}
    assert is_ended(first)
    assert is_ended(second)


def test_a_log_out_after_a_log_in_in_the_same_request_ends_the_device_that_the_session_had(site: Site) -> None:
    def log_in_and_out(login: Any, environ: Any) -> None:
        login.log_in("42", remember=True)
        login.log_out()

    site.pages["/in-out"] = log_in_and_out
    browser = remembered(site)
    copy = browser.copy()
    # Its cookie does not come, as to another path.
    del browser.jar["remember"]
    assert browser.sees("/in-out") == "None stale"
    assert is_ended(copy)


@pytest.mark.parametrize("end", ["/clear", "/flask-like"])
def test_an_application_that_ends_the_session_by_itself_ends_the_device(site: Site, end: str) -> None:
    def log_out_as_flask_login(login: Any, environ: Any) -> None:
        for key in ("_user_id", "_fresh", "_id"):
            del environ["session"][key]

    site.pages["/flask-like"] = log_out_as_flask_login
    browser = remembered(site)
    copy = browser.copy()
    browser.get(end)
    assert is_ended(copy)
    assert is_ended(browser)


@pytest.mark.parametrize("text", ["", "x", "A" * 22, "A" * 22 + "." + "A" * 22, "A" * 22 + ".", "." + "A" * 22, "☃"])
def test_what_is_no_id_ends_nothing(site: Site, text: str) -> None:
    browser = remembered(site)
    site.sessions.end(text)
    assert lives(browser)


@pytest.mark.parametrize("place", ENDING)
def test_a_session_that_expired_by_itself_leaves_the_remember_cookie(place: str, clock: Clock) -> None:
    site = site_on(place, MemoryStore(), lifetime=1800)
    browser = remembered(site)
    clock.advance(5 * DAYS)
    assert browser.sees() == "42 stale"


def test_a_new_log_in_ends_the_devices_former_series_and_what_belonged_to_it(site: Site) -> None:
    browser = remembered(site)
    copy = browser.copy()
    closed = browser.copy().restart()
    closed.get()
    browser.get("/in-remember")
    assert is_ended(copy)
    assert closed.sees() == "None stale"
    assert lives(browser)


# All of a user


def end_others(site: Site, *before: str) -> None:
    """Have /end-others end all sessions of the user but the request's, after it has done what other paths do."""

    def end(login: Any, environ: Any) -> None:
        for path in before:
            site.pages[path](login, environ)
        site.sessions.end_all("42", keep=environ["session"])

    site.pages["/end-others"] = end


def test_end_all_ends_every_remember_cookie_of_the_user(site: Site) -> None:
    here, there, closed, other = (remembered(site) for _ in range(4))
    closed.restart()
    assert other.sees("/in-as-43-remember") == "43 fresh"
    site.sessions.end_all("42")
    assert [is_ended(browser) for browser in (here, there, closed)] == [True] * 3
    assert other.sees() == "43 fresh"
    assert other.restart().sees() == "43 stale"


@pytest.mark.parametrize("before", [(), ("/confirm",), ("/in",), ("/in-remember",), ("/regenerate",)])
def test_the_session_that_is_kept_keeps_its_device(site: Site, before: tuple[str, ...]) -> None:
    end_others(site, *before)
    here, there, closed = (remembered(site) for _ in range(3))
    former = here.copy()
    former.restart().get()
    closed.restart()
    assert here.sees("/end-others") == "42 fresh"
    assert lives(here)
    assert is_ended(there)
    assert is_ended(closed)
    # The same device, and another session: that one was not kept.
    assert former.sees() != "42 fresh"


def test_who_logs_in_or_is_brought_back_in_this_very_request_keeps_the_device(site: Site) -> None:
    end_others(site, "/in-remember")
    fresh = site.browser()
    assert fresh.sees("/end-others") == "42 fresh"
    assert lives(fresh)
    site.pages["/look"] = lambda login, environ: login.user_id
    end_others(site, "/look")
    back = remembered(site).restart()
    back.get("/end-others")
    assert lives(back)
    assert is_ended(fresh)


def test_a_device_that_was_kept_once_ends_with_the_next_end_of_all(site: Site) -> None:
    end_others(site)
    browser = remembered(site)
    browser.get("/end-others")
    assert lives(browser)
    site.sessions.end_all("42")
    assert is_ended(browser)


def test_a_session_that_has_ended_keeps_no_device(site: Site) -> None:
    browser = remembered(site)
    session = site.sessions.open({"HTTP_COOKIE": browser.cookie})
    assert session.principal == "42"
    site.sessions.end_all("42")
    site.sessions.end_all("42", keep=session)
    assert is_ended(browser)


def test_whoever_logs_in_after_the_end_of_all_is_remembered_in_the_same_second_too(site: Site, clock: Clock) -> None:
    before = remembered(site)
    site.sessions.end_all("42")
    after = remembered(site)
    assert is_ended(before)
    assert lives(after)


def test_a_device_that_is_ended_while_its_cookie_is_used_gets_no_session(place: str, recording: Recording) -> None:
    site = site_on(place, recording)
    browser = remembered(site).restart()
    recording.once("update", lambda: site.sessions.end_all("42"))
    browser.get()
    assert is_ended(browser)


def test_max_sessions_ends_the_devices_of_the_sessions_that_it_ends(clock: Clock) -> None:
    site = Site(store="memory://", max_sessions=2)
    browsers = []
    for _ in range(3):
        clock.advance(60)
        browsers.append(remembered(site))
    assert is_ended(browsers[0])
    assert [browser.sees() for browser in browsers[1:]] == ["42 fresh"] * 2
    assert [browser.restart().sees() for browser in browsers[1:]] == ["42 stale"] * 2


# Everyone


def test_the_end_of_everyone_ends_every_remember_cookie_and_none_of_later(site: Site, clock: Clock) -> None:
    browser = remembered(site)
    clock.advance(1)
    site.sessions.end_everyone()
    assert is_ended(browser)
    clock.advance(1)
    assert lives(remembered(site))


# From other processes, and for good


def log_out_without_the_middleware(sessions: SessionManager, browser: Browser) -> None:
    session = sessions.open({"HTTP_COOKIE": browser.cookie})
    session.invalidate()
    sessions.commit(session)


def end(sessions: SessionManager, browser: Browser) -> None:
    session_id = sessions.open({"HTTP_COOKIE": browser.cookie}).id
    assert session_id is not None
    sessions.end(session_id)


ENDS: dict[str, Callable[[SessionManager, Browser], object]] = {
    "end": end,
    "end_all": lambda sessions, browser: sessions.end_all("42"),
    "end_everyone": lambda sessions, browser: sessions.end_everyone(),
    "invalidate": log_out_without_the_middleware,
}


@pytest.mark.parametrize("end", ENDS)
def test_another_process_knows_it_at_once_when_the_cookie_comes(place: str, clock: Clock, end: str) -> None:
    store = MemoryStore()
    here, there = site_on(place, store), site_on(place, store)
    browser = remembered(there)
    # It has asked what has ended, and need not ask again for a second.
    assert browser.sees() == "42 fresh"
    clock.advance(0.1)
    ENDS[end](here.sessions, browser)
    assert browser.restart().sees() == "None stale"


@pytest.mark.parametrize("end", ENDS)
def test_what_has_ended_stays_so_when_no_session_can_be_that_old_any_more(place: str, clock: Clock, end: str) -> None:
    store = MemoryStore()
    site = site_on(place, store, lifetime=600, absolute_lifetime=3600)
    browser = remembered(site)
    clock.advance(1)
    ENDS[end](site.sessions, browser)
    # So many that what is of no use any more is forgotten.
    for _ in range(20):
        clock.advance(DAYS)
        for _ in range(10):
            other = site.browser()
            other.get("/in-as-43")
            other.get("/out")
    started = site_on(place, store, lifetime=600, absolute_lifetime=3600)
    browser.app = started.app
    assert is_ended(browser)


SCRIPT = """
import sys
from session_mw import SessionManager
setting, url, end, argument = sys.argv[1:]
sessions = SessionManager("a secret key of another process's choice", **{setting: url})
getattr(sessions, end)(*[argument] * bool(argument))
sessions.close()
"""


@pytest.mark.heavy
def test_a_real_other_process_ends_a_device(place: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/sessions.db"
    site = site_on(place, url)
    for end in ("end", "end_all", "end_everyone"):
        browser, other = remembered(site), remembered(site)
        argument = {"end": site.session_id(browser), "end_all": "42", "end_everyone": ""}[end]
        setting = "store" if place == "store" else "revocations"
        subprocess.run([sys.executable, "-c", SCRIPT, setting, url, end, argument], check=True, timeout=60)
        assert browser.copy().restart().sees() == "None stale"
        assert other.copy().restart().sees() == ("42 stale" if end == "end" else "None stale")
    site.sessions.close()


# The store


def test_a_remembered_session_is_read_without_a_trip_to_the_store_with_revocations(
    recording: Recording, clock: Clock
) -> None:
    site = site_on("revocations", recording)
    browser = remembered(site)
    browser.get()
    recording.calls.clear()
    for _ in range(10):
        assert browser.sees() == "42 fresh"
    assert recording.calls == []
    clock.advance(1)
    browser.get()
    assert recording.calls == ["load"]


@pytest.mark.parametrize(
    ("place", "method"),
    [("store", "load"), ("store", "delete"), *(("revocations", method) for method in ("load", "update", "delete"))],
)
def test_an_end_that_cannot_be_written_raises_and_leaves_the_session(
    place: str, recording: Recording, clock: Clock, method: str
) -> None:
    site = site_on(place, recording)
    browser = remembered(site)
    session_id = site.session_id(browser)
    recording.fail(method)
    with pytest.raises(StoreError):
        site.sessions.end(session_id)
    with pytest.raises(StoreError):
        browser.get("/out")
    recording.before.clear()
    assert browser.sees() == "42 fresh"
    browser.get("/out")
    assert browser.jar == {}


def test_a_device_is_no_session_in_a_list_of_sessions() -> None:
    site = Site(store="memory://")
    remembered(site)
    assert len(site.sessions.sessions_of("42")) == 1
    assert site.sessions.end_all("42") == 1
