"""Registrations of devices beside page writes: no binding is lost, and no write."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("jwt")

from support import device_races
from support.device import BindingBrowser, bound_site
from support.device_races import Visit, Worker

SESSIONS = 200


def logged_in(app) -> Visit:
    browser = BindingBrowser(app)
    browser.get("/login")
    assert browser.offer is not None
    return Visit(browser.jar, browser.offer)


@pytest.mark.heavy
def test_in_every_store_no_binding_and_no_write_is_lost_between_two_processes(shared_url: str) -> None:
    app = device_races.site(shared_url)
    visits = [logged_in(app) for _ in range(SESSIONS)]
    if shared_url == "memory://":
        # of one process: two of its threads
        with ThreadPoolExecutor(2) as pool:
            work = [
                (pool.submit(device_races.register, app, v), pool.submit(device_races.write, app, v)) for v in visits
            ]
            results = [(jar.result(), written.result()) for jar, written in work]
    else:
        workers = Worker("register", shared_url), Worker("write", shared_url)
        results = []
        for visit in visits:
            for worker in workers:
                worker.begin(visit)
            results.append(tuple(worker.result() for worker in workers))
        for worker in workers:
            worker.stop()
    for jar, written in results:
        browser = BindingBrowser(app, jar)
        assert browser.get().body != b"{}"
        data = device_races.json.loads(browser.get().body)
        assert data == {"user": "42", **dict.fromkeys(written, True)}
        assert BindingBrowser(app, {"session": jar["session"]}).get().body == b"{}"
    # Else nothing was tried: in some the page came first, in some the registration.
    assert len({len(written) for _, written in results}) > 1
    app.sessions.close()


@pytest.mark.parametrize("encrypt", [False, True])
def test_answers_that_come_crosswise_lose_no_binding_of_sessions_in_cookies(encrypt: bool) -> None:
    """Each answer that writes replaces the whole cookie, also by one of before the registration."""
    app, chance, restored = bound_site(encrypt=encrypt), random.Random(1), 0
    for _ in range(SESSIONS):
        browser = BindingBrowser(app)
        browser.get("/login")
        offer = browser.offer
        # Requests go out with what the browser has at the time, and are answered; the answers come in any order.
        on_their_way = []
        is_registered = False
        for _ in range(chance.randint(2, 6)):
            request = browser.thief()
            if not is_registered and chance.random() < 0.5:
                is_registered, request.offer, request.device = True, offer, browser.device
                answer = request.register()
                assert answer.status == "200 OK"
                browser.identifier, browser.challenge = request.identifier, request.challenge
                browser.instructions = request.instructions
            else:
                answer = request.get("/write")
            on_their_way.append(answer)
            while on_their_way and chance.random() < 0.4:
                browser.keep(on_their_way.pop(chance.randrange(len(on_their_way))))
        chance.shuffle(on_their_way)
        for answer in on_their_way:
            browser.keep(answer)
        if not is_registered:
            continue
        restored += browser.thief("session").get().body != b"{}"
        browser.get()
        assert browser.thief("session").get().body == b"{}"
        assert browser.get().body != b"{}"
        assert browser.refresh().status == "200 OK"
    assert restored > SESSIONS / 10


def test_a_refresh_finds_a_binding_that_a_page_has_not_brought_back_yet() -> None:
    app = bound_site()
    browser = BindingBrowser(app)
    browser.get("/login")
    page = browser.thief().get("/write")
    browser.register()
    browser.keep(page)
    assert browser.refresh().status == "200 OK"
    thief = browser.thief("session")
    assert thief.get().body == b'{"n": 1, "user": "42"}'
    browser.get()
    assert browser.thief("session").get().body == b"{}"


def test_a_second_registration_is_refused_also_where_only_the_proof_tells_of_the_first() -> None:
    browser = BindingBrowser(bound_site())
    browser.get("/login")
    page, offer = browser.thief().get("/write"), browser.offer
    browser.register()
    browser.keep(page)
    browser.offer = offer
    assert browser.register().status == "409 Conflict"


def test_a_proof_that_is_too_old_brings_nothing_back(clock) -> None:
    browser = BindingBrowser(bound_site())
    browser.get("/login")
    page = browser.thief().get("/write")
    browser.register()
    browser.keep(page)
    clock.advance(601)
    answer = browser.get()
    assert answer.body == b'{"n": 1, "user": "42"}'
    assert len(answer.all("Secure-Session-Registration")) == 1
    assert browser.refresh().status == "401 Unauthorized"
    assert browser.register().status == "200 OK"
