"""Log-ins, restarts of browsers and ends of sessions in any order, on two servers, against a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from unittest import mock

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from session_mw import MemoryStore
from support.clock import Clock
from support.logins import ENDING, Browser, site_on
from support.tokens import NOW

pytestmark = pytest.mark.heavy

USERS = ("42", "43")
BROWSERS = 3
browsers = st.sampled_from(range(BROWSERS))
"""One of all, or of those with which the step does something."""
servers = st.sampled_from((0, 1))


@dataclass(eq=False)
class Device:
    """A remembered one, as the model knows it."""

    user: str
    is_alive: bool = True


@dataclass(eq=False)
class Visit:
    """A session, as the model knows it."""

    user: str
    device: Device | None
    is_fresh: bool
    is_alive: bool = True

    def counts(self) -> bool:
        return self.is_alive and (self.device is None or self.device.is_alive)


@dataclass(eq=False)
class Known:
    """A browser, and what the model expects of its cookies."""

    browser: Browser
    session: Visit | None = None
    cookie: Device | None = None

    def live(self) -> Visit | None:
        return self.session if self.session is not None and self.session.counts() else None

    def is_somebodys(self) -> bool:
        return self.live() is not None or (self.cookie is not None and self.cookie.is_alive)


class Logins(RuleBasedStateMachine):
    """Each step takes a minute: what has ended is known everywhere, and a used remember cookie is not good any more."""

    place = ""

    @initialize()
    def begin(self) -> None:
        self.clock = Clock(float(NOW))
        self.patch = mock.patch("time.time", side_effect=lambda: self.clock.now)
        self.patch.start()
        store = MemoryStore()
        first = site_on(self.place, store)
        self.sites = [first, site_on(self.place, store, first.users)]
        for site in self.sites:
            for user in USERS:
                site.pages[f"/in-{user}"] = lambda login, environ, user=user: login.log_in(user)
                site.pages[f"/in-{user}-remember"] = lambda login, environ, user=user: login.log_in(user, remember=True)
            site.pages["/end-others"] = self._end_others
        self.known = [Known(first.browser()) for _ in range(BROWSERS)]
        self.sessions: list[Visit] = []
        self.devices: list[Device] = []
        # What somebody had who copied both cookies before a step.
        self.copies: list[tuple[Browser, Visit | None, Device | None]] = []

    def teardown(self) -> None:
        for which in range(BROWSERS):
            self.look(which, 0)
        for copy, session, cookie in self.copies:
            if cookie is not None and cookie.is_alive:
                # To use it would end the device.
                del copy.jar["remember"]
            if session is None or not session.counts():
                assert copy.sees() == "None stale"
                assert copy.restart().sees() == "None stale"
        self.patch.stop()

    def _end_others(self, login: Any, environ: dict[str, Any]) -> None:
        if login.user_id is not None:
            self.sites[0].sessions.end_all(login.user_id, keep=environ["session"])

    @rule(which=browsers, server=servers)
    def look(self, which: int, server: int) -> None:
        known = self.known[which]
        self._comes_back(known)
        self._asks(known, server, "/")

    @rule(which=browsers, server=servers, user=st.sampled_from(USERS))
    def log_in_remembered(self, which: int, server: int, user: str) -> None:
        self._log_in(self.known[which], server, user, remember=True)

    @rule(which=browsers, server=servers, user=st.sampled_from(USERS))
    def log_in(self, which: int, server: int, user: str) -> None:
        self._log_in(self.known[which], server, user, remember=False)

    def _log_in(self, known: Known, server: int, user: str, *, remember: bool) -> None:
        self._copy(known)
        former, cookie = known.live(), known.cookie
        if former is not None:
            former.is_alive = False
        device = None
        if remember:
            self._end_device(cookie)
            self._end_device(former.device if former else None)
            device = known.cookie = Device(user)
            self.devices.append(device)
        else:
            if former is not None and former.user != user:
                self._end_device(former.device)
            if cookie is not None and cookie.is_alive and cookie.user != user:
                self._end_device(cookie)
            if cookie is not None and cookie.is_alive:
                device = cookie
        self._begin(known, Visit(user, device, True))
        self._asks(known, server, f"/in-{user}-remember" if remember else f"/in-{user}")

    @precondition(lambda self: self._live())
    @rule(which=browsers)
    def restart(self, which: int) -> None:
        known = self._one(self._live(), which)
        known.browser.restart()
        known.session = None

    @precondition(lambda self: self._somebodys())
    @rule(which=browsers, server=servers)
    def confirm(self, which: int, server: int) -> None:
        known = self._one(self._somebodys(), which)
        self._comes_back(known)
        session = known.live()
        if session is not None:
            session.is_fresh = True
            self._asks(known, server, "/confirm")

    @precondition(lambda self: self._somebodys())
    @rule(which=browsers, server=servers)
    def log_out(self, which: int, server: int) -> None:
        known = self._one(self._somebodys(), which)
        self._copy(known)
        self._comes_back(known)
        session = known.live()
        if session is not None:
            session.is_alive = False
            self._end_device(session.device)
            self._end_device(known.cookie)
        self._asks(known, server, "/out")

    @precondition(lambda self: self._live())
    @rule(which=browsers, server=servers)
    def end(self, which: int, server: int) -> None:
        known = self._one(self._live(), which)
        session, site = known.live(), self.sites[server]
        assert session is not None
        site.sessions.end(site.session_id(known.browser))
        session.is_alive = False
        self._end_device(session.device)

    @precondition(lambda self: self._somebodys())
    @rule(server=servers, user=st.sampled_from(USERS))
    def end_all(self, server: int, user: str) -> None:
        self.sites[server].sessions.end_all(user)
        self._end_of(user, None)

    @precondition(lambda self: self._somebodys())
    @rule(which=browsers, server=servers)
    def end_others(self, which: int, server: int) -> None:
        known = self._one(self._somebodys(), which)
        self._comes_back(known)
        session = known.live()
        if session is not None:
            self._end_of(session.user, session)
        self._asks(known, server, "/end-others")

    @precondition(lambda self: self._somebodys())
    @rule(server=servers)
    def end_everyone(self, server: int) -> None:
        self.sites[server].sessions.end_everyone()
        for user in USERS:
            self._end_of(user, None)

    def _live(self) -> list[Known]:
        return [known for known in self.known if known.live() is not None]

    def _somebodys(self) -> list[Known]:
        return [known for known in self.known if known.is_somebodys()]

    @staticmethod
    def _one(some: list[Known], which: int) -> Known:
        return some[which % len(some)]

    def _comes_back(self, known: Known) -> None:
        """What a look at the log-in does: the cookie brings its user back where there is no session."""
        if known.live() is None and known.cookie is not None and known.cookie.is_alive:
            self._begin(known, Visit(known.cookie.user, known.cookie, False))

    def _begin(self, known: Known, session: Visit) -> None:
        known.session = session
        self.sessions.append(session)

    @staticmethod
    def _end_device(device: Device | None) -> None:
        if device is not None:
            device.is_alive = False

    def _copy(self, known: Known) -> None:
        self.copies.append((known.browser.copy(), known.session, known.cookie))

    def _end_of(self, user: str, kept: Visit | None) -> None:
        for session in self.sessions:
            session.is_alive &= session.user != user or session is kept
        for device in self.devices:
            device.is_alive &= device.user != user or (kept is not None and device is kept.device)

    def _asks(self, known: Known, server: int, path: str) -> None:
        self.clock.advance(60)
        known.browser.app = self.sites[server].app
        session = known.live()
        expected = "None stale" if session is None else f"{session.user} {'fresh' if session.is_fresh else 'stale'}"
        assert known.browser.sees(path) == expected
        self.clock.advance(60)


@pytest.mark.parametrize("place", ENDING)
def test_whatever_is_done_who_is_logged_in_is_who_the_model_expects(place: str) -> None:
    machine = type("LoginsIn", (Logins,), {"place": place})
    case = machine.TestCase
    case.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
    case("runTest").debug()
