"""Where the browser says whence a request comes, no token is needed; where it says nothing, one is."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from session_mw import ConfigurationError, SessionMiddleware
from session_mw.csrf import CSRFMiddleware, csrf_token
from support.csrf_requests import form, request
from support.wsgi import KEY, Answer, Server, token_of


@pytest.fixture
def session():
    session: dict[str, Any] = {}
    csrf_token(session)
    return session


def fine(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"fine"]


def ask(environ: dict[str, Any], session: Any = None, **settings: Any) -> Answer:
    environ["session"] = {} if session is None else session
    return Server(CSRFMiddleware(fine, **settings), environ).run()


def passes(environ: dict[str, Any], session: Any = None, **settings: Any) -> bool:
    return ask(environ, session, **settings).status == "200 OK"


def refused(environ: dict[str, Any], session: dict[str, Any], **settings: Any) -> str:
    """The answer's text, where the request is refused with and without the session's token."""
    without = ask(dict(environ), session, **settings)
    with_one = ask(environ | {"HTTP_X_CSRF_TOKEN": csrf_token(session)}, session, **settings)
    assert without.status == with_one.status == "403 Forbidden"
    assert without.body == with_one.body
    return without.body.decode("ascii")


# Sec-Fetch-Site


@pytest.mark.parametrize("site", ["same-origin", "none", " same-origin\t"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "PROPFIND"])
def test_what_the_browser_vouches_for_needs_no_token(site, method):
    assert passes(request(REQUEST_METHOD=method, HTTP_SEC_FETCH_SITE=site))


@pytest.mark.parametrize("origin", ["http://shop.example", "https://shop.example", "http://10.0.0.7:8080", "null", ""])
@pytest.mark.parametrize("referer", [{}, {"HTTP_REFERER": "https://other.example/"}])
def test_the_browsers_same_origin_holds_whatever_origin_and_referer_say(origin, referer):
    assert passes(request(HTTP_SEC_FETCH_SITE="same-origin", HTTP_ORIGIN=origin, **referer))
    assert passes(request(HTTP_SEC_FETCH_SITE="none", HTTP_ORIGIN=origin, **referer))


@pytest.mark.parametrize(
    ("site", "reason"),
    [
        ("cross-site", "another site"),
        ("Cross-Site", "another site"),
        ("same-origin, cross-site", "another site"),
        ("cross-site,same-origin", "another site"),
        ("none cross-site", "another site"),
        ("cross-site;x=1", "another site"),
        ("same-site", "another host or port of this site"),
        ("same-origin,same-site", "another host or port of this site"),
    ],
)
@pytest.mark.parametrize("origin", [{}, {"HTTP_ORIGIN": "http://shop.example"}, {"HTTP_ORIGIN": "http://evil.com"}])
def test_another_site_or_host_is_refused_with_or_without_a_token(session, site, reason, origin):
    text = refused(request(HTTP_SEC_FETCH_SITE=site, **origin), session)

    assert (
        text
        == f"The CSRF check failed: the request was refused because the browser says that it comes from {reason}.\n"
    )


UNKNOWN_WORDS = ["", "a-word-of-the-future", "Same-Origin", "same-origin, same-origin", "same-origin;x", "NONE", "null"]


@pytest.mark.parametrize("word", [*UNKNOWN_WORDS, None, 5, b"same-origin", ["none"], "\ud800"], ids=repr)
def test_an_unknown_word_vouches_for_nothing(session, word):
    environ = request(HTTP_SEC_FETCH_SITE=word)

    assert not passes(dict(environ), session)
    assert passes(environ | {"HTTP_X_CSRF_TOKEN": csrf_token(session)}, session)


@pytest.mark.parametrize("word", UNKNOWN_WORDS)
def test_beside_an_unknown_word_the_origin_decides(session, word):
    assert passes(request(HTTP_SEC_FETCH_SITE=word, HTTP_ORIGIN="http://shop.example"))
    assert "Origin is not this site's" in refused(
        request(HTTP_SEC_FETCH_SITE=word, HTTP_ORIGIN="http://evil.com"), session
    )


# Origin


@pytest.mark.parametrize(
    ("scheme", "host", "origin"),
    [
        ("http", "shop.example", "http://shop.example"),
        ("http", "shop.example:80", "http://shop.example"),
        ("http", "shop.example", "http://shop.example:80"),
        ("https", "shop.example", "https://shop.example"),
        ("https", "shop.example:443", "https://shop.example"),
        ("https", "shop.example", "https://shop.example:443"),
        ("https", "Shop.Example", "HTTPS://shop.EXAMPLE"),
        ("https", "shop.example:8443", "https://shop.example:8443"),
        ("http", "127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http", "[::1]:8080", "http://[::1]:8080"),
        ("https", "[2001:DB8::1]", "https://[2001:db8:0:0::1]:443"),
        ("https", "xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ("http", "a_b.local", "http://a_b.local"),
    ],
)
def test_the_requests_own_origin_needs_no_token(session, scheme, host, origin):
    environ = request(HTTP_HOST=host, HTTP_ORIGIN=origin) | {"wsgi.url_scheme": scheme}

    assert passes(dict(environ))
    assert "not this site's" in refused(environ | {"HTTP_ORIGIN": f"{scheme}://other.example"}, session)


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.com",
        "http://shop.example:8080",
        "http://shop.example:443",
        "http://sub.shop.example",
        "http://shop.example.",
        "http://shop.example.evil.com",
        "http://evilshop.example",
        "ftp://shop.example",
    ],
)
def test_another_scheme_host_or_port_is_refused_with_or_without_a_token(session, origin):
    text = refused(request(HTTP_ORIGIN=origin), session)

    assert text == "The CSRF check failed: the request was refused because its Origin is not this site's.\n"


@pytest.mark.parametrize(
    "origin",
    [
        "",
        " ",
        "shop.example",
        "http://",
        "http://shop.example/",
        "http://shop.example/cart",
        "http://shop.example?",
        "http://user@shop.example",
        "http://shop.example, http://shop.example",
        "http://shop.example,http://evil.com",
        "http://shop.example http://evil.com",
        "null, http://shop.example",
        "Null",
        "http://shop.example:80:80",
        "http://shop.example:x",
        "http://[::1",
        "http://[1:2]",
        "http://sh\u00f6p.example",
        "http://shop.example\n",
        "\ud800",
        None,
        5,
        b"http://shop.example",
        ["http://shop.example"],
    ],
    ids=repr,
)
def test_a_malformed_or_repeated_origin_is_refused_with_or_without_a_token(session, origin):
    text = refused(request(HTTP_ORIGIN=origin), session)

    assert text == "The CSRF check failed: the request was refused because its Origin is not well-formed.\n"


def test_an_origin_of_null_is_refused_and_told_what_causes_it(session):
    text = refused(request(HTTP_ORIGIN="null"), session)

    assert "its Origin is null, as from a sandboxed frame or under Referrer-Policy: no-referrer" in text


def test_the_own_origin_passes_whatever_the_referer_says():
    assert passes(request(HTTP_ORIGIN="http://shop.example", HTTP_REFERER="http://evil.com/"))


@pytest.mark.parametrize("host", ["evil.com/", "a b", "a,b", "a:b", "@", "a:80:80", "[x]", "[1:2]", "\ud800"])
def test_under_a_malformed_host_no_origin_is_this_sites(session, host):
    text = refused(request(HTTP_HOST=host, HTTP_ORIGIN="http://shop.example"), session)

    assert "its Host is not well-formed" in text


@pytest.mark.parametrize("host", [{}, {"HTTP_HOST": ""}])
def test_a_request_without_a_host_goes_by_the_servers_name(session, host):
    environ = request(HTTP_ORIGIN="http://shop.example:8080", SERVER_NAME="shop.example", SERVER_PORT="8080")
    del environ["HTTP_HOST"]
    environ |= host | {"SERVER_PROTOCOL": "HTTP/1.0"}

    assert passes(dict(environ))
    assert "not this site's" in refused(environ | {"SERVER_PORT": "80"}, session)


def test_an_environ_that_holds_nothing_of_the_server_is_refused_and_raises_nothing(session):
    for said in ({}, {"HTTP_ORIGIN": "http://shop.example"}, {"HTTP_ORIGIN": "None://None"}):
        assert ask(dict(said), session).status == "403 Forbidden"


def test_nothing_that_a_client_says_of_proxies_is_believed(session):
    forwarded = {
        "HTTP_X_FORWARDED_HOST": "evil.com",
        "HTTP_X_FORWARDED_PROTO": "http",
        "HTTP_X_FORWARDED_PORT": "80",
        "HTTP_FORWARDED": "host=evil.com;proto=http",
        "HTTP_X_ORIGINAL_HOST": "evil.com",
    }
    assert "not this site's" in refused(request(HTTP_ORIGIN="http://evil.com", **forwarded), session)
    assert passes(request(HTTP_ORIGIN="http://shop.example", **forwarded))


def test_https_in_front_of_a_server_that_knows_http_is_told_as_that(session):
    text = refused(request(HTTP_ORIGIN="https://shop.example"), session)

    assert "its Origin is https and wsgi.url_scheme is http: a server behind a proxy has to be told of it" in text
    assert passes(request(HTTP_ORIGIN="https://shop.example") | {"wsgi.url_scheme": "https"})
    assert passes(request(HTTP_ORIGIN="https://shop.example", HTTP_SEC_FETCH_SITE="same-origin"))


# Neither


def test_where_the_browser_says_nothing_a_valid_token_is_needed(session):
    body = form(csrf_token(session))

    assert passes(request(body), session)
    assert passes(request(HTTP_X_CSRF_TOKEN=csrf_token(session)), session)
    assert ask(request(), session).body == (
        b"The CSRF check failed: the request was refused because its CSRF token is missing or wrong. "
        b"Reload the page and send the form again.\n"
    )
    assert b"because its session has no CSRF secret. Reload" in ask(request(), {}).body
    assert not passes(request(HTTP_X_CSRF_TOKEN=csrf_token({})), session)


def test_a_token_from_a_page_of_another_referer_is_refused(session):
    token = csrf_token(session)

    assert not passes(request(HTTP_X_CSRF_TOKEN=token, HTTP_REFERER="http://evil.com/"), session)
    assert passes(request(HTTP_X_CSRF_TOKEN=token, HTTP_REFERER="http://shop.example/form"), session)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE"])
def test_a_safe_request_passes_from_everywhere(method):
    for said in ({"HTTP_SEC_FETCH_SITE": "cross-site"}, {"HTTP_ORIGIN": "null"}, {}):
        assert passes(request(REQUEST_METHOD=method, **said))


# Origins that are trusted


@pytest.mark.parametrize(
    ("listed", "origin"),
    [
        ("https://pay.example", "https://pay.example"),
        ("https://pay.example", "https://pay.example:443"),
        ("https://pay.example:443", "https://pay.example"),
        ("HTTPS://Pay.Example", "https://pay.example"),
        ("http://pay.example:8080", "http://pay.example:8080"),
        ("https://[2001:DB8:0:0::1]", "https://[2001:db8::1]"),
        ("https://b\u00fccher.example", "https://xn--bcher-kva.example"),
        ("https://xn--fa-hia.example", "https://xn--fa-hia.example"),
        ("http://localhost", "http://localhost"),
        ("http://a_b.local", "http://a_b.local"),
        ("chrome-extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop"),
    ],
)
@pytest.mark.parametrize("said", [{}, {"HTTP_SEC_FETCH_SITE": "cross-site"}, {"HTTP_SEC_FETCH_SITE": "same-site"}])
def test_a_listed_origin_needs_no_token(session, listed, origin, said):
    assert passes(request(HTTP_ORIGIN=origin, **said), trusted_origins=[listed])
    assert passes(request(HTTP_ORIGIN=origin, **said), trusted_origins={"https://other.example", listed})
    refused(request(HTTP_ORIGIN=origin, **said), session)


@pytest.mark.parametrize(
    "origin",
    [
        "http://pay.example",
        "https://pay.example:8443",
        "https://pay.example.",
        "https://www.pay.example",
        "https://pay.example.evil.com",
        "https://pay.example, https://evil.com",
        "https://pay.example/",
        "null",
        "",
    ],
)
@pytest.mark.parametrize("said", [{}, {"HTTP_SEC_FETCH_SITE": "cross-site"}])
def test_what_only_resembles_a_listed_origin_is_refused(session, origin, said):
    refused(request(HTTP_ORIGIN=origin, **said), session, trusted_origins=["https://pay.example"])


def test_a_listed_origin_is_believed_where_the_browser_tells_it_only(session):
    trusted = ["https://pay.example"]

    refused(request(HTTP_SEC_FETCH_SITE="cross-site"), session, trusted_origins=trusted)
    assert not passes(request(HTTP_REFERER="https://pay.example/"), session, trusted_origins=trusted)


@pytest.mark.parametrize(
    "listed",
    [
        "pay.example",
        "//pay.example",
        "https:pay.example",
        "https://",
        "https://pay.example/",
        "https://pay.example/back",
        "https://pay.example?x",
        "https://pay.example#x",
        "https://user@pay.example",
        "https://user:word@pay.example",
        "https://*.pay.example",
        "https://pay..example",
        "https://.pay.example",
        "https://pay.example:",
        "https://pay.example:x",
        "https://pay.example:443:443",
        "https://pay example",
        " https://pay.example",
        "https://pay.example\n",
        "https://a.example, https://b.example",
        "https://[::1",
        "https://[1:2]",
        "https://[pay.example]",
        "https://::1",
        "https://\u2024.example",
        "*",
        "null",
        "",
        None,
        5,
        b"https://pay.example",
        ["https://pay.example"],
    ],
    ids=repr,
)
def test_what_is_no_origin_is_an_error_when_built(listed):
    with pytest.raises(
        ConfigurationError, match=r"trusted_origins: .* is not an origin; write scheme://host or scheme"
    ):
        CSRFMiddleware(fine, trusted_origins=[listed])


@pytest.mark.parametrize("port", ["0", "65536", "99999"])
def test_a_port_that_is_none_is_an_error_when_built(port):
    with pytest.raises(ConfigurationError, match="ports are 1 to 65535"):
        CSRFMiddleware(fine, trusted_origins=[f"https://pay.example:{port}"])


@pytest.mark.parametrize("letter", ["\u00df", "\u03c2", "\u200d"])
def test_a_host_that_browsers_write_otherwise_than_python_is_an_error_when_built(letter):
    with pytest.raises(ConfigurationError, match="as browsers send it, beginning with xn--"):
        CSRFMiddleware(fine, trusted_origins=[f"https://fa{letter}a.example"])


@pytest.mark.parametrize("listed", ["https://pay.example", b"https://pay.example", None, 5, True])
def test_trusted_origins_are_a_list(listed):
    with pytest.raises(ConfigurationError, match="trusted_origins is a list of origins, not "):
        CSRFMiddleware(fine, trusted_origins=listed)


def test_origins_out_of_a_generator_are_kept():
    app = CSRFMiddleware(fine, trusted_origins=(f"https://{host}.example" for host in "ab"))

    for _ in range(2):
        environ = request(HTTP_ORIGIN="https://b.example") | {"session": {}}
        assert Server(app, environ).run().status == "200 OK"


# tokens="always"


@pytest.mark.parametrize(
    "said",
    [{"HTTP_SEC_FETCH_SITE": "same-origin"}, {"HTTP_ORIGIN": "http://shop.example"}, {"HTTP_SEC_FETCH_SITE": "none"}],
)
def test_tokens_can_be_asked_for_always(session, said):
    text = b"The CSRF check failed: reload the page and send the form again.\n"

    assert ask(request(**said), session, tokens="always").body == text
    assert passes(request(**said, HTTP_X_CSRF_TOKEN=csrf_token(session)), session, tokens="always")


def test_tokens_that_are_asked_for_always_suffice_for_another_host_of_the_site(session):
    environ = request(HTTP_SEC_FETCH_SITE="same-site", HTTP_X_CSRF_TOKEN=csrf_token(session))

    assert passes(environ, session, tokens="always")


def test_a_listed_origin_needs_no_token_where_others_always_do():
    environ = request(HTTP_ORIGIN="https://pay.example", HTTP_SEC_FETCH_SITE="cross-site")

    assert passes(environ, tokens="always", trusted_origins=["https://pay.example"])


@pytest.mark.parametrize("tokens", ["Always", "never", "", None, True, False, ["always"]])
def test_another_word_for_tokens_is_an_error_when_built(tokens):
    with pytest.raises(ConfigurationError, match="tokens is 'fallback' or 'always', not "):
        CSRFMiddleware(fine, tokens=tokens)


# The session


@pytest.fixture(params=[None, "memory://"], ids=["cookie", "stored"])
def shop(request):
    """An application that does not touch its session, behind both middlewares."""
    settings = {"store": request.param} if request.param else {"secret_key": KEY}
    return SessionMiddleware(CSRFMiddleware(fine), **settings)


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"HTTP_SEC_FETCH_SITE": "same-origin"}, "200 OK"),
        ({"HTTP_ORIGIN": "http://shop.example"}, "200 OK"),
        ({"HTTP_SEC_FETCH_SITE": "cross-site"}, "403 Forbidden"),
        ({"HTTP_SEC_FETCH_SITE": "same-site"}, "403 Forbidden"),
        ({"HTTP_ORIGIN": "http://evil.com"}, "403 Forbidden"),
        ({"HTTP_ORIGIN": "null"}, "403 Forbidden"),
    ],
)
def test_what_the_browser_decides_neither_reads_nor_writes_the_session(shop, said, status):
    answer = Server(shop, request(HTTP_COOKIE=f"session={token_of({'user': 'ann'})}", **said)).run()

    assert (answer.status, answer.cookies, answer.vary) == (status, [], [])


def test_what_the_token_decides_varies_by_the_cookie(shop):
    answer = Server(shop, request(HTTP_COOKIE=f"session={token_of({'user': 'ann'})}")).run()

    assert (answer.status, answer.cookies, answer.vary) == ("403 Forbidden", [], ["Cookie"])


def test_the_body_of_what_the_browser_vouches_for_is_not_read():
    environ = request(form("x"), HTTP_SEC_FETCH_SITE="same-origin")
    before = environ["wsgi.input"]

    assert passes(environ)
    assert environ["wsgi.input"] is before


def test_a_refusal_is_logged_with_its_reason_and_without_what_the_client_sent(session, caplog):
    caplog.set_level(logging.INFO, logger="session_mw")
    ask(request(HTTP_ORIGIN="http://EVIL"), session)
    ask(request(HTTP_SEC_FETCH_SITE="cross-site\r\nEVIL"), session)

    assert caplog.messages == [
        "CSRF: refused a request: its Origin is not this site's",
        "CSRF: refused a request: the browser says that it comes from another site",
    ]
