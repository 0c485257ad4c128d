"""The demo: as an application, and as the process that a reader of the README starts."""

from __future__ import annotations

import re

import pytest

from session_mw import SessionManager
from support.declared import ROOT
from support.demo import failing_demo, running_demo
from support.tokens import KEY, OTHER_KEY, read, token_of
from support.wsgi import guarded

pytest.importorskip("waitress")
webtest = pytest.importorskip("webtest")

import demo_app  # noqa: E402 - it needs waitress

COOKIE = re.compile(r"session=[A-Za-z0-9_.-]+; Path=/; HttpOnly; SameSite=Lax")


FILE = b'--x\r\nContent-Disposition: form-data; name="username"; filename="a"\r\n\r\nb\r\n--x--\r\n'


@pytest.fixture
def visitor():
    return webtest.TestApp(guarded(demo_app.app), lint=False)


@pytest.fixture
def browser(visitor):
    visitor.extra_environ = {"HTTP_ACCEPT": "text/html,application/xhtml+xml,*/*;q=0.8"}
    return visitor


def test_a_stranger_is_greeted(visitor):
    assert visitor.get("/").text.splitlines()[0] == "hello, stranger"


def test_who_logs_in_is_greeted_by_name(visitor):
    response = visitor.post("/login", {"username": "cizixs"})
    assert response.status == "303 See Other"
    assert response.follow().text.splitlines()[0] == "hello, cizixs"


def test_the_cookie_is_one_that_flask_reads(visitor):
    visitor.post("/login", {"username": "cizixs"})
    assert visitor.cookies["session"].startswith("eyJ1c2VybmFtZSI6ImNpeml4cyJ9.")


def test_the_headers_are_those_of_the_readme(visitor):
    response = visitor.post("/login", {"username": "cizixs"})
    assert COOKIE.fullmatch(response.headers["Set-Cookie"])
    assert response.headers["Vary"] == "Cookie"
    assert visitor.get("/").headers.getall("Vary") == ["Accept, Cookie"]


def test_visits_are_counted(visitor):
    assert [visitor.get("/").text.splitlines()[1] for _ in range(3)] == ["visits: 1", "visits: 2", "visits: 3"]


def test_a_cart_is_filled_in_place(visitor):
    for item in ("apple", "pear"):
        visitor.post("/cart", {"item": item})
    assert visitor.get("/").text.splitlines()[2] == "cart: apple, pear"


def test_a_log_out_ends_the_session_and_deletes_the_cookie(visitor):
    visitor.post("/login", {"username": "cizixs"})
    response = visitor.post("/logout")
    assert "Max-Age=0" in response.headers["Set-Cookie"]
    assert visitor.cookies == {}
    assert response.follow().text == "hello, stranger\nvisits: 1\ncart: empty\n"


def test_the_page_works_as_forms(browser):
    page = browser.get("/")
    assert page.content_type == "text/html"
    page.forms[0]["username"] = "cizixs"
    page = page.forms[0].submit().follow()
    page.forms[1]["item"] = "apple"
    page = page.forms[1].submit().follow()
    assert "<h1>hello, cizixs</h1>" in page
    assert "<li>apple</li>" in page
    assert "<h1>hello, stranger</h1>" in page.forms[0].submit().follow()


def test_what_a_visitor_types_is_escaped(browser):
    browser.post("/login", {"username": "<b>{name}</b>\"'&"})
    browser.post("/cart", {"item": "<script>alert(1)"})
    page = browser.get("/").text
    assert "hello, &lt;b&gt;{name}&lt;/b&gt;&quot;&#x27;&amp;</h1>" in page
    assert "<li>&lt;script&gt;alert(1)</li>" in page


@pytest.mark.parametrize("username", ["", "   ", "x" * 31])
def test_a_name_that_is_empty_or_long_is_refused(visitor, username):
    response = visitor.post("/login", {"username": username}, status=400)
    assert "Set-Cookie" not in response.headers


def test_a_form_without_the_field_is_refused(visitor):
    visitor.post("/login", {"user": "cizixs"}, status=400)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-www-form-urlencoded; charset=nope", b"username=x"),
        ("multipart/form-data", b"username=x"),
        ("multipart/form-data; boundary=x", b"--x\r\nnonsense"),
        ("multipart/form-data; boundary=x", FILE),
        ("application/json", b'{"username": "x"}'),
        ("", b"\xff\x00"),
    ],
)
def test_what_is_no_form_is_a_bad_request(visitor, content_type, body):
    visitor.post("/login", body, headers={"Content-Type": content_type}, status=400)


def test_a_full_cart_of_the_costliest_text_fits_into_the_cookie(visitor):
    letters = (chr(0x10000 + 977 * number) for number in range(1000))
    text = ["".join(next(letters) for _ in range(30)) for _ in range(10)]
    visitor.post("/login", {"username": text[0]})
    for item in text[1:]:
        visitor.post("/cart", {"item": item})
    assert visitor.get("/").text.splitlines()[2] == f"cart: {', '.join(text[-7:])}"


def test_a_forged_cookie_is_a_stranger_s(visitor):
    forged = token_of({"username": "root"}, OTHER_KEY)
    response = visitor.get("/", headers={"Cookie": f"session={forged}"})
    assert response.text.splitlines()[0] == "hello, stranger"


@pytest.mark.parametrize(
    ("path", "allowed"), [("/", "GET"), ("/login", "POST"), ("/logout", "POST"), ("/cart", "POST")]
)
def test_another_method_is_not_allowed_and_says_what_is(visitor, path, allowed):
    assert visitor.delete(path, status=405).headers["Allow"] == allowed


def test_head_is_answered_without_a_body(visitor):
    assert visitor.head("/").body == b""


def test_another_path_is_not_found(visitor):
    visitor.get("/nowhere", status=404)


def test_it_has_fewer_than_120_lines():
    assert len((ROOT / "demo_app.py").read_text().splitlines()) < 120


def test_the_process_keeps_a_session_over_a_socket(tmp_path):
    with running_demo(tmp_path, SECRET_KEY=KEY) as demo:
        status, cookie, _ = demo.ask("POST", "/login", username="cizixs")
        assert status == 303
        assert COOKIE.fullmatch(cookie)
        assert demo.ask("GET", "/")[2] == "hello, cizixs\nvisits: 1\ncart: empty\n"
        assert read(demo.cookie.partition("=")[2]) == {"username": "cizixs", "visits": 1}
        demo.ask("POST", "/logout")
        assert demo.cookie is None
        assert "SECRET_KEY is not set" not in demo.log.read_text()


def test_without_a_key_it_says_so_and_makes_one(tmp_path):
    with running_demo(tmp_path) as demo:
        demo.ask("POST", "/login", username="cizixs")
        assert demo.ask("GET", "/")[2].startswith("hello, cizixs\n")
        assert demo.log.read_text().startswith("SECRET_KEY is not set")
        assert f"http://127.0.0.1:{demo.port}" in demo.log.read_text()


def test_with_a_store_a_session_survives_a_restart_and_needs_no_key(tmp_path):
    with running_demo(tmp_path, "--store", "sqlite:///sessions.db") as demo:
        demo.ask("POST", "/login", username="cizixs")
        assert re.fullmatch(r"session=[A-Za-z0-9_-]{43}", demo.cookie)
    with running_demo(tmp_path, "--store", "sqlite:///sessions.db") as again:
        again.cookie = demo.cookie
        assert again.ask("GET", "/")[2].startswith("hello, cizixs\n")
        demo.cookie, again.cookie = again.cookie, None
        assert again.ask("GET", "/")[2].startswith("hello, stranger\n")


def test_with_a_store_a_log_out_ends_a_copied_cookie_too(tmp_path):
    with running_demo(tmp_path, "--store", "sqlite:///sessions.db") as demo:
        demo.ask("POST", "/login", username="cizixs")
        copied = demo.cookie
        demo.ask("POST", "/logout")
        demo.cookie = copied
        assert demo.ask("GET", "/")[2].startswith("hello, stranger\n")


def test_a_mistake_in_the_store_s_url_is_told_in_one_line(tmp_path):
    said = failing_demo(tmp_path, "--store", "sqlit:///sessions.db")
    assert "did you mean 'sqlite'?" in said.splitlines()[-1]


def test_the_manager_of_another_process_opens_the_demo_s_cookie(visitor):
    visitor.post("/login", {"username": "cizixs"})
    session = SessionManager(KEY).open({"HTTP_COOKIE": f"session={visitor.cookies['session']}"})
    assert session == {"username": "cizixs"}
