"""Log-ins, restarts of browsers and ends of sessions in any order, on two servers, against a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from unittest import mock

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, rule

from session_mw import MemoryStore
from support.clock import Clock
from support.logins import ENDING, Browser, site_on
from support.tokens import NOW

pytestmark = pytest.mark.heavy

USERS = ("42", "43")
SERVERS = (0, 1)


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


class Logins(RuleBasedStateMachine):
    """Each step takes a minute: what has ended is known everywhere, and a used remember cookie is not good any more."""

    place = ""
    browsers = Bundle("browsers")

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
        self.known: list[Known] = []
        self.sessions: list[Visit] = []
        self.devices: list[Device] = []

    def teardown(self) -> None:
        for known in self.known:
            self.look(known, 0)
        self.patch.stop()

    def _end_others(self, login: Any, environ: dict[str, Any]) -> None:
        if login.user_id is not None:
            self.sites[0].sessions.end_all(login.user_id, keep=environ["session"])

    @rule(target=browsers)
    def open(self) -> Known:
        self.known.append(Known(self.sites[0].browser()))
        return self.known[-1]

    @rule(known=browsers, server=st.sampled_from(SERVERS))
    def look(self, known: Known, server: int) -> None:
        self._comes_back(known)
        self._asks(known, server, "/")

    @rule(known=browsers, server=st.sampled_from(SERVERS), user=st.sampled_from(USERS), remember=st.booleans())
    def log_in(self, known: Known, server: int, user: str, remember: bool) -> None:
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

    @rule(known=browsers)
    def restart(self, known: Known) -> None:
        known.browser.restart()
        known.session = None

    @rule(known=browsers, server=st.sampled_from(SERVERS))
    def confirm(self, known: Known, server: int) -> None:
        self._comes_back(known)
        session = known.live()
        if session is not None:
            session.is_fresh = True
            self._asks(known, server, "/confirm")

    @rule(known=browsers, server=st.sampled_from(SERVERS))
    def log_out(self, known: Known, server: int) -> None:
        self._comes_back(known)
        session = known.live()
        if session is not None:
            session.is_alive = False
            self._end_device(session.device)
            self._end_device(known.cookie)
        self._asks(known, server, "/out")

    @rule(known=browsers, server=st.sampled_from(SERVERS))
    def end(self, known: Known, server: int) -> None:
        session = known.live()
        if session is not None:
            site = self.sites[server]
            site.sessions.end(site.session_id(known.browser))
            session.is_alive = False
            self._end_device(session.device)

    @rule(server=st.sampled_from(SERVERS), user=st.sampled_from(USERS))
    def end_all(self, server: int, user: str) -> None:
        self.sites[server].sessions.end_all(user)
        self._end_of(user, None)

    @rule(known=browsers, server=st.sampled_from(SERVERS))
    def end_others(self, known: Known, server: int) -> None:
        self._comes_back(known)
        session = known.live()
        if session is not None:
            self._end_of(session.user, session)
        self._asks(known, server, "/end-others")

    @rule(server=st.sampled_from(SERVERS))
    def end_everyone(self, server: int) -> None:
        self.sites[server].sessions.end_everyone()
        for user in USERS:
            self._end_of(user, None)

    @rule(seconds=st.sampled_from([11, 3600, 86400]))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

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
    case.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
    case("runTest").debug()
