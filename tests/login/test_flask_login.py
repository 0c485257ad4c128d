"""One log-in for an application with Flask-Login and one with LoginMiddleware, under the same middleware."""

from __future__ import annotations

from typing import Any

import pytest

from session_mw import SessionManager, SessionMiddleware
from session_mw.login import LoginMiddleware
from support.clock import Clock
from support.logins import PLACES, Browser, Site
from support.wsgi import KEY

flask = pytest.importorskip("flask")
flask_login = pytest.importorskip("flask_login")

AGENT = {"HTTP_USER_AGENT": "Mozilla/5.0", "REMOTE_ADDR": "192.0.2.7"}


def with_flask_login() -> Any:
    from session_mw.adapters.flask import FlaskSessions
    from session_mw.login import get_login

    class User(flask_login.UserMixin):  # type: ignore[misc, name-defined]
        def __init__(self, id_: str) -> None:
            self.id = id_

    app = flask.Flask(__name__)
    app.secret_key = KEY
    app.session_interface = FlaskSessions()
    manager = flask_login.LoginManager(app)
    manager.user_loader(User)

    @manager.request_loader
    def remembered(request: Any) -> User | None:
        user_id = get_login(request.environ).user_id
        return None if user_id is None else User(user_id)

    def shown() -> str:
        # Flask-Login looks at its protection when it loads the user.
        user_id = flask_login.current_user.get_id()
        return f"{user_id} {'fresh' if flask_login.login_fresh() else 'stale'}"

    @app.get("/flask")
    def index() -> str:
        return shown()

    @app.get("/flask/in/<id_>")
    def log_in(id_: str) -> str:
        flask_login.login_user(User(id_))
        return shown()

    @app.get("/flask/in-remember/<id_>")
    def log_in_and_remember(id_: str) -> str:
        flask_login.login_user(User(id_), remember=True)
        return shown()

    @app.get("/flask/out")
    def log_out() -> str:
        flask_login.logout_user()
        flask.flash("Good bye.")
        return shown()

    @app.get("/flask/messages")
    def messages() -> str:
        return " ".join(flask.get_flashed_messages())

    @app.get("/flask/confirm")
    def confirm() -> str:
        flask_login.confirm_login()
        return shown()

    return app


class Shared(Site):
    """/flask… is an application with Flask-Login, the rest one with get_login."""

    def __init__(self, store: Any = None, *, settings: dict[str, Any] | None = None, **options: Any) -> None:
        super().__init__(store=store, settings=settings, **options)
        flask_app = with_flask_login()

        def either(environ: dict[str, Any], start_response: Any) -> Any:
            app = flask_app if environ["PATH_INFO"].startswith("/flask") else self.page
            return app(environ, start_response)

        inner = LoginMiddleware(either, load_user=self.users.load, **options)
        self.app = SessionMiddleware(inner, sessions=self.sessions)

    def browser(self, **more: Any) -> Browser:
        return super().browser(**{**AGENT, **more})


@pytest.fixture(params=PLACES)
def site(request: pytest.FixtureRequest) -> Shared:
    return Shared(**PLACES[request.param])


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"REMOTE_ADDR": "::1"},
        {"HTTP_X_FORWARDED_FOR": "203.0.113.5, 10.0.0.1"},
        {"HTTP_X_FORWARDED_FOR": "\xe9"},
        {"HTTP_USER_AGENT": "B\xfccher 'n' \"quotes\" \\"},
    ],
)
def test_a_log_in_here_is_one_there_and_fresh_in_both(site: Shared, more: dict[str, str]) -> None:
    browser = site.browser(**more)
    browser.get("/in")
    assert browser.sees("/flask") == "42 fresh"
    assert browser.sees() == "42 fresh"


def test_a_browser_without_a_user_agent_is_fresh_in_both(site: Shared) -> None:
    browser = Browser(site.app, more={"REMOTE_ADDR": "192.0.2.1"})
    browser.get("/in")
    assert (browser.sees("/flask"), browser.sees()) == ("42 fresh", "42 fresh")


def test_a_log_in_there_is_one_here_and_fresh_in_both(site: Shared) -> None:
    browser = site.browser()
    assert browser.sees("/flask/in/42") == "42 fresh"
    assert browser.sees() == "42 fresh"
    assert browser.sees("/flask") == "42 fresh"


def test_a_log_in_there_gets_its_principal_and_a_new_id() -> None:
    site = Shared("memory://")
    browser = site.browser()
    browser.get("/write")
    planted = browser.copy()
    browser.get("/flask/in/42")
    assert len(site.sessions.sessions_of("42")) == 1
    assert planted.sees() == "None stale"


def test_a_session_that_flask_login_made_elsewhere_gets_its_principal_when_it_is_seen_here() -> None:
    site = Shared("memory://")
    browser = site.browser()
    alone = SessionManager(KEY, store=site.sessions.store)
    session = alone.open({})
    session.update(_user_id="42", _fresh=True)
    browser.jar["session"] = dict(alone.commit(session))["Set-Cookie"].partition("=")[2].partition(";")[0]
    assert site.sessions.sessions_of("42") == []
    assert browser.sees() == "42 fresh"
    assert len(site.sessions.sessions_of("42")) == 1


def test_a_log_out_there_is_one_here_remember_cookie_included(site: Shared) -> None:
    browser = site.browser()
    browser.get("/in-remember")
    copy = browser.copy()
    assert browser.sees("/flask/out") == "None stale"
    assert "remember" not in browser.jar
    assert browser.sees("/flask/messages") == "Good bye."
    assert browser.sees() == "None stale"
    if site.can_end:
        assert copy.sees() == "None stale"
        assert copy.restart().sees() == "None stale"


def test_a_log_out_there_of_which_nothing_was_seen_is_one_here_when_it_is_seen() -> None:
    site = Shared("memory://")
    browser = site.browser()
    browser.get("/in-remember")
    alone = SessionManager(KEY, store=site.sessions.store)
    session = alone.open({"HTTP_COOKIE": browser.cookie})
    for key in ("_user_id", "_fresh", "_id"):
        del session[key]
    alone.commit(session)
    assert browser.sees() == "None stale"
    assert "remember" not in browser.jar


def test_with_a_request_loader_the_remember_cookie_brings_the_user_back_there_first(site: Shared) -> None:
    browser = site.browser()
    browser.get("/in-remember")
    browser.restart()
    assert browser.sees("/flask") == "42 stale"
    assert browser.sees() == "42 stale"
    browser.get("/flask/out")
    assert browser.restart().sees("/flask") == "None stale"


@pytest.mark.parametrize("out", ["/out", "/flask/out"])
def test_a_log_out_ends_flask_logins_own_remember_cookie_too(site: Shared, out: str) -> None:
    browser = site.browser()
    browser.get("/flask/in-remember/42")
    assert "remember_token" in browser.jar
    assert browser.sees() == "42 fresh"
    browser.get(out)
    assert browser.sees("/flask") == "None stale"
    assert "remember_token" not in browser.jar
    assert browser.restart().sees("/flask") == "None stale"


def test_a_log_out_here_is_one_there(site: Shared) -> None:
    browser = site.browser()
    browser.get("/flask/in/42")
    browser.get("/out")
    assert browser.sees("/flask") == "None stale"


def test_another_user_who_logs_in_there_is_not_taken_for_the_first(clock: Clock) -> None:
    site = Shared("memory://")
    site.pages["/confirmed"] = lambda login, environ: login.confirmed
    browser = site.browser()
    browser.get("/in-remember")
    browser.get("/flask/in/43")
    assert browser.sees() == "43 fresh"
    assert browser.sees("/confirmed") == "43 fresh"
    assert site.sessions.sessions_of("42") == []
    assert len(site.sessions.sessions_of("43")) == 1


@pytest.mark.parametrize("is_closed", [False, True])
def test_another_user_who_logs_in_there_ends_the_remember_cookie_of_the_first(site: Shared, is_closed: bool) -> None:
    browser = site.browser()
    browser.get("/in-remember")
    if is_closed:
        browser.restart()
    copy = browser.copy().restart()
    assert browser.sees("/flask/in/43") == "43 fresh"
    assert "remember" not in browser.jar
    assert browser.sees() == "43 fresh"
    assert browser.restart().sees() == "None stale"
    if site.can_end:
        assert copy.sees() == "None stale"


def test_the_same_user_who_logs_in_there_keeps_the_remember_cookie_and_ends_it_with_the_session(site: Shared) -> None:
    browser = site.browser()
    browser.get("/in-remember")
    browser.restart()
    browser.get("/flask/in/42")
    assert browser.copy().restart().sees() == "42 stale"
    copy = browser.copy().restart()
    assert browser.sees("/out") == "None stale"
    assert browser.jar == {}
    if site.can_end:
        assert copy.sees() == "None stale"


def test_who_was_brought_back_here_is_stale_there_and_confirmed_there_fresh_here(site: Shared) -> None:
    browser = site.browser()
    browser.get("/in-remember")
    browser.restart()
    assert browser.sees() == "42 stale"
    assert browser.sees("/flask") == "42 stale"
    browser.get("/flask/confirm")
    assert browser.sees() == "42 fresh"


def test_confirmed_here_is_fresh_there(site: Shared) -> None:
    browser = site.browser()
    browser.get("/in-remember")
    browser.restart().get()
    browser.get("/confirm")
    assert browser.sees("/flask") == "42 fresh"


def test_a_session_that_came_from_elsewhere_is_stale_in_both_under_flask_logins_protection(site: Shared) -> None:
    browser = site.browser()
    browser.get("/in")
    assert browser.sees("/flask", REMOTE_ADDR="198.51.100.9") == "42 stale"
    assert browser.sees() == "42 stale"


def test_fresh_for_refuses_a_log_in_of_which_nobody_knows_the_time(site: Shared) -> None:
    site.pages["/confirmed"] = lambda login, environ: f"{login.is_fresh} {login.confirmed}"
    browser = site.browser()
    browser.get("/flask/in/42")
    assert browser.sees("/confirmed") == "True None"
    browser.get("/confirm")
    assert browser.sees("/confirmed").startswith("True 1")
