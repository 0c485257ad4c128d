"""safe_redirect and login_required."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from session_mw import ConfigurationError, MissingSession, SessionMiddleware
from session_mw.login import LoginMiddleware, get_login, login_required, safe_redirect
from support.clock import Clock
from support.logins import Browser, Users
from support.wsgi import KEY, PLAIN, environ_of, visit

REFUSED = """
    //evil.com ///evil.com ////evil.com /\\evil.com \\/evil.com \\\\evil.com /\\/evil.com https:evil.com https://evil.com
    http://example.com/ https:/evil.com http:///evil.com javascript:alert(1) JavaScript:alert(1) data:text/html,x
    vbscript:x mailto:x@evil.com evil.com evil.com/ ./a ../a a ?a=1 #a . .. @evil.com :80 /a//evil.com /.//evil.com
    /a/..//evil.com //evil.com@example.com //example.com //[::1]/ /a\\b /%2e\\evil
    /%2f%2fevil.com /%2F/evil.com /%2fevil.com /%5cevil.com /%5C%5Cevil.com /a%2f%2fevil.com /..%2f%2fevil.com
    /%09/evil.com /%0d%0aX:1 /a%00b /%7f
""".split()
TRICKS = [
    "",
    " ",
    " /a",
    "/ /evil.com",
    "/a ",
    "/\t/evil.com",
    "\t//evil.com",
    "/\n/evil.com",
    "/a\r\nX:1",
    "/a\nSet-Cookie: x=1",
    "/\x00/evil.com",
    "\x00/a",
    "/\x0b/evil.com",
    "/a\x7f",
    "/a\x85b",
    "/\xa0/evil.com",
    "/\u2028/evil.com",
    "/\u3000/evil.com",
    "/\u200b/evil.com",
    "/\ufeff/evil.com",
    "/\u202ea",
    "\ufeff/a",
    "/\ud800",
    "/\ue000",
]


@pytest.mark.parametrize("target", [*REFUSED, *TRICKS, None, b"/a", 5, ["/a"], object()])
def test_what_may_lead_to_another_host_gives_the_default(target: Any) -> None:
    assert safe_redirect(environ_of(), target, "/home") == "/home"
    assert safe_redirect(environ_of(), target) == "/"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/", "/"),
        ("/a/b", "/a/b"),
        ("/a/?b=c&d=%20e", "/a/?b=c&d=%20e"),
        ("/a?next=https://example.com//x", "/a?next=https://example.com//x"),
        ("/a#b", "/a#b"),
        ("/a:b@c", "/a:b@c"),
        ("/a%2Fb%20c/%e2%82%ac", "/a%2Fb%20c/%e2%82%ac"),
        ("/a?next=%2F%2Fexample.com&b=%0A%5C", "/a?next=%2F%2Fexample.com&b=%0A%5C"),
        ("/%252f%252fevil.com", "/%252f%252fevil.com"),
        ("/%", "/%"),
        ("/café", "/caf%C3%A9"),
        ("/日本?q=語", "/%E6%97%A5%E6%9C%AC?q=%E8%AA%9E"),
        ('/a"<b>', "/a%22%3Cb%3E"),
    ],
)
def test_a_path_on_this_host_is_kept(target: str, expected: str) -> None:
    assert safe_redirect(environ_of(), target) == expected


@given(st.one_of(st.text(), st.text("/\\:@.?#\t\r\n evil.com%2f;"), st.text().map("/".__add__)))
@settings(deadline=None)
@example("/\\evil.com")
@example("/;@evil.com")
def test_no_target_leaves_the_host_or_breaks_the_header(target: str) -> None:
    found = safe_redirect({}, target, "/default")
    assert found.isascii()
    assert found.isprintable()
    assert " " not in found
    assert found.startswith("/")
    # As browsers read it: a backslash is a slash, tabs and line breaks are left out.
    for base in ("https://example.com/login", "http://example.com:8080/a/b?c"):
        seen = urlsplit(urljoin(base, found.replace("\\", "/")))
        assert (seen.scheme, seen.netloc) == urlsplit(base)[:2]
    assert safe_redirect({}, found, "/other") == found


class Guarded:
    """An app of which each path is guarded in its own way; /in, /confirm and /out are open."""

    def __init__(self, login_url: str = "/login", store: Any = None, **options: Any) -> None:
        def shown(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            login = get_login(environ)
            {"/in": lambda: login.log_in("42", remember=True), "/confirm": login.confirm}.get(
                environ["PATH_INFO"], lambda: None
            )()
            start_response("200 OK", [PLAIN])
            return [b"passed"]

        guards = {
            "/fresh": login_required(shown, fresh=True),
            "/recent": login_required(shown, fresh_for=timedelta(minutes=15)),
            "/in": shown,
        }
        required = login_required(shown)

        def app(environ: dict[str, Any], start_response: Any) -> Any:
            return guards.get(environ["PATH_INFO"], required)(environ, start_response)

        self.users = Users("42")
        self.app = SessionMiddleware(
            LoginMiddleware(app, load_user=self.users.load, login_url=login_url, **options), KEY, store=store
        )

    def browser(self) -> Browser:
        return Browser(self.app)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_anybody_anonymous_is_sent_to_the_log_in_page_and_comes_back(method: str) -> None:
    answer = visit(Guarded().app, "/a b/ü".encode().decode("latin-1"), QUERY_STRING="x=1&y=%20z", REQUEST_METHOD=method)
    assert answer.status == "303 See Other"
    (location,) = answer.all("Location")
    assert location == "/login?next=/a%2520b/%25C3%25BC%3Fx%3D1%26y%3D%2520z"
    (target,) = parse_qs(urlsplit(location).query)["next"]
    assert target == "/a%20b/%C3%BC?x=1&y=%20z"
    assert safe_redirect({}, target) == target
    assert (answer.body == b"") == (method == "HEAD")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "ODD"])
def test_any_other_method_is_answered_with_401(method: str) -> None:
    answer = visit(Guarded().app, "/a", REQUEST_METHOD=method)
    assert answer.status.startswith("401 ")
    assert answer.all("WWW-Authenticate") == ["Cookie"]
    assert answer.all("Location") == []


def test_next_has_the_script_name_in_it_and_the_login_url_stands_as_it_is_given() -> None:
    answer = visit(Guarded("https://id.example.com/login?lang=en#form").app, "/a", SCRIPT_NAME="/app")
    assert answer.all("Location") == ["https://id.example.com/login?lang=en&next=/app/a#form"]


def test_next_is_no_place_for_other_hosts_and_headers() -> None:
    for path in ("//evil.com", "/a\r\nX: 1", "/\\evil.com", "/\xff"):
        (location,) = visit(Guarded().app, path).all("Location")
        assert location.startswith("/login?next=/")
        assert location.isprintable()
        (target,) = parse_qs(urlsplit(location).query)["next"]
        assert urlsplit(urljoin("http://example.com", safe_redirect({}, target))).netloc == "example.com"


@pytest.mark.parametrize("store", [None, "memory://"])
def test_a_fresh_page_lets_nobody_in_whom_the_remember_cookie_brought_back(store: str | None) -> None:
    browser = Guarded(store=store).browser()
    browser.get("/in")
    assert browser.get("/fresh").body == b"passed"
    browser.restart()
    assert browser.get("/a").body == b"passed"
    assert browser.get("/fresh").all("Location") == ["/login?next=/fresh"]
    assert browser.get("/fresh", REQUEST_METHOD="POST").status.startswith("401 ")
    browser.get("/confirm")
    assert browser.get("/fresh").body == b"passed"


def test_fresh_for_lets_nobody_in_who_gave_the_password_too_long_ago(clock: Clock) -> None:
    browser = Guarded().browser()
    browser.get("/in")
    clock.advance(900)
    assert browser.get("/recent").body == b"passed"
    clock.advance(1)
    assert browser.get("/recent").status == "303 See Other"
    assert browser.get("/fresh").body == b"passed"
    browser.get("/confirm")
    assert browser.get("/recent").body == b"passed"


def test_a_deleted_user_does_not_pass() -> None:
    site = Guarded()
    browser = site.browser()
    browser.get("/in")
    site.users.clear()
    assert browser.get("/a").status == "303 See Other"


@pytest.mark.parametrize("options", [{"fresh": "yes"}, {"fresh_for": 0}, {"fresh_for": "15 min"}, {"fresh_for": True}])
def test_a_wrong_setting_is_an_error_when_it_is_built(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        login_required(Guarded().app, **options)


def test_without_the_login_middleware_the_error_says_what_to_wrap() -> None:
    with pytest.raises(MissingSession, match="LoginMiddleware"):
        visit(SessionMiddleware(login_required(Guarded().app), KEY))
