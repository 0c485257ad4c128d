"""The same small shop as a raw WSGI app, with Bottle and with Pyramid, behind the middleware."""

from __future__ import annotations

from urllib.parse import parse_qs

import pytest

from session_mw import MemoryStore, SessionManager, SessionMiddleware, get_session
from support.tokens import KEY
from support.validators import between_validators

webtest = pytest.importorskip("webtest")


def raw():
    def app(environ, start_response):
        session = environ["session"]
        path = environ["PATH_INFO"]
        if environ["REQUEST_METHOD"] == "POST":
            size = int(environ.get("CONTENT_LENGTH") or 0)
            form = {name: value[0] for name, value in parse_qs(environ["wsgi.input"].read(size).decode()).items()}
            change(session, path, form)
            start_response("303 See Other", [("Location", "/"), ("Content-Type", "text/plain")])
            return [b""]
        if path == "/error":
            session["error"] = True
            start_response("500 Internal Server Error", [("Content-Type", "text/plain")])
            return [b"oops"]
        start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"" if path == "/static" else greeting(session).encode()]

    return app


def greeting(session):
    session["visits"] = session.get("visits", 0) + 1
    return f"{session.get('user', 'nobody')} {session['visits']} {' '.join(session.get('cart', []))}".strip()


def change(session, path, form):
    if path == "/login":
        session.regenerate_id()
        session["user"] = form["user"]
    elif path == "/cart":
        session.setdefault("cart", []).append(form["fruit"])
    else:
        session.invalidate()


def bottled():
    bottle = pytest.importorskip("bottle")
    app = bottle.Bottle()

    @app.get("/")
    def home():
        return greeting(get_session(bottle.request.environ))

    @app.get("/static")
    def static():
        return ""

    @app.get("/error")
    def error():
        bottle.request.environ["session"]["error"] = True
        bottle.abort(500, "oops")

    @app.post("/<path:re:login|cart|logout>")
    def post(path):
        change(bottle.request.environ["session"], f"/{path}", bottle.request.forms)
        bottle.redirect("/")

    return app


def pyramidal():
    config_module = pytest.importorskip("pyramid.config")
    response_module = pytest.importorskip("pyramid.response")
    exceptions = pytest.importorskip("pyramid.httpexceptions")

    def home(request):
        return response_module.Response(greeting(request.environ["session"]), content_type="text/plain")

    def static(request):
        return response_module.Response("", content_type="text/plain")

    def error(request):
        request.environ["session"]["error"] = True
        return exceptions.HTTPInternalServerError("oops")

    def post(request):
        change(request.environ["session"], request.path, request.POST)
        raise exceptions.HTTPSeeOther("/")

    config = config_module.Configurator()
    for name, view in (
        ("", home),
        ("static", static),
        ("error", error),
        *((p, post) for p in ("login", "cart", "logout")),
    ):
        config.add_route(name or "home", f"/{name}")
        config.add_view(view, route_name=name or "home")
    return config.make_wsgi_app()


@pytest.fixture(params=[raw, bottled, pyramidal])
def app(request):
    return request.param()


@pytest.fixture(params=["cookie", "store"])
def sessions(request):
    return SessionManager(KEY, store=MemoryStore() if request.param == "store" else None)


@pytest.fixture
def shop(app, sessions):
    return webtest.TestApp(
        between_validators(lambda inner: SessionMiddleware(inner, sessions=sessions), app), lint=False
    )


def test_a_visitor_logs_in_fills_a_cart_and_logs_out(shop):
    assert shop.get("/").text == "nobody 1"
    login = shop.post("/login", {"user": "cizixs"})
    assert login.status_int in (302, 303)
    assert login.headers["Set-Cookie"].startswith("session=")
    for fruit in ("apple", "pear"):
        shop.post("/cart", {"fruit": fruit})
    assert shop.get("/").text == "cizixs 2 apple pear"
    logout = shop.post("/logout")
    assert "Max-Age=0" in logout.headers["Set-Cookie"]
    assert "session" not in shop.cookies
    assert shop.get("/").text == "nobody 1"


def test_two_visitors_do_not_meet(app, sessions):
    wrapped = SessionMiddleware(app, sessions=sessions)
    one, other = webtest.TestApp(wrapped), webtest.TestApp(wrapped)
    one.post("/login", {"user": "one"})
    other.post("/login", {"user": "other"})
    assert (one.get("/").text, other.get("/").text) == ("one 1", "other 1")


def test_a_redirect_keeps_the_cookie(shop):
    shop.post("/cart", {"fruit": "plum"})
    assert shop.get("/").text == "nobody 1 plum"


def test_an_error_page_of_the_app_keeps_the_cookie(shop):
    answer = shop.get("/error", status=500)
    assert answer.headers["Set-Cookie"].startswith("session=")


def test_what_does_not_touch_the_session_has_none_of_its_headers(shop):
    shop.get("/")
    answer = shop.get("/static")
    assert "Set-Cookie" not in answer.headers
    assert "Vary" not in answer.headers


def test_what_touches_the_session_varies_by_cookie(shop):
    assert shop.get("/").headers["Vary"] == "Cookie"


@pytest.mark.parametrize("make", [bottled, pyramidal])
def test_a_missing_page_has_no_session_header(make):
    answer = webtest.TestApp(SessionMiddleware(make(), secret_key=KEY)).get("/missing", status=404)
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("make", [bottled, pyramidal])
def test_head_carries_the_cookie(make):
    app = webtest.TestApp(SessionMiddleware(make(), secret_key=KEY))
    answer = app.head("/", expect_errors=make is pyramidal)
    assert answer.body == b""
    assert answer.headers["Set-Cookie"].startswith("session=")


def test_a_login_over_https_has_a_secure_cookie(shop):
    answer = shop.post("/login", {"user": "a"}, extra_environ={"wsgi.url_scheme": "https"})
    assert "; Secure" in answer.headers["Set-Cookie"]


def test_bottles_own_cookie_and_ours_are_both_sent():
    bottle = pytest.importorskip("bottle")
    app = bottle.Bottle()

    @app.get("/")
    def home():
        bottle.response.set_cookie("theirs", "1")
        bottle.response.add_header("Vary", "Accept")
        bottle.request.environ["session"]["a"] = 1
        return iter(["part", "end"])

    answer = webtest.TestApp(SessionMiddleware(app, secret_key=KEY)).get("/")
    cookies = answer.headers.getall("Set-Cookie")
    assert [cookie.partition("=")[0] for cookie in cookies] == ["theirs", "session"]
    assert answer.headers.getall("Vary") == ["Accept, Cookie"]
    assert answer.text == "partend"


def test_pyramids_response_that_streams_carries_the_cookie():
    config_module = pytest.importorskip("pyramid.config")
    response_module = pytest.importorskip("pyramid.response")

    def view(request):
        request.environ["session"]["a"] = 1
        return response_module.Response(app_iter=(part for part in (b"part", b"end")))

    config = config_module.Configurator()
    config.add_route("home", "/")
    config.add_view(view, route_name="home")
    answer = webtest.TestApp(SessionMiddleware(config.make_wsgi_app(), secret_key=KEY)).get("/")
    assert (answer.body, len(answer.headers.getall("Set-Cookie"))) == (b"partend", 1)
