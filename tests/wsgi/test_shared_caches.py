"""A response that sets the session's cookie is kept from caches that would hand it to somebody else (RFC 9111)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from session_mw import MemoryStore, SessionManager, SessionMiddleware
from support.tokens import KEY, token_of
from support.wsgi import ATTRIBUTES, DELETION, PLAIN, PRIVATE, VARY, Server, behind, exc_info_of, guarded, page, visit

# Cookies are compared whole, and a token has its time in it.
pytestmark = pytest.mark.usefixtures("clock")

NO_COOKIES = 'no-cache="Set-Cookie"'


def write(session: Any) -> None:
    session["a"] = 1


def read(session: Any) -> Any:
    return session.get("a")


def empty(session: Any) -> None:
    session.clear()


def nothing(session: Any) -> None:
    """Leave the session unlooked at."""


def cookie_of(data: dict[str, Any]) -> tuple[str, str]:
    return "Set-Cookie", f"session={token_of(data)}; {ATTRIBUTES}"


@pytest.fixture
def permanent(clock: Any) -> str:
    """The cookie of a session that is refreshed by each response."""
    token = token_of({"_permanent": True})
    clock.advance(60)
    return f"session={token}"


@pytest.mark.parametrize(
    ("theirs", "sent"),
    [
        # nothing is said
        ([], ["private"]),
        ([""], ["private"]),
        ([" , ,"], ["private"]),
        # said already
        (["no-store"], ["no-store"]),
        (["No-Store"], ["No-Store"]),
        (["private"], ["private"]),
        ([" PRIVATE ,max-age=0"], [" PRIVATE ,max-age=0"]),
        (["max-age=0", "private"], ["max-age=0", "private"]),
        (["public, no-store"], ["public, no-store"]),
        (["public", "private"], ["public", "private"]),
        # something else is said
        (["max-age=60"], ["max-age=60, private"]),
        (["no-cache"], ["no-cache, private"]),
        (["max-age=60, "], ["max-age=60, private"]),
        (["max-age=60", "must-revalidate"], ["max-age=60, must-revalidate, private"]),
        (["x-private"], ["x-private, private"]),
        (["x=private"], ["x=private, private"]),
        # caches do not read a semicolon as a comma: to Apache this is one unknown directive
        (["private; max-age=0"], ["private; max-age=0, private"]),
        (["no-store=1"], ["no-store=1, private"]),
        # with an argument, private is about the fields in it alone
        (['private="X-Account"'], ['private="X-Account", private']),
        (["private=X-Account"], ["private=X-Account, private"]),
        (['private = "A, private, B"'], ['private = "A, private, B", private']),
        (['private="Set-Cookie"'], ['private="Set-Cookie", private']),
        (['note="a, no-store"'], ['note="a, no-store", private']),
        (['note="a \\", public, b"'], ['note="a \\", public, b", private']),
        (['note="public"'], ['note="public", private']),
        (['note="no end, private'], ['note="no end, private']),
        # meant for shared caches
        (["public"], [f"public, {NO_COOKIES}"]),
        (["Public , max-age=60"], [f"Public , max-age=60, {NO_COOKIES}"]),
        (["s-maxage=60"], [f"s-maxage=60, {NO_COOKIES}"]),
        (["S-MaxAge = 60"], [f"S-MaxAge = 60, {NO_COOKIES}"]),
        (['s-maxage="60"'], [f's-maxage="60", {NO_COOKIES}']),
        (["public; max-age=60"], [f"public; max-age=60, {NO_COOKIES}"]),
        (["max-age=60", "public"], [f"max-age=60, public, {NO_COOKIES}"]),
        (["public, no-cache"], [f"public, no-cache, {NO_COOKIES}"]),
        (['public, private="X-Account"'], [f'public, private="X-Account", {NO_COOKIES}']),
        # as here, but by the application itself
        (['public, no-cache="Set-Cookie"'], ['public, no-cache="Set-Cookie"']),
        (['no-cache = "a, set-cookie", public'], ['no-cache = "a, set-cookie", public']),
        (['public, private="Set-Cookie"'], ['public, private="Set-Cookie"']),
        (['public, no-cache="Set-Cookie2"'], [f'public, no-cache="Set-Cookie2", {NO_COOKIES}']),
    ],
)
@pytest.mark.parametrize("name", ["Cache-Control", "cache-control"])
def test_a_response_that_sets_the_cookie_says_who_may_keep_it(name: str, theirs: list[str], sent: list[str]) -> None:
    headers = visit(guarded(page(write, *((name, value) for value in theirs)))).headers
    said = name if sent == theirs else "Cache-Control"
    assert headers == [PLAIN, *((said, value) for value in sent), VARY, cookie_of({"a": 1})]


@pytest.mark.parametrize("value", ["max-age=60", "public", "s-maxage=1", "no-store", ""])
@pytest.mark.parametrize("do", [nothing, read])
def test_a_response_without_the_cookie_keeps_its_cache_control(value: str, do: Callable[[Any], object]) -> None:
    theirs = ("Cache-Control", value)
    headers = visit(guarded(page(do, theirs)), cookie=f"session={token_of({'a': 1})}").headers
    assert headers == [PLAIN, theirs, *([VARY] if do is read else [])]


@pytest.mark.parametrize(
    ("value", "sent"), [("max-age=60", "max-age=60, private"), ("public", f"public, {NO_COOKIES}")]
)
def test_a_deletion_is_kept_from_shared_caches_too(value: str, sent: str) -> None:
    app = guarded(page(lambda session: session.pop("a"), ("Cache-Control", value)))
    headers = visit(app, cookie=f"session={token_of({'a': 1})}").headers
    assert headers == [PLAIN, ("Cache-Control", sent), VARY, DELETION]


def test_a_log_out_with_several_deletions_says_it_once() -> None:
    answer = visit(guarded(page(empty)), path="/a/b", cookie=f"session={token_of({'a': 1})}")
    assert len(answer.cookies) > 1
    assert answer.all("Cache-Control") == ["private"]


def test_a_stored_session_that_begins_is_kept_from_shared_caches() -> None:
    answer = visit(guarded(page(write), store=MemoryStore()))
    assert answer.headers[:3] == [PLAIN, PRIVATE, VARY]


def test_a_refresh_is_private(permanent: str) -> None:
    answer = visit(guarded(page(nothing)), cookie=permanent)
    assert (len(answer.cookies), answer.all("Cache-Control")) == (1, ["private"])


@pytest.mark.parametrize("value", ["public", "s-maxage=60", "max-age=1, Public"])
@pytest.mark.parametrize("do", [nothing, read])
def test_where_a_refresh_is_left_out_nothing_is_added(
    value: str, do: Callable[[Any], object], permanent: str, caplog: pytest.LogCaptureFixture
) -> None:
    theirs = ("Cache-Control", value)
    answer = visit(guarded(page(do, theirs)), cookie=permanent)
    assert answer.headers == [PLAIN, theirs, *([VARY] if do is read else [])]
    assert not caplog.records


# Ways to answer


def test_write_sends_the_headers_of_a_private_response() -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        environ["session"]["a"] = 1
        start_response("200 OK", [PLAIN, ("Cache-Control", "max-age=60")])(b"part")
        return []

    headers = visit(guarded(app)).headers
    assert headers == [PLAIN, ("Cache-Control", "max-age=60, private"), VARY, cookie_of({"a": 1})]


def test_an_error_page_after_the_headers_is_private_as_well() -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        environ["session"]["a"] = 1
        start_response("200 OK", [PLAIN])
        yield b""
        start_response("500 Oops", [PLAIN, ("Cache-Control", "public")], exc_info_of(ValueError()))
        yield b"sorry"

    server = Server(behind(app))
    server.run()
    sent = [dict(headers)["Cache-Control"] for _, headers, *_ in server.starts]
    assert sent == ["private", f"public, {NO_COOKIES}"]
    assert all(cookie_of({"a": 1}) in headers for _, headers, *_ in server.starts)


def test_a_page_that_takes_the_place_of_another_before_the_headers_has_its_own_cache_control() -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        environ["session"]["a"] = 1
        start_response("200 OK", [PLAIN, ("Cache-Control", "public")])
        start_response("500 Oops", [PLAIN], exc_info_of(ValueError()))
        return [b"sorry"]

    assert visit(guarded(app)).headers == [PLAIN, PRIVATE, VARY, cookie_of({"a": 1})]


def test_an_adapters_response_is_private() -> None:
    sessions = SessionManager(KEY)
    session = sessions.open({})
    session["a"] = 1
    headers = sessions.respond(session, [PLAIN, ("Cache-Control", "max-age=9")])
    assert headers == [PLAIN, ("Cache-Control", "max-age=9, private"), VARY, cookie_of({"a": 1})]


def test_flask_sends_it_without_the_middleware() -> None:
    flask = pytest.importorskip("flask")
    from session_mw.adapters.flask import FlaskSessions

    app = flask.Flask(__name__)
    app.session_interface = FlaskSessions(SessionManager(KEY))

    @app.get("/<said>")
    def index(said: str) -> Any:
        flask.session["a"] = 1
        response = flask.Response("")
        response.cache_control.public = said == "public"
        return response

    client = app.test_client()
    assert client.get("/nothing").headers.getlist("Cache-Control") == ["private"]
    assert client.get("/public").headers.getlist("Cache-Control") == [f"public, {NO_COOKIES}"]


# The warning


def test_a_page_for_shared_caches_that_sets_the_cookie_is_told_once_with_its_path(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = SessionMiddleware(page(write, ("Cache-Control", "public")), secret_key=KEY)
    for path in ("/news", "/other"):
        visit(app, path, SCRIPT_NAME="/shop")
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("session_mw", logging.WARNING)
    assert "'/shop/news'" in record.getMessage()
    visit(SessionMiddleware(page(write, ("Cache-Control", "s-maxage=1")), secret_key=KEY))
    assert len(caplog.records) == 2


@pytest.mark.parametrize("value", ["private", "no-store", "max-age=60", 'public, no-cache="Set-Cookie"'])
def test_a_page_that_needs_no_change_is_not_told_of(value: str, caplog: pytest.LogCaptureFixture) -> None:
    visit(guarded(page(write, ("Cache-Control", value))))
    assert not caplog.records


def test_of_a_long_path_no_more_than_its_beginning_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    visit(guarded(page(write, ("Cache-Control", "public"))), "/" + "a\n" * 5000)
    assert len(caplog.text) < 1500
    assert caplog.text.count("\n") == 1
