"""``session-mw sessions`` and ``session-mw end``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from session_mw import SessionManager
from session_mw.cli import main
from session_mw.stores.session_ids import is_key
from support.logins import site_on

if TYPE_CHECKING:
    from support.clock import Clock

KEY = "Wq7-b3Zk_s9Yp2LxV5tNc8Rf1Jh6Dg4MaQ0uEoTi"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SESSION_MW_SECRET_KEY", "SESSION_MW_STORE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(params=["file", "sqlite", "sql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sql":
        pytest.importorskip("sqlalchemy")
        return f"sqlite+pysqlite:///{tmp_path}/alchemy.db"
    return {"file": f"file://{tmp_path}/sessions", "sqlite": f"sqlite:///{tmp_path}/sessions.db"}[request.param]


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/sessions.db"


def log_in(url: str, principal: str, **settings: Any) -> str:
    """Begin a session; its id."""
    sessions = SessionManager(store=url, **settings)
    session = sessions.open({})
    session["a"] = 1
    session.principal = principal
    sessions.commit(session)
    sessions.close()
    assert session.id is not None
    return session.id


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(list(arguments))
    return status, *capsys.readouterr()


def listed(capsys: pytest.CaptureFixture[str], url: str, principal: str) -> list[str]:
    return [info["id"] for info in json.loads(run(capsys, "sessions", url, principal, "--json")[1])]


def test_the_sessions_of_a_principal_are_listed(url: str, capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    clock.now = 1800000000.0
    old = log_in(url, "42")
    clock.advance(3600)
    new = log_in(url, "42")
    log_in(url, "43")
    status, out, err = run(capsys, "sessions", url, "42")
    assert (status, err) == (0, "2 sessions\n")
    assert out.splitlines() == [
        f"{'id':64}  {'created':23}  {'last used':23}  label",
        f"{new}  2027-01-15 09:00:00 UTC  2027-01-15 09:00:00 UTC",
        f"{old}  2027-01-15 08:00:00 UTC  2027-01-15 08:00:00 UTC",
    ]


def test_the_last_use_is_reckoned_with_the_sites_lifetime(
    sqlite_url: str, capsys: pytest.CaptureFixture[str], clock: Clock
) -> None:
    session_id = log_in(sqlite_url, "42", lifetime=7200)
    sessions = SessionManager(store=sqlite_url, lifetime=7200)
    assert sessions.store is not None
    clock.advance(3600)
    sessions.store.touch(session_id, 7200)
    sessions.close()
    found = json.loads(run(capsys, "sessions", sqlite_url, "42", "--json", "--lifetime", "2 hours")[1])
    assert [one["last_used"] for one in found] == [int(clock.now)]


def test_a_principal_without_sessions_has_an_empty_list(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    log_in(url, "43")
    assert run(capsys, "sessions", url, "42") == (0, "", "0 sessions\n")


def test_a_session_is_ended_by_its_id(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = log_in(url, "42"), log_in(url, "42")
    assert run(capsys, "end", url, one) == (0, "1 session ended\n", "")
    assert listed(capsys, url, "42") == [other]


def test_all_sessions_of_a_principal_are_ended(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    log_in(url, "42")
    log_in(url, "42")
    other = log_in(url, "43")
    assert run(capsys, "end", url, "--all", "42") == (0, "2 sessions ended\n", "")
    assert run(capsys, "end", "--all", "42", url) == (0, "0 sessions ended\n", "")
    assert listed(capsys, url, "42") == []
    assert listed(capsys, url, "43") == [other]


def in_cookie(url: str, principal: str) -> tuple[SessionManager, str, str]:
    """A session in a cookie: its manager, its Cookie header, its id."""
    sessions = SessionManager(KEY, revocations=url)
    session = sessions.open({})
    session.principal = principal
    token = dict(sessions.commit(session))["Set-Cookie"].partition(";")[0]
    assert session.id is not None
    return sessions, token, session.id


def test_a_session_in_a_cookie_is_ended_by_its_id(url: str, capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    sessions, cookie, session_id = in_cookie(url, "42")
    other, other_cookie, _ = in_cookie(url, "42")
    status, out, err = run(capsys, "end", url, session_id)
    assert (status, out.partition(",")[0], err) == (0, "the session has ended", "")
    clock.advance(1.5)
    assert sessions.open({"HTTP_COOKIE": cookie}).principal is None
    assert other.open({"HTTP_COOKIE": other_cookie}).principal == "42"
    sessions.close()
    other.close()


def test_an_id_that_begins_with_a_dash_is_no_option(sqlite_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    in_cookie(sqlite_url, "42")[0].close()
    for session_id in ("-" + "A" * 21, "-" + "A" * 21 + "." + "A" * 22):
        assert run(capsys, "end", sqlite_url, session_id)[0] == 0


def test_all_sessions_in_cookies_of_a_principal_are_ended(
    url: str, capsys: pytest.CaptureFixture[str], clock: Clock
) -> None:
    sessions, cookie, _ = in_cookie(url, "42")
    other, other_cookie, _ = in_cookie(url, "43")
    status, out, err = run(capsys, "end", url, "--all", "42")
    assert (status, out) == (0, "0 sessions ended\n")
    assert "add --revocations" in err
    status, out, err = run(capsys, "end", url, "--all", "42", "--revocations")
    assert (status, out.partition(":")[0], err) == (0, "all that there were have ended", "")
    clock.advance(1.5)
    assert sessions.open({"HTTP_COOKIE": cookie}).principal is None
    assert other.open({"HTTP_COOKIE": other_cookie}).principal == "43"
    sessions.close()
    other.close()


@pytest.mark.parametrize("where", ["store", "revocations"])
@pytest.mark.parametrize("by", ["id", "all"])
def test_the_remember_cookie_of_the_device_ends_too(
    url: str, capsys: pytest.CaptureFixture[str], where: str, by: str
) -> None:
    site = site_on(where, url)
    browser = site.browser()
    browser.get("/in-remember")
    of_all = ["--all", "42", *["--revocations"] * (where == "revocations")]
    assert run(capsys, "end", url, *([site.session_id(browser)] if by == "id" else of_all))[0] == 0
    assert browser.restart().sees() == "None stale"
    site.sessions.close()


def test_encrypted_sessions_are_listed_and_ended_with_the_key(
    sqlite_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cryptography")
    encrypted = log_in(sqlite_url, "42", secret_key=KEY, store_encryption=True)
    plain = log_in(sqlite_url, "42")
    monkeypatch.setenv("SESSION_MW_SECRET_KEY", KEY)
    assert sorted(listed(capsys, sqlite_url, "42")) == sorted([encrypted, plain])
    assert run(capsys, "end", sqlite_url, "--all", "42")[1] == "2 sessions ended\n"
    assert listed(capsys, sqlite_url, "42") == []


def test_the_url_may_come_from_the_environment(
    sqlite_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = log_in(sqlite_url, "42")
    monkeypatch.setenv("SESSION_MW_STORE", sqlite_url)
    assert session_id in run(capsys, "sessions", "42")[1]
    assert run(capsys, "end", session_id)[:2] == (0, "1 session ended\n")
    assert run(capsys, "end", "--all", "42")[:2] == (0, "0 sessions ended\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["end", "{url}", "x"], "64 hexadecimal digits"),
        (["end", "{url}", "A" * 43], "64 hexadecimal digits"),
        (["end", "{url}", "0" * 64], f"no session has the id {'0' * 64}; nothing was ended"),
        (["end", "{url}", "--all", ""], "a principal is a non-empty str"),
        (["sessions", "{url}", ""], "a principal is a non-empty str"),
        (["sessions", "{url}", "42", "--lifetime", "soon"], "'soon' cannot be read"),
        (["sessions", "{url}", "42", "--cookie-name", "a b"], "cookie_name"),
        (["sessions", "redsi://host", "42"], "did you mean 'redis'?"),
        (["sessions", "42"], "which store? Give its URL, or set SESSION_MW_STORE"),
        (["end", "--all", "42"], "which store? Give its URL, or set SESSION_MW_STORE"),
        (["end", "sqlite:////no/such/s.db", "0" * 64], "there is no '/no/such/s.db'"),
        (["sessions", "memory://", "42"], "only that one can see its sessions"),
        (["end", "memory://", "--all", "42"], "only that one can see its sessions"),
        (["inspect", "A" * 43, "--store", "memory://"], "only that one can see its sessions"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str], says: str, sqlite_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    log_in(sqlite_url, "42")
    status, out, err = run(capsys, *[argument.format(url=sqlite_url) for argument in arguments])
    assert (status, out) == (1, "")
    assert err.startswith("session-mw: ")
    assert err.count("\n") == 1
    assert says in err


@pytest.mark.parametrize(
    "arguments",
    [["end", "{url}"], ["end"], ["end", "{url}", "0" * 64, "--all", "42"], ["sessions"], ["sessions", "{url}"]],
)
def test_arguments_that_do_not_fit_have_status_2(
    arguments: list[str], sqlite_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([argument.format(url=sqlite_url) for argument in arguments])
    assert exit_.value.code == 2
    assert "usage: session-mw" in capsys.readouterr().err


def test_a_store_without_an_index_says_so(memcached: Any, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pymemcache")
    for arguments in (["sessions", memcached.url, "42"], ["end", memcached.url, "--all", "42"]):
        status, _, err = run(capsys, *arguments)
        assert status == 1
        assert "MemcachedStore, which has no index" in err


def test_an_id_is_what_the_application_sees(sqlite_url: str) -> None:
    assert is_key(log_in(sqlite_url, "42"))
