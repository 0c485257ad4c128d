"""Eight tabs that restart together, in each store; and log-ins, rotations and endings at once."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from session_mw import SessionManager, SessionMiddleware
from session_mw.login import LoginMiddleware
from support.clock import Clock
from support.logins import PLACES, Site, site_on
from support.stores import ALL, url_of
from support.wsgi import KEY

pytestmark = pytest.mark.heavy


def at_once(*jobs: Callable[[], Any]) -> list[Any]:
    """What the jobs return, each in a thread of its own, begun together."""
    barrier = Barrier(len(jobs))

    def begin(job: Callable[[], Any]) -> Any:
        barrier.wait()
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(begin, jobs))


ROUNDS = 5
TABS = 8


KINDS = [*ALL, "revocations"]
"""Stores of sessions; and SQLite as that of sessions in cookies."""


def sites(kind: str, request: pytest.FixtureRequest, path: Path) -> list[Site]:
    """Two processes' worth of middlewares, which share a store and nothing else; memory is of one process."""
    place = "revocations" if kind == "revocations" else "store"
    url = url_of("sqlite" if kind == "revocations" else kind, request, path)
    first = site_on(place, url)
    return [first, first if kind == "memory" else site_on(place, url, first.users)]


@pytest.mark.parametrize("kind", KINDS)
def test_eight_tabs_that_restart_together_all_come_back_and_the_last_cookie_is_good(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = sites(kind, request, tmp_path)
    browser = first.browser()
    browser.get("/in-remember")
    for round_ in range(ROUNDS):
        browser.restart()
        tabs = [browser.copy() for _ in range(TABS)]
        for number, tab in enumerate(tabs):
            tab.app = (first, second)[number % 2].app
        seen = at_once(*(tab.sees for tab in tabs))
        assert seen == ["42 stale"] * TABS
        assert [tab.sees() for tab in tabs] == ["42 stale"] * TABS
        # The browser has the cookies of one of the answers, and comes back after the grace.
        browser.jar = dict(tabs[round_ % TABS].jar)
        clock.advance(60)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    thief = browser.copy().restart()
    assert thief.sees() == "42 stale"
    clock.advance(60)
    assert browser.restart().sees() == "None stale"
    assert thief.sees() == "None stale"
    for site in {first, second}:
        site.sessions.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_log_out_everywhere_leaves_none_of_eight_tabs_logged_in(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, clock: Clock
) -> None:
    if kind == "memcached":
        pytest.skip("memcached lists no sessions of a user")
    first, second = sites(kind, request, tmp_path)
    for _ in range(ROUNDS):
        here, browser = first.browser(), second.browser()
        here.get("/in")
        browser.get("/in-remember")
        browser.restart()
        tabs = [browser.copy() for _ in range(TABS)]
        at_once(lambda here=here: here.get("/out-everywhere"), *(tab.get for tab in tabs))
        # Another process than that of the log-out knows of it then.
        clock.advance(1.5)
        assert here.sees() == "None stale"
        assert [tab.sees() for tab in tabs] == ["None stale"] * TABS
        assert [tab.restart().sees() for tab in tabs] == ["None stale"] * TABS
        if kind != "revocations":
            assert first.sessions.sessions_of("42") == []
        clock.advance(60)
    for site in {first, second}:
        site.sessions.close()


@pytest.mark.parametrize("kind", KINDS)
def test_eight_log_ins_at_once_from_one_anonymous_session_all_count(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    first, second = sites(kind, request, tmp_path)
    browser = first.browser()
    browser.get("/write")
    tabs = [browser.copy() for _ in range(TABS)]
    at_once(*(lambda tab=tab: tab.get("/in-remember") for tab in tabs))
    assert [tab.sees() for tab in tabs] == ["42 fresh"] * TABS
    assert [tab.restart().sees() for tab in tabs] == ["42 stale"] * TABS
    for site in {first, second}:
        site.sessions.close()


@pytest.mark.parametrize("place", PLACES)
def test_threads_of_one_request_see_one_log_in_when_the_cookie_brings_the_user_back(place: str) -> None:
    site = Site(**PLACES[place])
    site.pages["/threads"] = lambda login, environ: at_once(*[lambda: login.user_id] * 4)
    interval = sys.getswitchinterval()
    # So often that threads meet in the middle of it.
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(100):
            browser = site.browser()
            browser.get("/in-remember")
            browser.restart()
            site.users.asked.clear()
            assert browser.sees("/threads") == str(["42"] * 4)
            assert site.users.asked == ["42"]
            assert browser.sees() == "42 stale"
    finally:
        sys.setswitchinterval(interval)


def test_threads_on_one_middleware_never_see_each_others_log_in() -> None:
    users = {str(number): object() for number in range(32)}
    site = Site(pages={f"/in-{id_}": (lambda login, environ, id_=id_: login.log_in(id_)) for id_ in users})
    app: Any = SessionMiddleware(LoginMiddleware(site.page, load_user=users.get), sessions=SessionManager(KEY))

    def visitor(id_: str) -> list[str]:
        browser = site.browser()
        browser.app = app
        browser.get(f"/in-{id_}")
        return [browser.sees() for _ in range(20)]

    for id_, seen in zip(users, at_once(*(lambda id_=id_: visitor(id_) for id_ in users)), strict=True):
        assert seen == [f"{id_} fresh"] * 20
