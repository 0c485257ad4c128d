"""The application's headers and the session's, put together."""

from __future__ import annotations

import logging

import pytest

from session_mw import MemoryStore, SessionMiddleware
from support.tokens import KEY, read, token_of
from support.wsgi import PLAIN, Server, guarded, page, visit


def nothing(session):
    pass


def write(session):
    session["a"] = 1


def empty(session):
    session.clear()


# Vary (RFC 9110 §12.5.5)


@pytest.mark.parametrize(
    ("theirs", "merged"),
    [
        ([], "Cookie"),
        (["Accept-Encoding"], "Accept-Encoding, Cookie"),
        (["Accept-Encoding, Accept"], "Accept-Encoding, Accept, Cookie"),
        (["Accept", "Accept-Language"], "Accept, Accept-Language, Cookie"),
        (["Cookie"], "Cookie"),
        (["cookie"], "cookie"),
        (["Accept, COOKIE"], "Accept, COOKIE"),
        (["Accept", "accept, Cookie"], "Accept, Cookie"),
        (["*"], "*"),
        ([" * "], "*"),
        ([""], "Cookie"),
        ([" , ,"], "Cookie"),
        (["X-Cookie"], "X-Cookie, Cookie"),
        (["Cookie2"], "Cookie2, Cookie"),
    ],
)
@pytest.mark.parametrize("do", [len, write])
def test_vary_is_merged_into_one_header(theirs, merged, do):
    answer = visit(guarded(page(do, *(("Vary", value) for value in theirs))))
    assert answer.vary == [merged]


@pytest.mark.parametrize("theirs", [["Accept", "*"], ["*", "Accept"], ["Accept, *"]])
def test_where_a_star_is_among_the_values_nothing_is_added(theirs):
    (merged,) = visit(guarded(page(len, *(("Vary", value) for value in theirs)))).vary
    assert sorted(merged.split(", ")) == ["*", "Accept"]


@pytest.mark.parametrize("name", ["vary", "VARY", "vArY"])
def test_varys_name_is_merged_in_any_case(name):
    assert visit(guarded(page(len, (name, "Accept")))).vary == ["Accept, Cookie"]


@pytest.mark.parametrize("theirs", [["Accept", "Accept-Language"], ["*"], ["cookie"], []])
def test_an_untouched_session_leaves_vary_as_it_is(theirs):
    headers = [("Vary", value) for value in theirs]
    assert visit(guarded(page(nothing, *headers))).headers == [PLAIN, *headers]


def test_headers_of_a_similar_name_stay():
    headers = [("X-Vary", "Accept"), ("Vary-X", "b")]
    assert visit(guarded(page(len, *headers))).headers == [PLAIN, *headers, ("Vary", "Cookie")]


# Cache-Control (RFC 9111)

SHARED = ["public", "Public, max-age=60", "max-age=60,public", "s-maxage=60", "S-MAXAGE = 60", "private, public"]
NOT_SHARED = ["private", "no-store", "max-age=60", "x-public", "public-ish", "xs-maxage=1", ""]


@pytest.fixture
def permanent(clock):
    token = token_of({"_permanent": True})
    clock.advance(60)
    return f"session={token}"


@pytest.mark.parametrize("value", SHARED)
def test_a_refresh_is_left_out_of_what_shared_caches_keep(value, permanent):
    answer = visit(guarded(page(nothing, ("cache-control", value))), cookie=permanent)
    assert answer.headers == [PLAIN, ("cache-control", value)]


@pytest.mark.parametrize("value", SHARED)
def test_what_was_read_varies_though_its_refresh_is_left_out(value, permanent):
    answer = visit(guarded(page(len, ("Cache-Control", value))), cookie=permanent)
    assert (answer.cookies, answer.vary) == ([], ["Cookie"])


@pytest.mark.parametrize("value", NOT_SHARED)
def test_a_refresh_stays_where_only_the_visitors_browser_may_keep_the_response(value, permanent):
    answer = visit(guarded(page(nothing, ("Cache-Control", value))), cookie=permanent)
    assert (len(answer.cookies), answer.vary) == (1, ["Cookie"])


def test_one_of_several_cache_controls_is_enough(permanent):
    answer = visit(
        guarded(page(nothing, ("Cache-Control", "max-age=1"), ("Cache-Control", "public"))), cookie=permanent
    )
    assert answer.cookies == []


@pytest.mark.parametrize("do", [write, empty, lambda s: s["cart"].append(1), lambda s: setattr(s, "modified", True)])
def test_a_change_is_sent_whatever_caches_are_told(do, clock):
    token = token_of({"_permanent": True, "cart": []})
    answer = visit(guarded(page(do, ("Cache-Control", "public"))), cookie=f"session={token}")
    assert (len(answer.cookies), answer.vary) == (1, ["Cookie"])


def test_a_stored_refresh_is_left_out_too(clock):
    visitor_app = guarded(page(lambda s: setattr(s, "permanent", True)), store=(store := MemoryStore()))
    token = visit(visitor_app).token
    clock.advance(40 * 86400 // 10)
    answer = visit(guarded(page(len, ("Cache-Control", "public")), store=store), cookie=f"session={token}")
    assert (answer.cookies, answer.vary) == ([], ["Cookie"])


def test_an_error_page_after_the_headers_obeys_its_own_cache_control(permanent):
    """What the first page's headers left out, the page that takes its place may send."""

    def app(environ, start_response):
        start_response("200 OK", [PLAIN, ("Cache-Control", "public")])
        return stream(start_response)

    def stream(start_response):
        try:
            raise ZeroDivisionError
        except ZeroDivisionError as error:
            start_response("500 Oops", [PLAIN], (type(error), error, error.__traceback__))
        yield b"sorry"

    answer = visit(guarded(app), cookie=permanent)
    assert (answer.status, len(answer.cookies)) == ("500 Oops", 1)


# The application's own cookies

SAME_NAME = [
    "session=theirs",
    "session=theirs; Path=/",
    "session=",
    " session = theirs",
    "session",
    "session ;x",
    "session=a=b; Path=/",
]
OTHERS = ["other=session", "sessions=1; Path=/", "SESSION=1", "xsession=1", "a=1; session=2", "=session"]


@pytest.mark.parametrize("duplicate", SAME_NAME)
@pytest.mark.parametrize("name", ["Set-Cookie", "set-cookie"])
def test_the_sessions_cookie_takes_the_place_of_the_apps(duplicate, name, caplog):
    answer = visit(guarded(page(write, (name, duplicate), ("Set-Cookie", "other=1"))))
    ours, other = sorted(answer.cookies, key=lambda cookie: cookie.startswith("other"))
    assert other == "other=1"
    assert read(ours.partition("=")[2].partition(";")[0]) == {"a": 1}
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "takes its place" in record.getMessage()
    assert "theirs" not in record.getMessage()


@pytest.mark.parametrize("duplicate", SAME_NAME)
@pytest.mark.parametrize("do", [nothing, len])
def test_where_the_session_is_not_sent_the_apps_cookie_passes(duplicate, do, caplog):
    answer = visit(guarded(page(do, ("Set-Cookie", duplicate))))
    assert answer.cookies == [duplicate]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("do", [nothing, write])
def test_cookies_of_other_names_pass_without_a_word(other, do, caplog):
    assert visit(guarded(page(do, ("Set-Cookie", other)))).cookies[0] == other
    assert not caplog.records


def test_a_deletion_takes_the_place_of_the_apps_cookie(caplog):
    answer = visit(guarded(page(empty, ("Set-Cookie", "session=theirs"))), cookie=f"session={token_of({'a': 1})}")
    (only,) = answer.cookies
    assert only.startswith("session=; ")
    assert "takes its place" in caplog.text


def test_where_a_refresh_is_left_out_the_apps_cookie_passes(permanent, caplog):
    answer = visit(guarded(page(nothing, ("Cache-Control", "public"), ("Set-Cookie", "session=1"))), cookie=permanent)
    assert answer.cookies == ["session=1"]


def test_several_cookies_of_the_name_give_way_together():
    answer = visit(guarded(page(write, ("Set-Cookie", "session=1"), ("Set-Cookie", "session=2; Path=/x"))))
    assert len(answer.cookies) == 1
    assert read(answer.token) == {"a": 1}


def test_a_session_of_another_name_leaves_session_alone(caplog):
    answer = visit(guarded(page(write, ("Set-Cookie", "session=theirs")), cookie_name="mine"))
    assert [cookie.partition("=")[0] for cookie in answer.cookies] == ["session", "mine"]
    assert not caplog.records


# The list


def test_one_list_for_all_responses_stays_as_it_is():
    headers = [PLAIN, ("Vary", "Accept"), ("Set-Cookie", "session=x")]
    before = list(headers)

    def app(environ, start_response):
        if environ["PATH_INFO"] == "/alice":
            environ["session"]["who"] = "alice"
        start_response("200 OK", headers)
        return [b""]

    app = guarded(app)
    assert read(visit(app, "/alice").token) == {"who": "alice"}
    assert visit(app, "/bob").headers == before
    assert headers == before


def test_a_server_may_change_the_list_that_it_gets():
    headers = [PLAIN]

    def app(environ, start_response):
        environ["session"]["a"] = 1
        start_response("200 OK", headers)
        return [b""]

    server = Server(SessionMiddleware(app, secret_key=KEY))
    server.run()
    server.starts[0][1].clear()
    assert headers == [PLAIN]


def test_order_and_repetition_of_the_apps_headers_stay():
    headers = [("X-B", "2"), ("X-A", "1"), ("X-B", "2"), ("Set-Cookie", "z=1"), ("Set-Cookie", "y=1")]
    answer = visit(guarded(page(write, *headers)))
    assert answer.headers[: 1 + len(headers)] == [PLAIN, *headers]
    assert [name for name, _ in answer.headers[1 + len(headers) :]] == ["Cache-Control", "Vary", "Set-Cookie"]


@pytest.mark.parametrize("text", ["\r\nX-Evil: 1", "\x00", "é", "; Domain=evil", "\ud800", "日本"])
def test_no_byte_outside_printable_ascii_stands_in_our_headers(text):
    try:
        answer = visit(guarded(page(lambda s: s.update({"k" + text: text}))))
    except TypeError:
        return  # what cannot be written is told, and nothing was sent
    assert all(value.isascii() and value.isprintable() for _, value in answer.headers)
    assert read(answer.token) == {"k" + text: text}
