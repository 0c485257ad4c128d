"""CSRF tokens, the check, and the middleware."""

from __future__ import annotations

import io
import logging

import pytest

from session_mw.csrf import CSRFMiddleware, check_csrf, csrf_secret, csrf_token, new_csrf_secret
from support.csrf_requests import FORM, MULTIPART, form, multipart, request


@pytest.fixture
def session():
    session = {}
    csrf_token(session)
    return session


# Tokens


def test_each_page_gets_another_token_and_all_are_good(session):
    tokens = {csrf_token(session) for _ in range(20)}

    assert len(tokens) == 20
    assert all(check_csrf(request(), session, token) for token in tokens)


def test_a_token_needs_no_escaping_and_never_shows_the_secret(session):
    tokens = [csrf_token(session) for _ in range(20)]

    assert all(len(token) == 88 and token.replace("-", "a").replace("_", "a").isalnum() for token in tokens)
    assert not any(session["_csrf_token"] in token for token in tokens)


def test_making_a_token_writes_only_where_there_is_no_secret(session):
    before = dict(session)
    csrf_token(session)

    assert list(session) == ["_csrf_token"]
    assert session == before


def test_the_raw_secret_is_accepted_too(session):
    assert csrf_secret(session) == csrf_secret(session) == session["_csrf_token"]
    assert check_csrf(request(), session, csrf_secret(session))


def test_a_renewed_secret_ends_the_tokens_of_the_former(session):
    former = [csrf_token(session), csrf_secret(session)]
    new_csrf_secret(session)

    assert not any(check_csrf(request(), session, token) for token in former)
    assert check_csrf(request(), session, csrf_token(session))


def test_two_sessions_have_different_secrets():
    one, two = {}, {}

    assert csrf_secret(one) != csrf_secret(two)
    assert not check_csrf(request(), one, csrf_token(two))
    assert not check_csrf(request(), one, csrf_secret(two))


@pytest.mark.parametrize(
    "odd", [None, "", "x", 5, b"A" * 44, "é" * 44, "A" * 43, "A" * 45, "A" * 44 + "\n", ["A" * 44]]
)
def test_an_ill_shaped_secret_in_the_session_fits_nothing_and_is_replaced(odd):
    session = {"_csrf_token": odd}

    assert not check_csrf(request(HTTP_X_CSRF_TOKEN=odd), session)
    assert not check_csrf(request(), session, odd)
    assert check_csrf(request(), session, csrf_token(session))


# The token is always required


@pytest.mark.parametrize("make_token", [csrf_token, csrf_secret])
def test_any_changed_character_is_a_refusal(session, make_token):
    token = make_token(session)
    changed = [token[:at] + ("A" if old != "A" else "B") + token[at + 1 :] for at, old in enumerate(token)]

    assert not any(check_csrf(request(), session, other) for other in changed)


@pytest.mark.parametrize(
    "change", [lambda t: t[:-1], lambda t: t + "A", lambda t: t + "=", lambda t: t + "\n", lambda t: " " + t]
)
def test_a_longer_or_shorter_token_is_a_refusal(session, change):
    assert not check_csrf(request(), session, change(csrf_token(session)))
    assert not check_csrf(request(), session, change(csrf_secret(session)))


@pytest.mark.parametrize(
    "bad",
    [
        None,
        "",
        "x",
        "é",
        "\ud800",
        "é" * 88,
        "\0" * 88,
        "=" * 88,
        "A" * 88,
        "A" * 10**6,
        "A" * 44,
        b"",
        b"A" * 88,
        0,
        5,
        True,
        1.5,
        [],
        ["x"],
        (),
        {},
        {"x": 1},
        object(),
        float("nan"),
    ],
    ids=lambda bad: repr(bad)[:20],
)
def test_bad_input_of_any_type_is_a_refusal(session, bad):
    assert check_csrf(request(), session, bad) is False
    assert check_csrf(request(HTTP_X_CSRF_TOKEN=bad), session) is False


def test_the_right_token_in_a_list_or_as_bytes_is_a_refusal(session):
    token = csrf_token(session)

    assert not any(check_csrf(request(), session, bad) for bad in ([token], (token,), {token: token}, token.encode()))


@pytest.mark.parametrize(
    "session", [None, {}, "", "session", 5, [], object()], ids=lambda session: type(session).__name__
)
def test_a_request_without_a_session_is_refused(session):
    assert check_csrf(request(HTTP_X_CSRF_TOKEN="A" * 88), session, "A" * 88) is False


def test_an_empty_environ_is_refused_and_the_token_suffices_to_pass(session):
    assert not check_csrf({}, session)
    assert check_csrf({}, session, csrf_token(session))


def test_the_header_decides_before_the_form(session):
    token = csrf_token(session)

    assert check_csrf(request(form("wrong"), HTTP_X_CSRF_TOKEN=token), session)
    assert not check_csrf(request(form(token), HTTP_X_CSRF_TOKEN="wrong"), session)
    assert check_csrf(request(form(token), HTTP_X_CSRF_TOKEN=""), session)
    assert not check_csrf(request(form(token), HTTP_X_CSRF_TOKEN=token), session, "wrong")


# Where the request comes from


@pytest.mark.parametrize("value", ["cross-site", "Cross-Site", " cross-site ", "same-origin, cross-site"])
def test_a_cross_site_request_is_refused_with_the_right_token(session, value):
    assert not check_csrf(request(HTTP_SEC_FETCH_SITE=value), session, csrf_token(session))


@pytest.mark.parametrize("value", ["same-origin", "same-site", "none", "", "a word of the future"])
def test_other_words_of_the_browser_leave_it_to_the_token(session, value):
    environ = request(HTTP_SEC_FETCH_SITE=value)

    assert check_csrf(environ, session, csrf_token(session))
    assert not check_csrf(environ, session)


FOREIGN = [
    "null",
    "",
    " ",
    "shop.example",
    "//shop.example",
    "http:shop.example",
    "http:/shop.example",
    "http://",
    "https://shop.example",
    "http://shop.example:8080",
    "http://shop.example:443",
    "http://shop.example:x",
    "http://shop.example:80:80",
    "http://shop.example:-80",
    "http://shop.example:\u0668\u0660",
    "http://shop.example.",
    "http://shop.example.evil.com",
    "http://sub.shop.example",
    "http://evilshop.example",
    "http://shop.example@evil.com",
    "http://evil.com@shop.example",
    "http://shop.example\\@evil.com",
    "http://evil.com\\.shop.example",
    "http://shop.example http://evil.com",
    "http://evil.com http://shop.example",
    "http://shop.example, http://evil.com",
    "http://shop.example\n",
    "\thttp://shop.example",
    "http://shop.example\0.evil.com",
    "http://[shop.example]",
    "http://[::1",
    "http://sh\u00f6p.example",
    "about:blank",
    "javascript:alert(1)",
    "\ud800",
    b"http://shop.example",
    5,
    None,
    ["http://shop.example"],
]


@pytest.mark.parametrize("value", FOREIGN, ids=repr)
@pytest.mark.parametrize("header", ["HTTP_ORIGIN", "HTTP_REFERER"])
def test_a_foreign_or_malformed_origin_or_referer_is_refused(session, header, value):
    environ = request(HTTP_SEC_FETCH_SITE="same-origin") | {header: value}

    assert not check_csrf(environ, session, csrf_token(session))


@pytest.mark.parametrize(
    "value", ["http://shop.example", "http://shop.example:80", "HTTP://SHOP.example:", "http://shop.example:080"]
)
@pytest.mark.parametrize("host", ["shop.example", "shop.example:80", "Shop.Example:"])
def test_the_same_origin_in_another_spelling_passes(session, value, host):
    environ = request(HTTP_HOST=host, HTTP_ORIGIN=value, HTTP_REFERER=f"{value}/cart?next=http://evil.com#@evil.com")

    assert check_csrf(environ, session, csrf_token(session))


@pytest.mark.parametrize("tail", ["", "/", "?a=b", "#x", "/a@b", "/%20\xff"])
def test_a_referer_is_compared_without_its_path(session, tail):
    assert check_csrf(request(HTTP_REFERER=f"http://shop.example{tail}"), session, csrf_token(session))


def test_an_origin_has_no_path(session):
    assert not check_csrf(request(HTTP_ORIGIN="http://shop.example/"), session, csrf_token(session))


def test_both_headers_have_to_be_ours(session):
    environ = request(HTTP_ORIGIN="http://shop.example", HTTP_REFERER="http://evil.com/")

    assert not check_csrf(environ, session, csrf_token(session))


@pytest.mark.parametrize(
    ("scheme", "host", "origin"),
    [
        ("https", "shop.example", "https://shop.example"),
        ("https", "shop.example", "https://shop.example:443"),
        ("https", "shop.example:443", "https://shop.example"),
        ("http", "localhost:8080", "http://localhost:8080"),
        ("http", "127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http", "[::1]:8080", "http://[::1]:8080"),
        ("http", "[::1]", "http://[::1]"),
        ("http", "a_b.local", "http://a_b.local"),
    ],
)
def test_hosts_of_every_kind_know_themselves(session, scheme, host, origin):
    environ = request(HTTP_HOST=host, HTTP_ORIGIN=origin) | {"wsgi.url_scheme": scheme}

    assert check_csrf(environ, session, csrf_token(session))
    assert not check_csrf(environ | {"HTTP_ORIGIN": origin.replace("://", "://x")}, session, csrf_token(session))


def test_without_a_host_header_the_servers_name_counts(session):
    environ = request(HTTP_ORIGIN="http://shop.example:8080", SERVER_NAME="shop.example", SERVER_PORT="8080")
    del environ["HTTP_HOST"]

    assert check_csrf(environ, session, csrf_token(session))
    assert not check_csrf(environ | {"SERVER_PORT": "80"}, session, csrf_token(session))


@pytest.mark.parametrize("host", ["evil.com/", "a b", "a,b", "a:b", "@", "a:80:80", "\ud800"])
def test_under_a_malformed_host_every_origin_is_foreign(session, host):
    assert not check_csrf(request(HTTP_HOST=host, HTTP_ORIGIN=f"http://{host}"), session, csrf_token(session))


# The middleware


def put_session(session, app):
    def middleware(environ, start_response):
        return app(environ | {"session": session}, start_response)

    return middleware


def echo(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return [environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))]


def call(app, environ):
    answer = []
    body = app(environ, lambda status, headers, exc_info=None: answer.extend((status, headers)) or (lambda data: None))
    try:
        return (*answer, b"".join(body))
    finally:
        getattr(body, "close", lambda: None)()


@pytest.fixture
def protected(session, between_validators):
    return between_validators(lambda app: put_session(session, CSRFMiddleware(app, tokens="always")), echo)


class Input(io.BytesIO):
    """Seekable no more than a socket is."""

    def seekable(self):
        return False


@pytest.mark.parametrize("make_body", [lambda token: (form(token), FORM), lambda token: (multipart(token), MULTIPART)])
def test_an_unsafe_request_with_the_token_reaches_the_app_with_its_body(session, protected, make_body):
    body, content_type = make_body(csrf_token(session))

    status, _, echoed = call(protected, request(body, content_type) | {"wsgi.input": Input(body)})
    assert (status, echoed) == ("200 OK", body)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_an_unsafe_request_without_the_token_gets_403_in_plain_text(protected, method):
    body = form("é")
    answer = call(protected, request(body, REQUEST_METHOD=method) | {"wsgi.input": Input(body)})

    text = b"The CSRF check failed: reload the page and send the form again.\n"
    assert answer == ("403 Forbidden", [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))], text)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE"])
def test_a_safe_request_passes_unchecked(method):
    app = put_session({}, CSRFMiddleware(echo))

    assert call(app, request(REQUEST_METHOD=method, HTTP_SEC_FETCH_SITE="cross-site"))[0] == "200 OK"


@pytest.mark.parametrize("method", ["PROPFIND", "get", "GET ", "", None])
def test_every_method_that_is_not_known_to_be_safe_is_checked(method):
    assert call(put_session({}, CSRFMiddleware(echo)), request(REQUEST_METHOD=method))[0] == "403 Forbidden"


def test_exempt_requests_pass_unchecked_and_others_do_not():
    app = put_session({}, CSRFMiddleware(echo, exempt=lambda environ: environ["PATH_INFO"] == "/hook"))

    assert call(app, request(PATH_INFO="/hook"))[0] == "200 OK"
    assert call(app, request(PATH_INFO="/form"))[0] == "403 Forbidden"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_without_a_session_in_the_environ_the_error_says_what_to_do(method):
    with pytest.raises(LookupError, match=r"no session at environ\['other'\]; put it inside SessionMiddleware"):
        call(put_session({}, CSRFMiddleware(echo, "other")), request(REQUEST_METHOD=method))


def test_a_refusal_is_logged_with_its_reason_and_without_what_the_client_sent(session, caplog):
    caplog.set_level(logging.INFO, logger="session_mw")
    app = put_session(session, CSRFMiddleware(echo, tokens="always"))
    call(app, request(HTTP_X_CSRF_TOKEN="EVIL\r\nline"))
    call(app, request(HTTP_ORIGIN="http://EVIL", HTTP_X_CSRF_TOKEN=csrf_token(session)))

    assert caplog.messages == [
        "CSRF: refused a request: its CSRF token is missing or wrong",
        "CSRF: refused a request: its Origin or Referer is not this site's",
    ]
