"""Many threads on one manager never see each other's data."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from session_mw import MemoryStore, SessionManager, SQLiteStore
from support.tokens import KEY, read, token_in
from support.visitors import Client, Visitor
from support.wsgi import PLAIN, guarded, visit

THREADS = 32


@pytest.fixture(autouse=True)
def hurried():
    """Threads take turns much more often than usual."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(usual)


def whose(environ, start_response):
    """Remembers who it is for, and tells whose data it found."""
    session = environ["session"]
    name = environ["PATH_INFO"]
    found = [session.get("name"), session.get("visits", 0), list(session.get("cart", []))]
    session["name"] = name
    session["visits"] = found[1] + 1
    session.setdefault("cart", []).append(name)
    start_response("200 OK", HEADERS)
    return [repr(found).encode()]


HEADERS = [PLAIN, ("Vary", "Accept")]


def streamed(environ, start_response):
    """The same, as a generator that starts late."""
    (part,) = whose(environ, start_response)
    yield part
    yield b""


def visits_of(app, name, times):
    visitor = Visitor(app)
    for visits in range(times):
        answer = visitor.get(name)
        expected = [name if visits else None, visits, [name] * visits]
        assert answer.body == repr(expected).encode()
        assert answer.vary == ["Accept, Cookie"]
    return visitor.jar["session"]


def together(work):
    """Call ``work`` with a name of its own in each of the threads, all at once."""
    ready = threading.Barrier(THREADS)

    def start(name):
        ready.wait(30)
        return work(name)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(start, [f"/visitor-{n}" for n in range(THREADS)]))


@pytest.mark.parametrize("app", [whose, streamed])
@pytest.mark.parametrize("settings", [{}, {"absolute_lifetime": 3600}, {"store": "memory://"}], ids=str)
def test_threads_keep_their_visitors_apart(app, settings):
    served = guarded(app, **settings)
    tokens = together(lambda name: visits_of(served, name, 12))
    assert len(set(tokens)) == THREADS
    assert HEADERS == [PLAIN, ("Vary", "Accept")]


def test_threads_keep_visitors_in_sqlite_apart(tmp_path):
    store = SQLiteStore(str(tmp_path / "sessions.db"))
    served = guarded(whose, store=store)
    assert len(set(together(lambda name: visits_of(served, name, 3)))) == THREADS
    store.close()


def test_threads_whose_cookies_are_rejected_keep_nobody_from_their_session():
    """Authentic, forged and missing cookies through one manager's signer."""
    served = guarded(whose)

    def work(name):
        visitor = Visitor(served)
        for visits in range(12):
            assert visitor.get(name).body == repr([name if visits else None, visits, [name] * visits]).encode()
            signed, _, signature = visitor.jar["session"].rpartition(".")
            forged = f"{signed}.{signature[::-1]}"
            assert visit(served, name, f"session={forged}").body == b"[None, 0, []]"
        return read(visitor.jar["session"])

    assert [data["visits"] for data in together(work)] == [12] * THREADS


def test_parallel_requests_of_one_visitor_on_different_keys_are_all_saved():
    def app(environ, start_response):
        environ["session"][environ["PATH_INFO"]] = True
        start_response("200 OK", [PLAIN])
        return [str(len(environ["session"])).encode()]

    served = guarded(app, store=MemoryStore())
    visitor = Visitor(served)
    visitor.get("/first")
    together(lambda name: visit(served, name, visitor.cookie))
    assert int(visitor.get("/last").body) == THREADS + 2


def test_threads_with_one_manager_keep_the_attributes_of_their_requests_apart():
    sessions = SessionManager(KEY, absolute_lifetime=86400)

    def work(name):
        scheme = "https" if len(name) % 2 else "http"
        client = Client(sessions)
        client.do(lambda s: s.update(name=name, _permanent=True))
        for count in range(60):
            session = sessions.open({"HTTP_COOKIE": client.cookie, "wsgi.url_scheme": scheme})
            assert (session["name"], session.get("count", 0)) == (name, count)
            session["count"] = count + 1
            headers = sessions.commit(session)
            assert ("; Secure;" in headers[1][1]) == (scheme == "https")
            client.token = token_in(headers)

    together(work)
