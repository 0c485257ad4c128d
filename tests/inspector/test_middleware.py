"""The inspector's page: who gets it, and that looking at a session is not a touch."""

from __future__ import annotations

import hashlib
import logging
import re
from base64 import b64encode
from http.client import HTTPConnection
from typing import Any

import pytest

from session_mw import ConfigurationError, MemoryStore, MissingSession, SessionManager, SessionMiddleware
from session_mw.inspector import SessionInspector
from session_mw.middleware import middleware_in
from support.pages import Page
from support.services import waitress_server
from support.stores import Recording
from support.tokens import KEY, signed, token_of
from support.validators import between_validators
from support.visitors import Client
from support.wsgi import PLAIN, Answer, Server, environ_of, guarded, page, visit

HERE = {"REMOTE_ADDR": "127.0.0.1"}
HTML = ("Content-Type", "text/html; charset=utf-8")
DAY = 86400


def inspected(**settings: Any) -> Any:
    return guarded(SessionInspector(page(), debug=True), **settings)


def look(path: str = "/_session", cookie: str | None = None, app: Any = None, **environ: Any) -> Answer:
    return visit(app or inspected(), path, cookie, **{**HERE, **environ})


# Development only


@pytest.mark.parametrize("arguments", [{}, {"debug": False}, {"debug": 1}, {"debug": "true"}, {"debug": None}])
def test_it_is_not_built_without_debug_true(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"development only.*SessionInspector\(app, debug=True\)"):
        SessionInspector(page(), **arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"app": None}, "app is a WSGI application"),
        ({"path": "_session"}, "path is '/' and then"),
        ({"path": "/"}, "path is '/' and then"),
        ({"path": "//"}, "path is '/' and then"),
        ({"path": ""}, "path is '/' and then"),
        ({"path": "/a b"}, "path is '/' and then"),
        ({"path": "/é"}, "path is '/' and then"),
        ({"path": None}, "path is '/' and then"),
        ({"environ_key": ""}, "environ_key is a non-empty str"),
        ({"environ_key": None}, "environ_key is a non-empty str"),
    ],
)
def test_a_wrong_argument_is_told_when_it_is_built(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        SessionInspector(**{"app": page(), "debug": True, **arguments})


def test_where_it_is_on_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    SessionInspector(page(), debug=True)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == "the session inspector shows sessions at /_session: for development only"


# Where it is


@pytest.mark.parametrize("path", ["/", "", "/_sessions", "/_session2/a", "/app/_session", "/_SESSION"])
def test_all_other_requests_are_the_application_s(path: str) -> None:
    assert look(path).body == b"None"


@pytest.mark.parametrize("path", ["/_session", "/_session/"])
def test_its_page_is_at_the_path(path: str) -> None:
    answer = look(path)
    assert (answer.status, answer.headers[0]) == ("200 OK", HTML)


def test_below_the_path_there_is_nothing_else() -> None:
    answer = look("/_session/other", SCRIPT_NAME="/mounted")
    assert (answer.status, answer.body) == ("404 Not Found", b"The session inspector is at /mounted/_session\n")


def test_the_path_can_be_another_one() -> None:
    app = guarded(SessionInspector(page(), path="/dev/session/", debug=True))
    assert look("/dev/session", app=app).headers[0] == HTML
    assert look("/_session", app=app).body == b"None"


def test_its_link_leads_to_itself_below_a_mount_point() -> None:
    links = Page(look(SCRIPT_NAME="/caf\xc3\xa9").body).all("a")
    assert [link.attributes["href"] for link in links] == ["#main", "/caf%C3%A9/_session"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "get"])
def test_other_methods_than_get_and_head_are_refused(method: str) -> None:
    answer = visit(
        SessionMiddleware(SessionInspector(page(), debug=True), KEY), "/_session", REQUEST_METHOD=method, **HERE
    )
    assert answer.status == "405 Method Not Allowed"
    assert answer.all("Allow") == ["GET, HEAD"]


def test_head_has_the_headers_of_get_and_no_body() -> None:
    head, get = look(REQUEST_METHOD="HEAD"), look()
    assert head.body == b""
    assert head.headers == get.headers
    assert get.all("Content-Length") == [str(len(get.body))]


# Who may see it


@pytest.mark.parametrize("address", ["127.0.0.1", "127.255.0.9", "::1", "::ffff:127.0.0.1", "0:0:0:0:0:0:0:1"])
def test_clients_on_this_machine_may(address: str) -> None:
    assert look(REMOTE_ADDR=address).status == "200 OK"


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1",
        "192.168.1.5",
        "203.0.113.9",
        "::ffff:10.0.0.1",
        "2001:db8::1",
        "0.0.0.0",
        "::",
        "",
        "localhost",
        "127.1",
    ],
)
def test_clients_elsewhere_may_not(address: str) -> None:
    answer = look(REMOTE_ADDR=address)
    assert (answer.status, answer.headers[0]) == ("403 Forbidden", ("Content-Type", "text/plain; charset=utf-8"))
    assert answer.body == (
        b"The session inspector is not for you. It answers clients on this machine only, at 127.0.0.1 or ::1.\n"
    )


def test_a_client_without_an_address_may_not() -> None:
    assert visit(inspected(), "/_session").status == "403 Forbidden"


@pytest.mark.parametrize(
    "header",
    """Forwarded X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto X-Forwarded-Port X-Forwarded-Prefix X-Forwarded
    X-Forwarded-Server X-Real-Ip Via X-Client-Ip True-Client-Ip Cf-Connecting-Ip X-Cluster-Client-Ip Fastly-Client-Ip
    Client-Ip Fly-Client-Ip X-Original-Host X-Original-Url X-Original-Forwarded-For X-Envoy-External-Address Cdn-Loop
    X-Proxyuser-Ip Forwarded-For X-Amzn-Trace-Id X-Scheme X-Varnish Cf-Ray Front-End-Https X-Rewrite-Url
    X-Nginx-Proxy Proxy-Connection Wl-Proxy-Ssl X-Request-Start X-Request-Id X-Ssl-Client-Cert Ssl-Client-Verify
    X-Real-Port X-Url-Scheme X-Accel-Mapping X-Sendfile-Type""".split(),
)
def test_it_does_not_answer_through_a_proxy(header: str) -> None:
    answer = look(**{"HTTP_" + header.upper().replace("-", "_"): ""})
    assert answer.status == "403 Forbidden"
    assert f"has the header {header}.\n".encode() in answer.body


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Forwarded-Host", "X-Real-IP", "Via"])
def test_waitress_does_not_hide_a_proxy(header: str) -> None:
    with waitress_server(SessionMiddleware(SessionInspector(page(), debug=True), KEY)) as site:
        for headers, status in (({}, 200), ({header: "203.0.113.9"}, 403), ({}, 200)):
            connection = HTTPConnection("127.0.0.1", site.port, timeout=10)
            connection.request("GET", "/_session", headers=headers)
            assert connection.getresponse().status == status
            connection.close()


@pytest.mark.parametrize(
    "header", ["HTTP_REFERER", "HTTP_X_REQUESTED_WITH", "HTTP_USER_AGENT", "HTTP_PRIORITY", "HTTP_PROXY"]
)
def test_a_browser_s_own_headers_and_the_process_s_variables_are_no_proxy_s(header: str) -> None:
    assert look(**{header: "x"}).status == "200 OK"


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8080", "LOCALHOST.", "a.localhost", "127.0.0.1:80", "[::1]:80"]
)
def test_it_answers_under_the_names_of_this_machine(host: str) -> None:
    assert look(HTTP_HOST=host).status == "200 OK"


@pytest.mark.parametrize(
    "host",
    [
        "example.com",
        "localhost.example.com",
        "127.0.0.1.nip.io",
        "[2001:db8::1]",
        "a@b",
        "localhost:80@a.com",
        "10.0.0.1",
    ],
)
def test_it_does_not_answer_under_another_name_that_leads_here(host: str) -> None:
    answer = look(HTTP_HOST=host)
    assert answer.status == "403 Forbidden"
    assert b"under a name of this machine only" in answer.body


@pytest.mark.parametrize(("name", "status"), [("localhost", "200 OK"), ("example.com", "403 Forbidden")])
def test_without_a_host_header_the_server_s_name_counts(name: str, status: str) -> None:
    environ = environ_of("/_session", SERVER_NAME=name, **HERE)
    del environ["HTTP_HOST"]
    assert Server(inspected(), environ).run().status == status


@pytest.mark.parametrize(
    "environ", [{}, {"REMOTE_ADDR": "10.0.0.1"}, {"REQUEST_METHOD": "POST"}, {"PATH_INFO": "/_session/x"}]
)
def test_nothing_of_it_is_kept_framed_by_others_or_run_as_a_script(environ: dict[str, str]) -> None:
    answer = look(**{"path": "/_session", **{key: value for key, value in environ.items() if key != "PATH_INFO"}})
    policy = answer.all("Content-Security-Policy")[0].split("; ")
    assert [one for one in policy if not one.startswith("style-src")] == [
        "default-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'self'",
    ]
    assert answer.all("Cache-Control") == ["no-store"]
    assert answer.all("X-Content-Type-Options") == ["nosniff"]
    assert answer.all("Referrer-Policy") == ["no-referrer"]
    assert answer.all("Cross-Origin-Resource-Policy") == ["same-origin"]


def test_the_policy_allows_the_page_s_own_style_and_no_other() -> None:
    answer = look()
    style = re.search(rb"<style>(.*)</style>", answer.body, re.DOTALL)
    assert style
    digest = b64encode(hashlib.sha256(style[1]).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in answer.all("Content-Security-Policy")[0]


# Where it belongs


def test_around_the_session_middleware_it_says_where_it_belongs() -> None:
    app = SessionInspector(SessionMiddleware(page(), KEY), debug=True)
    assert visit(app, **HERE).body == b"None"
    with pytest.raises(
        MissingSession, match=r"inside of the session middleware.*SessionMiddleware\(SessionInspector\("
    ):
        visit(app, "/_session", **HERE)


@pytest.mark.parametrize("found", [None, {}, "session"])
def test_what_is_no_session_is_not_taken_for_one(found: object) -> None:
    with pytest.raises(MissingSession):
        SessionInspector(page(), debug=True)(environ_of("/_session", session=found, **HERE), lambda *_: None)


def test_it_finds_the_session_under_another_key() -> None:
    inspector = SessionInspector(page(), debug=True, environ_key="mine")
    app = between_validators(lambda inner: SessionMiddleware(inner, KEY, environ_key="mine"), inspector, "mine")
    assert "Accepted" in Page(visit(app, "/_session", f"session={token_of({'a': 1})}", **HERE).body).text


def test_the_middleware_is_found_through_it() -> None:
    middleware = SessionMiddleware(page(), KEY)
    assert middleware_in(SessionInspector(middleware, debug=True)) is middleware


def test_it_shows_the_session_of_a_flask_application() -> None:
    flask = pytest.importorskip("flask")
    from session_mw.adapters.flask import FlaskSessions

    sessions = SessionManager(KEY)
    app = flask.Flask(__name__)
    app.session_interface = FlaskSessions(sessions)
    app.add_url_rule("/", view_func=lambda: str(flask.session.setdefault("user", "ann")))
    wrapped = SessionMiddleware(SessionInspector(app.wsgi_app, debug=True), sessions=sessions)
    token = visit(wrapped, **HERE).token
    found = Page(visit(wrapped, "/_session", f"session={token}", **HERE).body)
    assert found.table("data")[0][:2] == ["user", '"ann" str']


# Looking is not a touch


def test_a_look_refreshes_nothing_and_says_nothing_about_cookies() -> None:
    token = token_of({"a": 1, "_permanent": True})
    answer = look(cookie=f"session={token}")
    assert (answer.cookies, answer.vary) == ([], [])
    assert look("/", cookie=f"session={token}").cookies != []


def test_a_look_asks_the_store_once_and_moves_no_end(clock: Any) -> None:
    store = Recording(MemoryStore())
    client = Client(SessionManager(store=store, lifetime=10 * DAY))
    client.do(lambda s: s.update(a=1, _permanent=True))
    before = store.inner.load(client.key)
    clock.advance(5 * DAY)
    store.calls.clear()
    answer = look(cookie=client.cookie, app=inspected(sessions=client.sessions))
    assert "Accepted" in Page(answer.body).text
    assert answer.cookies == []
    assert store.calls == ["load"]
    assert store.inner.load(client.key) == before


def test_a_look_at_an_old_key_s_cookie_does_not_renew_it() -> None:
    answer = look(
        cookie=f"session={token_of({'a': 1, '_permanent': True})}",
        app=inspected(secret_key="a newer key: 0123456789abcdef", secret_key_fallbacks=[KEY]),
    )
    assert "old key (number 1 of secret_key_fallbacks)" in Page(answer.body).text
    assert answer.cookies == []


def test_a_look_does_not_end_or_log_anything(caplog: pytest.LogCaptureFixture) -> None:
    app = inspected()
    caplog.clear()
    caplog.set_level(logging.DEBUG, "session_mw")
    for value in ("junk", signed(b"[]"), f"{token_of({'a': 1})}x"):
        assert look(cookie=f"session={value}; session={token_of({'b': 2})}", app=app).cookies == []
    assert caplog.records == []


def test_a_session_that_was_touched_further_out_is_saved_as_ever() -> None:
    inspector = SessionInspector(page(), debug=True)

    def touching(environ: dict[str, Any], start_response: Any) -> Any:
        environ["session"]["seen"] = True
        return inspector(environ, start_response)

    answer = look(app=guarded(touching))
    assert len(answer.cookies) == 1
    assert PLAIN not in answer.headers
