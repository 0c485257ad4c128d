"""The two paths at which browsers register and prove devices."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("jwt")

from session_mw import MemoryStore, SessionMiddleware
from session_mw.csrf import CSRFMiddleware
from support.device import REFRESH, REGISTER, BindingBrowser, bound_site, site
from support.tokens import KEY
from support.validators import between_validators
from support.visitors import Visitor
from support.wsgi import PLAIN, visit

ADA = b'{"user": "42"}'


@pytest.mark.parametrize("path", [REGISTER, REFRESH])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_they_take_post_only(path, method):
    browser = BindingBrowser(bound_site()).bind()
    answer = Visitor.get(browser, path, https=True, REQUEST_METHOD=method)
    assert answer.status == "405 Method Not Allowed"
    assert answer.all("Allow") == ["POST"]
    assert answer.body == b"" if method == "HEAD" else json.loads(answer.body)
    assert answer.cookies == []


@pytest.mark.parametrize("path", [REGISTER, REFRESH])
def test_each_answer_is_kept_from_caches_and_from_other_sites(path):
    app = bound_site()
    browser = BindingBrowser(app)
    browser.get("/login")
    answers = [browser.register() if path == REGISTER else browser.bind().refresh(), browser.post(path)]
    answers += [visit(app, path, https=True), BindingBrowser(app).post(path)]
    for answer in answers:
        assert answer.all("Cache-Control") == ["no-store"]
        assert answer.all("Cross-Origin-Resource-Policy") == ["same-origin"]
        assert answer.all("X-Content-Type-Options") == ["nosniff"]
        assert [name for name, _ in answer.headers if name.lower().startswith("access-control")] == []
        assert answer.all("Content-Length") == [str(len(answer.body))]
    assert len({answer.status for answer in answers}) >= 3


def test_the_application_does_not_see_them():
    def app(environ, start_response):
        assert not environ["PATH_INFO"].startswith("/.session-device")
        return site(environ, start_response)

    browser = BindingBrowser(bound_site(app)).bind()
    assert browser.refresh().status == "200 OK"


def test_they_are_answered_before_the_csrf_check():
    app = bound_site(CSRFMiddleware(site, tokens="always"))
    browser = BindingBrowser(app)
    browser.get("/login")
    assert browser.register().status == "200 OK"
    assert browser.refresh().status == "200 OK"
    assert browser.post("/write").status == "403 Forbidden"


def test_they_can_be_moved():
    browser = BindingBrowser(bound_site(device_path="/app/.devices"))
    browser.get("/login")
    assert browser.offer[0] == "/app/.devices/register"
    assert browser.register().status == "200 OK"
    assert browser.instructions["refresh_url"] == "/app/.devices/refresh"
    assert browser.refresh().status == "200 OK"
    # The application's own.
    assert browser.post(REFRESH).body == ADA


# Mounted applications


@pytest.mark.parametrize(("root", "url"), [("/shop", "/shop"), ("/a/b", "/a/b"), ("/\xc3\xbc b", "/%C3%BC%20b")])
def test_below_a_root_they_lie_below_it_too(root, url):
    browser = BindingBrowser(bound_site())
    browser.get("/login", SCRIPT_NAME=root)
    path, challenge = browser.offer
    assert path == f"{url}{REGISTER}"
    browser.offer = REGISTER, challenge
    answer = browser.get("/")
    proof = browser.device.proof(challenge, brings_key=True)
    more = {"REQUEST_METHOD": "POST", "SCRIPT_NAME": root, "HTTP_SECURE_SESSION_RESPONSE": proof}
    answer = Visitor.get(browser, REGISTER, https=True, **more)
    assert answer.status == "200 OK"
    assert json.loads(answer.body)["refresh_url"] == f"{url}{REFRESH}"


def test_a_root_cannot_break_out_of_the_header():
    browser = BindingBrowser(bound_site())
    browser.get("/login", SCRIPT_NAME='/a"\\;b,c\x7f\xff')
    assert browser.offer[0] == f"/a%22%5C%3Bb,c%7F%FF{REGISTER}"


def test_the_root_is_the_middleware_s_also_where_a_dispatcher_moves_it():
    """werkzeug's and Paste's put the mount's name from PATH_INFO into SCRIPT_NAME of the same environ."""

    def dispatcher(environ, start_response):
        environ["SCRIPT_NAME"], environ["PATH_INFO"] = "/mounted", environ["PATH_INFO"].removeprefix("/mounted")
        return site(environ, start_response)

    def mounting(environ, start_response):
        if environ["PATH_INFO"].startswith("/mounted"):
            return dispatcher(environ, start_response)
        return site(environ, start_response)

    app = SessionMiddleware(mounting, KEY, device_bound=True)
    browser = BindingBrowser(app)
    browser.get("/mounted/login")
    assert browser.offer[0] == REGISTER
    assert browser.register().status == "200 OK"
    assert browser.get("/mounted/").body == ADA


def test_a_middleware_below_another_one_answers_for_itself():
    """Two applications of one host, each with sessions of its own."""
    settings = {"secret_key": KEY, "device_bound": True}
    inner = SessionMiddleware(
        site, environ_key="session", cookie_name="inner", salt="inner", device_path="/inner/.device", **settings
    )
    outer = SessionMiddleware(inner, environ_key="outer", cookie_name="outer", salt="outer", **settings)
    browser = BindingBrowser(outer)
    browser.get("/login")
    assert browser.offer[0] == "/inner/.device/register"
    assert browser.register().status == "200 OK"
    assert set(browser.jar) == {"inner", "inner-proof"}
    assert browser.refresh().status == "200 OK"


def test_one_manager_under_two_middlewares_answers_once():
    manager = SessionMiddleware(site, KEY, device_bound=True).sessions
    app = SessionMiddleware(SessionMiddleware(site, sessions=manager), sessions=manager)
    browser = BindingBrowser(app).bind()
    assert browser.get().body == ADA


def test_a_generator_that_starts_late_is_offered_a_device_too():
    def late(environ, start_response):
        environ["session"].principal = "42"
        yield b""
        start_response("200 OK", [PLAIN])
        yield b"x"

    def written(environ, start_response):
        environ["session"].principal = "42"
        write = start_response("200 OK", [PLAIN])
        write(b"x")
        return [b"y"]

    for app in (late, written):
        browser = BindingBrowser(SessionMiddleware(app, KEY, device_bound=True))
        browser.get()
        assert browser.offer is not None
        assert browser.register().status == "200 OK"


@pytest.mark.parametrize(
    ("settings", "attributes"),
    [
        ({"cookie_domain": "example.com"}, "Domain=example.com; Path=/; Secure; HttpOnly; SameSite=Lax"),
        ({"cookie_samesite": "Strict"}, "Path=/; Secure; HttpOnly; SameSite=Strict"),
        ({"cookie_samesite": None}, "Path=/; Secure; HttpOnly"),
        ({"cookie_httponly": False}, "Path=/; Secure; HttpOnly; SameSite=Lax"),
        ({"cookie_path": "/.session-device"}, "Path=/.session-device; Secure; HttpOnly; SameSite=Lax"),
        ({"cookie_name": "__Host-s"}, "Path=/; Secure; HttpOnly; SameSite=Lax"),
        ({"cookie_name": "__Secure-s"}, "Path=/; Secure; HttpOnly; SameSite=Lax"),
    ],
)
def test_the_proof_cookie_has_the_session_cookie_s_attributes(settings, attributes):
    browser = BindingBrowser(bound_site(**settings))
    browser.get("/login")
    answer = browser.register()
    name = f"{settings.get('cookie_name', 'session')}-proof"
    (proof,) = (cookie for cookie in answer.cookies if cookie.startswith(f"{name}="))
    assert proof.partition("; Max-Age=600; ")[2] == attributes
    (credential,) = browser.instructions["credentials"]
    assert credential == {"type": "cookie", "name": name, "attributes": attributes}
    assert "allowed_refresh_initiators" not in browser.instructions


def test_only_cookies_that_come_along_from_other_sites_are_proven_from_there():
    browser = BindingBrowser(bound_site(cookie_samesite="None")).bind()
    assert browser.instructions["allowed_refresh_initiators"] == ["*"]


def test_they_work_behind_the_middleware_with_any_store_and_path_of_the_session():
    """A page that only reads, in a store, offers; a second one does not once it is bound."""
    app = between_validators(
        lambda inner: SessionMiddleware(inner, KEY, device_bound=True, store=MemoryStore(), environ_key="app.session"),
        lambda environ, start_response: site({**environ, "session": environ["app.session"]}, start_response),
        "app.session",
    )
    browser = BindingBrowser(app)
    browser.get("/login")
    browser.get()
    assert browser.offer is not None
    assert browser.register().status == "200 OK"
    browser.get()
    assert browser.offer is None
