"""What cannot work as it is set up is told once by each manager, and nothing else is."""

from __future__ import annotations

import logging
import re
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from random import Random
from threading import Barrier
from types import SimpleNamespace
from typing import Any

import pytest

from session_mw import SessionManager, SessionMiddleware, notices
from session_mw.codecs.signed import SignedCodec
from session_mw.cookies import SessionCookie
from session_mw.notices import Notices
from support.tokens import KEY, OTHER_KEY, token_of
from support.wsgi import environ_of, page, visit

NOISE = b64encode(Random(1).randbytes(9000)).decode()
"""Text that does not become much smaller."""


def write(session: Any) -> None:
    session["a"] = 1


def told(caplog: pytest.LogCaptureFixture, url: str, settings: dict[str, Any], **headers: str) -> list[str]:
    """What is logged where a page of this address sets the cookie, twice."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    app = SessionMiddleware(page(write), secret_key=KEY, **settings)
    for _ in range(2):
        visit(app, slash + path, https=scheme == "https", HTTP_HOST=host, **headers)
    assert all(record.levelno == logging.WARNING for record in caplog.records)
    return [record.getMessage() for record in caplog.records]


SHOP = {"cookie_domain": "shop.example"}
APP = {"cookie_path": "/app"}
SECURE = {"cookie_secure": True}


@pytest.mark.parametrize(
    ("url", "settings", "words"),
    [
        ("http://shop.example/", SECURE, "is Secure, and a request came over http"),
        ("http://192.168.0.5/", SECURE, "is Secure"),
        ("http://localhost.example/", SECURE, "is Secure"),
        ("http://127.0.0.1.example/", SECURE, "is Secure"),
        ("http://shop.example/", {"cookie_name": "__Host-session"}, "is Secure"),
        ("http://shop.example/", {"cookie_samesite": "None"}, "is Secure"),
        ("http://shop.example/", {"cookie_partitioned": True}, "is Secure"),
        ("http://other.example/", SHOP, "Domain=shop.example, and a request came to the host 'other.example'"),
        ("http://localhost:8000/", SHOP, "the host 'localhost:8000'"),
        ("http://myshop.example/", SHOP, "the host 'myshop.example'"),
        ("http://127.0.0.1/", {"cookie_domain": "0.0.1"}, "the host '127.0.0.1'"),
        ("http://[::1]:80/", SHOP, "the host '[::1]:80'"),
        ("http://shop.example/", {"cookie_domain": "www.shop.example"}, "the host 'shop.example'"),
        ("http://shop.example/", APP, "Path=/app, and is set by a page at '/'"),
        ("http://shop.example/application", APP, "at '/application'"),
        ("http://shop.example/APP", APP, "at '/APP'"),
        ("http://shop.example/app", {"cookie_path": "/app/"}, "at '/app'"),
    ],
)
@pytest.mark.parametrize("store", [None, "memory://"])
def test_a_cookie_that_cannot_come_back_is_told_once(
    url: str, settings: dict[str, Any], words: str, store: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    (message,) = told(caplog, url, {**settings, "store": store})
    assert words in message


@pytest.mark.parametrize(
    ("url", "settings"),
    [
        ("https://shop.example/", SECURE),
        *[(f"http://{host}/", SECURE) for host in ("localhost", "LOCALHOST:8000", "localhost.", "a.localhost:1")],
        *[(f"http://{host}/", SECURE) for host in ("127.0.0.1", "127.0.0.1:8000", "127.1.2.3", "[::1]", "[::1]:8000")],
        ("http://shop.example/", {"cookie_secure": "auto"}),
        ("http://shop.example/", {"cookie_secure": False}),
        *[(f"http://{host}/", SHOP) for host in ("shop.example", "shop.example:8000", "SHOP.Example", "shop.example.")],
        *[(f"http://{host}/", SHOP) for host in ("www.shop.example", "a.b.shop.example:80", "my_host.shop.example")],
        ("http://shop.example/", {"cookie_domain": ".Shop.Example"}),
        ("http://127.0.0.1:8000/", {"cookie_domain": "127.0.0.1"}),
        *[(f"http://shop.example{path}", APP) for path in ("/app", "/app/", "/app/deep/page")],
        *[(f"http://shop.example{path}", {"cookie_path": "/app/"}) for path in ("/app/", "/app/deep")],
        ("http://shop.example/anything", {"cookie_path": "/"}),
    ],
)
def test_a_cookie_that_comes_back_is_not_told_of(
    url: str, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    assert told(caplog, url, settings) == []


@pytest.mark.parametrize(
    ("settings", "headers"),
    [
        (SECURE, {"HTTP_X_FORWARDED_PROTO": "https"}),
        (SECURE, {"HTTP_X_FORWARDED_PROTO": "HTTPS, http"}),
        (SHOP, {"HTTP_X_FORWARDED_HOST": "www.shop.example"}),
        (SHOP, {"HTTP_X_FORWARDED_HOST": "cdn.example, Shop.Example:443"}),
        (APP, {"HTTP_X_FORWARDED_PREFIX": "/app"}),
        (APP, {"HTTP_X_FORWARDED_PREFIX": "/app/"}),
        (APP, {"SCRIPT_NAME": "/app"}),
    ],
)
def test_what_is_right_in_front_of_a_proxy_is_not_told_of(
    settings: dict[str, Any], headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    assert told(caplog, "http://10.0.0.5:8000/page", settings, **headers) == []


def test_a_header_of_a_client_raises_no_alarm(caplog: pytest.LogCaptureFixture) -> None:
    forged = {"HTTP_X_FORWARDED_PROTO": "http", "HTTP_X_FORWARDED_HOST": "evil", "HTTP_X_FORWARDED_PREFIX": "/evil"}
    assert told(caplog, "https://shop.example/app", {**SHOP, **APP, **SECURE}, **forged) == []


def test_each_reason_is_told_once_and_by_each_manager(caplog: pytest.LogCaptureFixture) -> None:
    settings = {**SHOP, **APP, **SECURE}
    assert len(told(caplog, "http://other.example/", settings)) == 3
    assert len(told(caplog, "http://other.example/", settings)) == 6


def test_threads_that_come_at_once_tell_it_once(caplog: pytest.LogCaptureFixture) -> None:
    sessions, start = SessionManager(KEY, **SECURE), Barrier(8)

    def respond() -> None:
        session = sessions.open(environ_of(HTTP_HOST="shop.example"))
        write(session)
        start.wait()
        sessions.commit(session)

    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(respond) for _ in range(8)]:
            done.result(10)
    assert len(caplog.records) == 1


def test_a_page_that_sets_no_cookie_is_not_told_of(caplog: pytest.LogCaptureFixture) -> None:
    app = SessionMiddleware(page(len), secret_key=KEY, cookie_path="/app")
    visit(app)
    assert not caplog.records


@pytest.mark.parametrize("environ", [{}, {"HTTP_COOKIE": "a=1"}])
def test_without_a_request_nothing_is_known(environ: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    sessions = SessionManager(KEY, **SHOP, **APP, **SECURE)
    session = sessions.open(environ)
    write(session)
    assert len(sessions.commit(session)) == 2
    assert not caplog.records


def test_a_long_host_or_path_is_cut_and_has_no_line_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    told(caplog, f"http://{'a' * 9000}\nERROR/{'b' * 9000}\nERROR", {**SHOP, **APP})
    assert len(caplog.records) == 2
    assert all(len(record.getMessage()) < 500 and "\n" not in record.getMessage() for record in caplog.records)


# Size


@pytest.mark.parametrize(("size", "is_told"), [(3300, False), (3520, True), (3900, True)])
@pytest.mark.parametrize("encrypt", [False, True])
def test_a_cookie_that_is_large_for_proxies_is_told_once(
    size: int, is_told: bool, encrypt: bool, caplog: pytest.LogCaptureFixture
) -> None:
    if encrypt:
        pytest.importorskip("cryptography")
    sessions, sent = SessionManager(KEY, encrypt=encrypt), 0
    for length in range(2000, 5000, 20):
        session = sessions.open({})
        session["text"] = NOISE[:length]
        sent = len(dict(sessions.commit(session))["Set-Cookie"].partition(";")[0]) - 1
        if sent > size:
            break
    assert len(caplog.records) == is_told
    if is_told:
        assert re.search(r"a session cookie of 3[5-9]\d\d bytes is sent", caplog.text)


def test_a_stored_session_of_any_size_is_not_told_of(caplog: pytest.LogCaptureFixture) -> None:
    sessions = SessionManager(store="memory://")
    session = sessions.open({})
    session["text"] = NOISE
    sessions.commit(session)
    assert not caplog.records


# Cookies of other settings


def opened(token: str, **settings: Any) -> None:
    assert SessionManager(KEY, **settings).open({"HTTP_COOKIE": f"session={token}"}) == {}


@pytest.mark.parametrize(
    ("made_with", "settings", "words"),
    [
        ({"digest": "sha256"}, {}, "with digest='sha256'"),
        ({}, {"digest": "sha512"}, "with digest='sha1'"),
        ({}, {"salt": "of-mine"}, "with the salt 'cookie-session'"),
        ({"encrypt": True}, {}, "with encrypt=True"),
        ({"encrypt": True}, {"store": "memory://"}, "with encrypt=True"),
        ({}, {"encrypt": True}, "with digest='sha1', in sessions that are only signed"),
        ({}, {"store": "memory://"}, "with digest='sha1', in sessions that are only signed"),
    ],
)
def test_a_cookie_that_is_authentic_under_another_setting_is_told_of(
    made_with: dict[str, Any], settings: dict[str, Any], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    if "encrypt" in {**made_with, **settings}:
        pytest.importorskip("cryptography")
    opened(token_of({"a": 1}, **made_with), **settings)
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert f"authentic {words};" in record.getMessage()


def test_a_cookie_of_a_fallback_key_and_another_setting_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    opened(token_of({"a": 1}, OTHER_KEY, digest="sha256"), secret_key_fallbacks=[OTHER_KEY])
    assert "authentic with digest='sha256'" in caplog.text


@pytest.mark.parametrize("settings", [{}, {"encrypt": True}, {"store": "memory://"}, {"salt": "of-mine"}])
@pytest.mark.parametrize(
    "token",
    [
        *["", "crumbs", "A" * 43, "A.B.C", "." * 4000, "é", "\ud800", "\x00", "A" * 60_000],
        token_of({"a": 1}, OTHER_KEY),
        token_of({"a": 1}, digest="sha256")[:-1],
        token_of({"a": 1})[:-1] + "_",
    ],
    ids=range(12),
)
def test_what_anyone_can_send_is_told_at_info_at_most(
    token: str, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    if "encrypt" in settings:
        pytest.importorskip("cryptography")
    caplog.set_level(logging.DEBUG, logger="session_mw")
    opened(token, **settings)
    assert all(record.levelno <= logging.INFO for record in caplog.records)


class Others:
    """Settings that tokens are tried with, counted."""

    def __init__(self) -> None:
        self.looks = 0
        self.error: Exception | None = None

    def __call__(self) -> list[tuple[str, SignedCodec]]:
        self.looks += 1
        if self.error is not None:
            raise self.error
        return [("with digest='sha256'", SignedCodec(KEY.encode(), [], digest="sha256"))]


@pytest.fixture
def others() -> Others:
    return Others()


@pytest.fixture
def looking(others: Others) -> Notices:
    attributes = {"domain": None, "path": "/", "secure": "auto", "httponly": True, "samesite": "Lax"}
    return Notices(SessionCookie("session", **attributes, partitioned=False), others)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Moves the clock of the package's notices."""
    now = SimpleNamespace(seconds=5.0)
    monkeypatch.setattr(notices, "time", SimpleNamespace(monotonic=lambda: now.seconds))

    def move(seconds: float) -> None:
        now.seconds += seconds

    return move


def test_tokens_are_tried_once_a_minute_at_most(looking: Notices, others: Others, later: Any) -> None:
    for _ in range(1000):
        looking.rejected(token_of({"a": 1}, OTHER_KEY))
    assert others.looks == 1
    later(59)
    looking.rejected("crumbs")
    assert others.looks == 1
    later(2)
    looking.rejected("crumbs")
    assert others.looks == 2


def test_once_a_setting_is_told_nothing_is_tried_any_more(
    looking: Notices, others: Others, later: Any, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        looking.rejected(token_of({"a": 1}, digest="sha256"))
        later(100)
    assert (others.looks, len(caplog.records)) == (1, 1)


def test_whatever_goes_wrong_while_a_token_is_tried_is_not_raised(
    looking: Notices, others: Others, caplog: pytest.LogCaptureFixture
) -> None:
    others.error = RuntimeError("broken")
    looking.rejected("crumbs")
    assert others.looks == 1
    assert not caplog.records


def test_a_request_with_a_foreign_cookie_costs_no_second_look(caplog: pytest.LogCaptureFixture) -> None:
    sessions = SessionManager(KEY)
    for _ in range(3):
        session = sessions.open(environ_of(cookie=f"session={token_of({'a': 1}, digest='sha256')}"))
        assert session == {}
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1
