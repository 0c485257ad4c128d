"""OWASP ASVS 5.0, 7.2.4 to 7.5.3, with the application of docs/login.md."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from support.clock import Clock
from support.wsgi import KEY

PAGE = Path(__file__).parents[2] / "docs" / "login.md"
PASSWORD = "correct horse"
DAY = 86400

webtest = pytest.importorskip("webtest")


class Application:
    """The page's, with browsers for it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = re.search(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        assert found is not None
        self.module = types.ModuleType("session_mw_docs_login")
        # dataclasses look for the module that calls them.
        monkeypatch.setitem(sys.modules, self.module.__name__, self.module)
        exec(compile(found[1], str(PAGE), "exec"), vars(self.module))

    def __getattr__(self, name: str) -> Any:
        return vars(self.module)[name]

    def browser(self) -> Any:
        return webtest.TestApp(self.app, extra_environ={"HTTP_SEC_FETCH_SITE": "same-origin"})

    def logged_in(self, **more: str) -> Any:
        browser = self.browser()
        log_in(browser, **more)
        return browser


def log_in(browser: Any, password: str = PASSWORD, **more: str) -> Any:
    return browser.post("/login", {"name": "ada", "password": password, **more})


def is_logged_in(browser: Any) -> bool:
    return str(browser.get("/").text).startswith("Hello, ada.")


def copy_of(application: Application, browser: Any) -> Any:
    copy = application.browser()
    for name, value in browser.cookies.items():
        copy.set_cookie(name, value)
    return copy


def close(browser: Any) -> None:
    browser.cookiejar.clear("localhost.local", "/", "session")


@pytest.fixture
def application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Application]:
    argon2 = pytest.importorskip("argon2")
    # Hashes that take no time.
    monkeypatch.setattr(
        argon2, "PasswordHasher", partial(argon2.PasswordHasher, time_cost=1, memory_cost=8, parallelism=1)
    )
    pytest.importorskip("bottle")
    monkeypatch.setenv("SECRET_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    made = Application(monkeypatch)
    yield made
    made.sessions.close()


def test_asvs_7_2_4_log_in_and_confirmation_make_a_new_token_and_end_the_old_one(application: Application) -> None:
    browser = application.logged_in()
    first = copy_of(application, browser)
    token = browser.cookies["session"]
    log_in(browser)
    assert browser.cookies["session"] != token
    assert is_logged_in(browser)
    assert not is_logged_in(first)


def test_asvs_7_3_1_a_session_that_is_not_used_ends(application: Application, clock: Clock) -> None:
    browser = application.logged_in()
    clock.advance(14 * DAY - 1)
    assert is_logged_in(browser)
    clock.advance(14 * DAY + 1)
    assert not is_logged_in(browser)


def test_asvs_7_3_2_a_session_ends_however_much_it_is_used_and_so_does_remember_me(
    application: Application, clock: Clock
) -> None:
    browser, remembered = application.logged_in(), application.logged_in(remember="on")
    for _ in range(9):
        assert is_logged_in(browser)
        clock.advance(10 * DAY)
    clock.advance(1)
    assert not is_logged_in(browser)
    close(remembered)
    assert not is_logged_in(remembered)


def test_asvs_7_4_1_after_log_out_every_copy_of_the_cookies_is_worth_nothing(application: Application) -> None:
    browser = application.logged_in(remember="on")
    copy = copy_of(application, browser)
    browser.post("/logout")
    assert not browser.cookies
    assert not is_logged_in(copy)
    assert not is_logged_in(browser)


def test_asvs_7_4_2_the_sessions_of_a_deleted_account_end(application: Application) -> None:
    browser, remembered = application.logged_in(), application.logged_in(remember="on")
    close(remembered)
    del application.users["ada"]
    assert not is_logged_in(browser)
    assert not is_logged_in(remembered)


def test_asvs_7_4_3_a_changed_password_ends_the_other_sessions(application: Application) -> None:
    here, there, remembered = (application.logged_in(remember="on") for _ in range(3))
    close(remembered)
    assert here.post("/account/password", {"new": "battery staple"}).location
    assert is_logged_in(here)
    assert not is_logged_in(there)
    assert not is_logged_in(remembered)


def test_asvs_7_4_4_the_log_out_stands_on_the_page(application: Application) -> None:
    browser = application.logged_in()
    browser.get("/").form.submit()
    assert not is_logged_in(browser)


def test_asvs_7_4_5_an_administrator_ends_all_sessions_of_a_user(application: Application) -> None:
    browsers = [application.logged_in(remember="on") for _ in range(3)]
    close(browsers[2])
    application.sessions.end_all("ada")
    assert [is_logged_in(browser) for browser in browsers] == [False] * 3


def test_asvs_7_5_1_the_password_is_asked_for_before_it_can_be_changed(application: Application, clock: Clock) -> None:
    browser = application.logged_in()
    clock.advance(901)
    assert browser.post("/account/password", {"new": "battery staple"}, status=401)
    log_in(browser)
    assert browser.post("/account/password", {"new": "battery staple"}).location
    assert log_in(application.browser(), "battery staple").location


def test_asvs_7_5_2_users_see_their_sessions_and_end_one_or_all(application: Application, clock: Clock) -> None:
    here, there, third = (application.logged_in(remember="on") for _ in range(3))
    devices = here.get("/account/devices").json["devices"]
    assert len(devices) == 3
    (other, another) = [id_ for id_, _, is_this in devices if not is_this]
    here.post("/account/devices/end", {"id": other})
    assert sorted([is_logged_in(there), is_logged_in(third)]) == [False, True]
    here.post("/account/everywhere")
    assert [is_logged_in(browser) for browser in (here, there, third)] == [False] * 3
    assert another not in {info.id for info in application.sessions.sessions_of("ada")}
    clock.advance(901)
    assert "/login?next=" in here.get("/account/devices").location


def test_asvs_7_5_3_whom_the_remember_cookie_brought_back_has_to_give_the_password_again(
    application: Application,
) -> None:
    browser = application.logged_in(remember="on")
    close(browser)
    assert is_logged_in(browser)
    assert browser.get("/account/devices").location.endswith("/login?next=/account/devices")
    log_in(browser)
    assert browser.get("/account/devices").status_int == 200


def test_every_item_of_the_pages_table_has_its_test() -> None:
    items = re.findall(r"^\| (7\.\d\.\d) ", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert items == "7.2.4 7.3.1 7.3.2 7.4.1 7.4.2 7.4.3 7.4.4 7.4.5 7.5.1 7.5.2 7.5.3".split()
    for item in items:
        assert any(name.startswith(f"test_asvs_{item.replace('.', '_')}_") for name in globals())
