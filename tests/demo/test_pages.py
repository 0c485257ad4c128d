"""What all pages of the demo have, its errors, and what programs get."""

from __future__ import annotations

import re
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from session_mw import MemoryStore, StoreError
from support.demo import Site, form_to, heading
from support.tokens import KEY
from support.wsgi import Server, environ_of, guarded

webtest = pytest.importorskip("webtest")

PAGES = ["/", "/wrap", "/account/login", "/break", "/flask/"]
ANYWHERE = Site()
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)


class DownStore(MemoryStore):
    """One that does not answer any more."""

    def load(self, key):
        raise StoreError("connection refused")


@pytest.fixture
def browser():
    return Site().browser()


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_a_language_a_title_landmarks_and_one_heading(browser, path):
    page = browser.get(path)
    assert page.html.html["lang"] == "en"
    assert page.html.title.text.endswith(" – session_mw demo")
    assert [len(page.html.find_all(name)) for name in ("header", "nav", "main", "h1")] == [1, 1, 1, 1]
    assert [int(found.name[1]) for found in page.html.main.find_all(re.compile("h[1-6]"))][:1] == [1]
    assert len({browser.get(other).html.title.text for other in PAGES}) == len(PAGES)


@pytest.mark.parametrize("path", [*PAGES, "/nowhere"])
def test_a_page_lets_nothing_in_from_elsewhere(browser, path):
    page = browser.get(path, expect_errors=True)
    assert page.headers["Content-Security-Policy"] == POLICY
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert "no-store" in page.headers["Cache-Control"]
    assert not re.findall(r"<script|<style|\sstyle=|\son\w+=|https?://(?!www\.w3\.org)", page.text)


@pytest.mark.parametrize("path", PAGES)
def test_every_field_has_a_label(browser, path):
    page = browser.get(path).html
    labelled = {label.get("for") for label in page.find_all("label")}
    for field in page.find_all("input", type=lambda kind: kind != "hidden"):
        assert field.get("id") in labelled or field.find_parent("label") is not None


def test_every_link_of_a_page_leads_somewhere(browser):
    links = {link["href"] for path in PAGES for link in browser.get(path).html.find_all("a")}
    assert {"/", "/account", "/break", "/flask/", "/wrap"} <= links
    for link in sorted(link for link in links if not link.startswith("#")):
        assert browser.get(link).status_int in (200, 303)


@pytest.mark.parametrize("path", ["/", "/account/login"])
def test_the_inspector_stands_beside(browser, path):
    frame = browser.get(path).html.iframe
    assert frame["title"]
    assert "Session inspector" in browser.get(frame["src"])


@pytest.mark.parametrize(("path", "kind"), [("/style.css", "text/css"), ("/favicon.svg", "image/svg+xml")])
def test_style_and_picture_are_sent_once_and_touch_no_session(browser, path, kind):
    first = browser.get(path, headers={"Accept": "text/css,image/*,*/*;q=0.1"})
    assert first.content_type == kind
    assert "Vary" not in first.headers
    assert browser.get(path, headers={"If-None-Match": first.headers["ETag"]}).status_int == 304


def test_a_message_is_shown_once_and_on_whatever_page_comes_next(browser):
    form = form_to(browser.get("/"), "/flash")
    form["message"] = "<i>Saved</i> & seen"
    form.submit()
    page = browser.get("/wrap")
    assert page.html.find(role="status").text == "<i>Saved</i> & seen"
    assert browser.get("/wrap").html.find(role="status") is None


def test_the_snippet_on_the_page_counts_visits(browser):
    code = browser.get("/wrap").html.find(id="wsgi-code").text
    made = {"KEY": KEY}
    exec(code, made)
    visitor = webtest.TestApp(made["app"], lint=False)
    assert [visitor.get("/").text for _ in range(2)] == ["visit 1\n", "visit 2\n"]


def test_the_demo_shows_how_it_is_wrapped_itself(browser):
    assert "site = SessionMiddleware(site, sessions=sessions)" in browser.get("/wrap").html.text


# Errors


def test_an_error_is_a_page_with_a_way_back(browser):
    for page in (browser.get("/nowhere", status=404), browser.get("/cart", status=405)):
        assert heading(page) == page.status
        assert page.html.main.find("a", href="/") is not None
    assert page.headers["Allow"] == "POST"


def test_a_field_that_is_empty_or_long_is_a_bad_request(browser):
    for text in ("  ", "x" * 31):
        form = form_to(browser.get("/"), "/cart")
        form["item"] = text
        assert "of 1 to 30 characters" in form.submit(status=400).html.main.text


def test_a_form_that_is_too_large_is_refused_and_nothing_is_saved(browser):
    page = browser.post("/cart", {"item": "x" * 70_000}, status=413)
    assert heading(page) == "413 Content Too Large"
    assert "Set-Cookie" not in page.headers


def test_a_form_of_another_site_is_refused_with_the_reason(browser):
    page = browser.post("/cart", {"item": "apple"}, headers={"Sec-Fetch-Site": "cross-site"}, status=403)
    assert "another site" in page.html.main.text
    assert browser.get("/").html.find("ul", "cart").text.strip() == "nothing yet"


def test_an_old_browser_that_says_nothing_is_asked_for_a_token(browser):
    del browser.extra_environ["HTTP_SEC_FETCH_SITE"]
    assert "CSRF" in browser.post("/cart", {"item": "apple"}, status=403).html.main.text


def test_a_store_that_does_not_answer_is_a_503_and_pages_without_a_session_are_served():
    browser = Site(store=DownStore()).browser()
    browser.set_cookie("session", "A" * 43)
    for page in (browser.get("/", status=503), browser.get("/account", status=503), browser.get("/break", status=503)):
        assert page.headers["Retry-After"] == "5"
        assert "connection refused" in page.html.main.text
        assert "Set-Cookie" not in page.headers
    assert browser.get("/style.css", headers={"Accept": "text/css,*/*;q=0.1"}).status_int == 200


LATIN = st.text(st.characters(max_codepoint=0xFF, exclude_characters="\r\n"), max_size=30)
PATHS = ["/", "/login", "/cart", "/account", "/account/login", "/account/end", "/break", "/break/copy", "/break/change"]
PATHS += [
    "/break/restore",
    "/break/copy/_session",
    "/_session",
    "/flask/",
    "/style.css",
    "//x",
    "/account/\xff",
    "/\xff",
]
KINDS_OF_BODY = [
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "multipart/form-data",
    "",
    "a/b",
]


@settings(max_examples=300, deadline=None)
@given(
    path=st.sampled_from(PATHS),
    method=st.sampled_from(["GET", "POST", "HEAD", "PUT"]),
    query=LATIN,
    cookie=LATIN,
    body=st.binary(max_size=50),
    content_type=st.sampled_from(KINDS_OF_BODY),
    accept=st.sampled_from(["text/html", "*/*"]),
)
def test_nothing_that_is_sent_is_an_error_of_the_server(path, method, query, cookie, body, content_type, accept):
    environ = environ_of(path, "; ".join(f"{name}={cookie}" for name in ("session", "kept", "copied", "remember")))
    environ |= {"REQUEST_METHOD": method, "QUERY_STRING": f"next={query}", "HTTP_SEC_FETCH_SITE": "same-origin"}
    environ |= {"CONTENT_TYPE": content_type, "CONTENT_LENGTH": str(len(body)), "wsgi.input": BytesIO(body)}
    environ |= {"HTTP_ACCEPT": accept, "REMOTE_ADDR": "127.0.0.1"}
    assert Server(ANYWHERE.app, environ).run().status < "500"


# Programs


def test_programs_get_plain_text():
    program = webtest.TestApp(Site().app, lint=False)
    assert program.get("/").text == "hello, stranger\nvisits: 1\ncart: empty\n"
    answer = program.post("/cart", {"item": ""}, status=400)
    assert (answer.content_type, answer.text) == (
        "text/plain",
        "Send a form with the field 'item', of 1 to 30 characters.\n",
    )
    assert program.get("/nowhere", status=404).text == "There is no page at this address.\n"


def test_programs_meet_the_same_headers_behind_all_layers():
    demo_app = pytest.importorskip("demo_app")
    whole, bare = (webtest.TestApp(app, lint=False) for app in (Site().app, guarded(demo_app.app)))
    for method, path in [("POST", "/login"), ("GET", "/")]:
        first, second = (
            visitor.post(path, {"username": "cizixs"}) if method == "POST" else visitor.get(path)
            for visitor in (whole, bare)
        )
        assert sorted(first.headers.items()) == sorted(second.headers.items())


def test_a_program_that_says_where_it_comes_from_is_checked():
    program = webtest.TestApp(Site().app, lint=False)
    program.post("/login", {"username": "x"}, headers={"Origin": "https://evil.example"}, status=403)
    program.post("/login", {"username": "x"}, headers={"Referer": "https://evil.example/"}, status=403)
