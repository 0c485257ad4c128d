"""What docs/troubleshooting.md says of the log is what the log says."""

from __future__ import annotations

import logging
import re
import secrets
from pathlib import Path

import pytest

from session_mw import CookieTooLarge, SessionManager, SessionMiddleware
from session_mw.rejections import REASONS
from support.refusals import REFUSALS
from support.wsgi import KEY, OTHER_KEY, environ_of, page, token_of, visit

PAGE = (Path(__file__).parents[2] / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(\w+)` \| (DEBUG|INFO|WARNING) \|", PAGE, flags=re.M)


@pytest.mark.parametrize(("reason", "level"), ROWS)
def test_a_reason_is_logged_at_the_level_that_the_page_says(reason, level, clock, caplog):
    caplog.set_level(logging.DEBUG, logger="session_mw")
    sessions, header = REFUSALS[reason]()
    session = sessions.open({"HTTP_COOKIE": header})

    assert session == {}
    ((_, levelno, message),) = caplog.record_tuples
    assert re.fullmatch(rf"session cookie refused: {reason} \(fingerprint [0-9a-f]{{12}}\)", message)
    assert logging.getLevelName(levelno) == level


def test_the_page_has_all_reasons():
    assert {reason for reason, _ in ROWS} == set(REASONS)


def test_the_line_that_the_page_shows_has_the_shape_of_the_one_that_is_logged():
    line, _ = re.findall(r"^```text\n(.*)\n```$", PAGE, flags=re.M)

    assert re.fullmatch(r"session cookie refused: bad_signature \(fingerprint [0-9a-f]{12}\)", line)


WARNED = {
    "a session cookie was rejected that is authentic …": ({}, {"digest": "sha256"}),
    "the session cookie is Secure, and a request came over http: …": ({"cookie_secure": True}, {}),
    "the session cookie has Domain=…, and a request came to the host …": ({"cookie_domain": "shop.example"}, {}),
    "the session cookie has Path=…, and is set by a page at …": ({"cookie_path": "/app"}, {}),
    "a session cookie of … bytes is sent; …": ({}, {"size": 2800}),
}


@pytest.mark.parametrize("line", WARNED)
def test_a_line_of_the_first_table_is_what_a_cause_writes(line, caplog):
    assert f"| `{line}` |" in PAGE.partition("\n## ")[0]
    settings, case = WARNED[line]
    sessions = SessionManager(KEY, **settings)
    cookie = f"session={token_of({'a': 1}, digest='sha256')}" if "digest" in case else None
    session = sessions.open(environ_of(cookie=cookie, HTTP_HOST="www.example"))
    session["text"] = secrets.token_urlsafe(case.get("size", 1))
    sessions.commit(session)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert re.match(".*".join(map(re.escape, line.split("…"))), record.getMessage())


def test_the_warning_of_another_setting_is_the_one_that_the_page_shows(caplog):
    _, line = re.findall(r"^```text\n(.*)\n```$", PAGE, flags=re.M)
    cookie = f"session={token_of({'a': 1}, digest='sha256')}"
    assert SessionManager(KEY).open({"HTTP_COOKIE": cookie}) == {}
    assert [record.getMessage() for record in caplog.records] == [line]


def test_the_page_has_the_words_of_the_warnings_of_caches_and_sockets(caplog):
    said = page(lambda session: session.update(a=1), ("Cache-Control", "public"))
    visit(SessionMiddleware(said, KEY), "/news")
    visit(SessionMiddleware(said, KEY), HTTP_SEC_WEBSOCKET_KEY="x")
    shared, lost = (record.getMessage() for record in caplog.records)
    assert f"`{shared.partition(';')[0]}`" in PAGE
    assert f"`{lost.partition(':')[0]}`" in PAGE


def test_a_key_of_each_worker_is_seen_in_the_log(caplog):
    caplog.set_level(logging.INFO, logger="session_mw")
    workers = [SessionManager(KEY), SessionManager(OTHER_KEY)]
    session = workers[0].open({})
    session["user"] = "ann"
    cookie = dict(workers[0].commit(session))["Set-Cookie"].partition(";")[0]

    assert workers[0].open({"HTTP_COOKIE": cookie}) == {"user": "ann"}
    assert workers[1].open({"HTTP_COOKIE": cookie}) == {}
    assert "session cookie refused: bad_signature" in caplog.text


def test_a_memory_of_each_worker_is_seen_in_the_log(caplog):
    caplog.set_level(logging.INFO, logger="session_mw")
    workers = [SessionManager(store="memory://"), SessionManager(store="memory://")]
    session = workers[0].open({})
    session["user"] = "ann"
    cookie = dict(workers[0].commit(session))["Set-Cookie"].partition(";")[0]

    assert workers[1].open({"HTTP_COOKIE": cookie}) == {}
    assert "session cookie refused: unknown" in caplog.text


def test_the_cookie_of_a_store_has_43_characters():
    sessions = SessionManager(store="memory://")
    session = sessions.open({})
    session["big"] = "x" * 9000

    assert len(dict(sessions.commit(session))["Set-Cookie"].partition(";")[0]) == len("session=") + 43


def test_over_4096_bytes_the_error_names_the_largest_keys():
    sessions = SessionManager(KEY)
    session = sessions.open({})
    session["cart"] = secrets.token_urlsafe(5000)
    with pytest.raises(CookieTooLarge, match=r"4096.*cart"):
        sessions.commit(session)
