"""Several threads or greenlets of one request see one session: one of them loads it, the others wait."""

from __future__ import annotations

import copy
import logging
import pickle
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from session_mw import MemoryStore, SessionManager, StoreError
from support.interrupts import MAY_LAND_IN_A_FINALIZER, TooSlow, interrupt
from support.stores import Recording
from support.tokens import KEY
from support.visitors import Client
from support.wsgi import VARY

THREADS = 8
TOUCHES = {
    "get": lambda s: s.get("a"),
    "item": lambda s: s["a"],
    "contains": lambda s: "a" in s and 1,
    "length": lambda s: len(s) - 1,
    "equality": lambda s: s == {"a": 1, "cart": ["apple"]} and 1,
    "copy": lambda s: s.copy()["a"],
    "copy.copy": lambda s: copy.copy(s)["a"],
    "deepcopy": lambda s: copy.deepcopy(s)["a"],
    "pickle": lambda s: pickle.loads(pickle.dumps(s))["a"],
    "repr": lambda s: repr(s) == "{'a': 1, 'cart': ['apple']}" and 1,
    "union": lambda s: (s | {})["a"],
    "new": lambda s: s.new is False and 1,
    "setdefault": lambda s: s.setdefault("a", 2),
}


@pytest.fixture(autouse=True)
def hurried():
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(usual)


def at_once(work, count=THREADS):
    ready = threading.Barrier(count)

    def start(n):
        ready.wait(30)
        return work(n)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(start, range(count)))


@pytest.mark.parametrize("touch", TOUCHES.values(), ids=TOUCHES)
def test_all_wait_for_one_load_and_none_sees_it_empty(client, store: Recording, touch):
    store.before["load"] = lambda: time.sleep(0.02)
    session = client.open()
    assert at_once(lambda n: touch(session)) == [1] * THREADS
    assert store.calls == ["load"]


def test_no_write_is_lost(any_client):
    for _ in range(10):
        session = any_client.open()
        at_once(lambda n, session=session: session.__setitem__(f"k{n}", n))
        any_client.commit(session)
        assert any_client.data() == {"a": 1, "cart": ["apple"], **{f"k{n}": n for n in range(THREADS)}}
        any_client.do(lambda s: [s.pop(f"k{n}") for n in range(THREADS)])


def test_a_store_that_is_down_is_an_error_for_all_and_asked_once(client, store: Recording):
    def fail():
        time.sleep(0.02)
        raise StoreError("the store is down")

    store.before["load"] = fail
    session = client.open()

    def touch(n):
        with pytest.raises(StoreError, match="the store is down"):
            session.get("a")
        return n

    assert at_once(touch) == list(range(THREADS))
    assert store.calls == ["load"]
    assert "could not be loaded" in repr(session)


@MAY_LAND_IN_A_FINALIZER
def test_where_the_thread_that_loads_is_interrupted_another_one_loads(client, store: Recording):
    entered, leave = threading.Event(), threading.Event()

    def wait():
        entered.set()
        while not leave.is_set():
            time.sleep(0.001)

    session = client.open()
    store.once("load", wait)
    outcomes = []

    def load():
        try:
            outcomes.append(session["a"])
        except TooSlow:
            outcomes.append("interrupted")

    loading = threading.Thread(target=load)
    loading.start()
    assert entered.wait(10)
    waiting = threading.Thread(target=load)
    waiting.start()
    interrupt(loading)
    loading.join(10)
    waiting.join(10)
    assert outcomes == ["interrupted", 1]
    session["b"] = 1
    client.commit(session)
    assert client.data() == {"a": 1, "cart": ["apple"], "b": 1}


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError, TooSlow])
def test_an_exception_from_outside_leaves_it_as_if_nobody_had_touched_it(client, store: Recording, error):
    def stop():
        raise error

    store.once("load", stop)
    session = client.open()
    with pytest.raises(error):
        session.get("a")
    assert (session["a"], session.new) == (1, False)


@MAY_LAND_IN_A_FINALIZER
@pytest.mark.heavy
def test_interrupted_at_any_moment_a_session_is_whole_or_untouched(any_client):
    sessions = any_client.sessions
    seen = []

    def work(session):
        try:
            seen.append(session.copy())
        except TooSlow:
            seen.append("interrupted")

    for n in range(300):
        session = any_client.open()
        thread = threading.Thread(target=work, args=(session,))
        thread.start()
        time.sleep(n % 20 * 1e-5)
        if thread.is_alive():
            interrupt(thread)
        thread.join(10)
        assert session.copy() == {"a": 1, "cart": ["apple"]}
        assert sessions.commit(session) == [VARY]
    assert {"a": 1, "cart": ["apple"]} in seen


class Looking(logging.Filter):
    """An application's filter, which adds to each line what it finds in the session."""

    session = None

    def __init__(self, look):
        super().__init__()
        self.look, self.seen = look, []

    def filter(self, record):
        self.seen.append(self.look(self.session))
        return True


LOOKS = {
    "get": (lambda s: s.get("user"), None),
    "repr": (repr, "{}"),
    "copy": (dict, {}),
    "length": (len, 0),
    "principal": (lambda s: s.principal, None),
    "id": (lambda s: s.id, None),
    "created": (lambda s: s.created, 0),
    "new": (lambda s: s.new, True),
    "twice": (lambda s: (s.get("user"), repr(s)), (None, "{}")),
    "pickle": (lambda s: pickle.loads(pickle.dumps(s)), {}),
    "lifetime": (lambda s: (s.lifetime, s.label, s.permanent), (None, None, False)),
}


@pytest.mark.parametrize(("look", "seen"), LOOKS.values(), ids=LOOKS)
def test_a_filter_that_looks_at_the_session_about_which_a_line_is_logged_sees_it_empty(any_client, look, seen):
    filter_ = Looking(look)
    logger = logging.getLogger("session_mw")
    session = filter_.session = any_client.sessions.open({"HTTP_COOKIE": f"session=junk; {any_client.cookie}"})
    level = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addFilter(filter_)
    try:
        assert session["a"] == 1
    finally:
        logger.removeFilter(filter_)
        logger.setLevel(level)
    assert filter_.seen == [seen]
    session["b"] = 1
    any_client.commit(session)
    assert any_client.data() == {"a": 1, "cart": ["apple"], "b": 1}


def test_a_filter_that_looks_while_a_store_fails_does_not_make_the_session_seem_empty():
    orjson = pytest.importorskip("orjson")
    store = Recording(MemoryStore())
    sessions = SessionManager(store=store)
    client = Client(sessions)
    client.do(lambda s: s.update(a=1))
    filter_ = Looking(lambda s: s.get("a"))
    logger = logging.getLogger("session_mw")
    session = filter_.session = sessions.open({"HTTP_COOKIE": f"session=junk; {client.cookie}"})
    store.fail("load")
    level = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addFilter(filter_)
    try:
        with pytest.raises(StoreError):
            session.get("a")
    finally:
        logger.removeFilter(filter_)
        logger.setLevel(level)
    assert filter_.seen == [None]
    with pytest.raises(TypeError):
        orjson.dumps(session)
    with pytest.raises(StoreError):
        session.get("a")


GREENLETS = """
from gevent import monkey
monkey.patch_all()
import gevent, time
from session_mw import MemoryStore, SessionManager

class Slow(MemoryStore):
    loads = 0

    def load(self, key):
        Slow.loads += 1
        gevent.sleep(0.02)
        return super().load(key)

sessions = SessionManager(store=Slow())
session = sessions.open({})
session["a"] = 1
cookie = dict(sessions.commit(session))["Set-Cookie"].partition(";")[0]

Slow.loads = 0
session = sessions.open({"HTTP_COOKIE": cookie})
def work(n):
    session[f"k{n}"] = n
    return session["a"]
found = [one.get() for one in [gevent.spawn(work, n) for n in range(20)]]
assert (found, Slow.loads) == ([1] * 20, 1), (found, Slow.loads)
sessions.commit(session)
assert len(sessions.open({"HTTP_COOKIE": cookie})) == 21

# killed, and out of time, while it loads
for stop in (lambda one: one.kill(), lambda one: None):
    session = sessions.open({"HTTP_COOKIE": cookie})
    def timed():
        with gevent.Timeout(0.005, False):
            return session["a"]
    first, second = gevent.spawn(timed), gevent.spawn(work, 0)
    gevent.sleep(0.001)
    stop(first)
    assert second.get(timeout=5) == 1
    assert not first.get()  or isinstance(first.value, gevent.GreenletExit)
print("all well")
"""


def test_greenlets_wait_for_one_load_and_lose_no_write():
    pytest.importorskip("gevent")
    run = subprocess.run([sys.executable, "-c", GREENLETS], capture_output=True, text=True, timeout=60, check=False)
    assert (run.stdout, run.stderr) == ("all well\n", "")


def test_a_session_in_a_cookie_is_seen_by_all_threads_as_one():
    client = Client(SessionManager(KEY))
    client.do(lambda s: s.update(a=1))
    session = client.open()
    assert at_once(lambda n: (session["a"], session.setdefault("carts", []).append(n))[0]) == [1] * THREADS
    client.commit(session)
    assert client.data()["a"] == 1
