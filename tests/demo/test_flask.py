"""A Flask application beside the demo's own pages, on one session."""

from __future__ import annotations

import pytest

from session_mw import MemoryStore, StoreError
from support.demo import Site, heading

pytest.importorskip("webtest")
pytest.importorskip("flask")

from examples.demo import flask_room


@pytest.fixture(params=[{}, {"store": "memory://"}], ids=["cookie", "store"])
def site(request):
    return Site(flask_room.room(), **request.param)


@pytest.fixture
def browser(site):
    return site.browser()


def cart(page):
    return [item.text for item in page.html.select(".cart li")]


def test_name_visits_and_cart_are_those_of_the_first_page(browser):
    browser.post("/login", {"username": "cizixs"})
    browser.post("/cart", {"item": "apple"})
    browser.get("/")
    page = browser.get("/flask/")
    assert heading(page) == "hello, cizixs, from Flask"
    assert "Visits in this session: 2" in page
    page.forms[0]["item"] = "<pear>"
    page = page.forms[0].submit().follow()
    assert cart(page) == ["apple", "<pear>"]
    assert page.html.find(role="status").text == "Flask put it into the cart."
    assert cart(browser.get("/")) == ["apple", "<pear>"]


def test_messages_go_both_ways(browser):
    page = browser.get("/flask/")
    page.forms[1]["message"] = "from Flask"
    assert page.forms[1].submit().follow().html.find(role="status").text == "from Flask"
    browser.post("/flash", {"message": "from WSGI"})
    assert browser.get("/flask/").html.find(role="status").text == "from WSGI"


def test_one_log_in_is_for_both(site):
    browser = site.logged_in(remember=True)
    assert heading(browser.get("/flask/")) == "hello, ada, from Flask"
    browser.post("/break/close")
    assert heading(browser.get("/flask/")) == "hello, ada, from Flask"


def test_there_is_one_set_cookie(browser):
    assert len(browser.post("/flask/cart", {"item": "apple"}).headers.getall("Set-Cookie")) == 1


def test_errors_of_flask_are_pages_of_the_demo(browser):
    assert heading(browser.get("/flask/nowhere", status=404)) == "404 NOT FOUND"
    page = browser.get("/flask/cart", status=405)
    assert "POST" in page.headers["Allow"]
    assert page.html.main.find("a", href="/") is not None
    assert "of 1 to 30 characters" in browser.post("/flask/cart", {"item": " "}, status=400).html.main.text
    browser.post("/flask/cart", {"item": "x"}, headers={"Sec-Fetch-Site": "cross-site"}, status=403)


def test_a_store_that_does_not_answer_is_a_503():
    class DownStore(MemoryStore):
        def load(self, key):
            raise StoreError("connection refused")

    browser = Site(flask_room.room(), store=DownStore()).browser()
    browser.set_cookie("session", "A" * 43)
    assert browser.get("/flask/", status=503).headers["Retry-After"] == "5"


def test_without_the_option_the_page_says_so():
    page = Site().browser().get("/flask/")
    assert page.html.select_one(".note code").text == "--flask"
    assert len(page.forms) == 0
