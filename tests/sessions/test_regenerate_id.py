"""``regenerate_id()``: the same data under another id, and nothing under the old one."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from session_mw import MemoryStore, SessionManager
from session_mw.csrf import csrf_token
from support.visitors import Client, Visitor, stored
from support.wsgi import ATTRIBUTES, PLAIN, VARY, added, guarded, page, visit

PUBLIC = ("Cache-Control", "public")


def test_a_new_id_is_sent_and_keeps_the_data(client):
    old = client.other()
    answer = visit(guarded(page(lambda s: s.regenerate_id()), sessions=client.sessions), cookie=client.cookie)
    assert answer.token != old.token
    assert added(answer) == [VARY, ("Set-Cookie", f"session={answer.token}; {ATTRIBUTES}")]
    assert Client(client.sessions, answer.token).data() == {"a": 1, "cart": ["apple"]}
    assert old.data() == {}


def test_a_log_in_ends_the_id_from_before_it(client):
    old = client.other()
    assert client.do(lambda s: (s.regenerate_id(), s.update(user=42))) == "set"
    assert (client.token != old.token, client.data()["user"]) == (True, 42)
    assert old.data() == {}
    left = client.sessions.store.inner.load(old.key)
    assert (left.data.startswith(b"ended"), b"apple" in left.data) == (True, False)
    assert left.expires <= time.time() + 60


def test_a_cookie_session_that_regenerates_its_id_is_sent_again_with_its_data(cookie_sessions):
    client = Client(cookie_sessions)
    client.do(lambda s: s.update(a=1, _csrf_token="planted"))
    assert client.do(lambda s: s.regenerate_id()) == "set"
    assert client.data() == {"a": 1}


def test_the_data_stay_and_the_csrf_secret_goes(any_client):
    any_client.do(lambda s: s.update(_csrf_token="planted"))
    assert any_client.do(lambda s: s.regenerate_id()) == "set"
    assert any_client.data() == {"a": 1, "cart": ["apple"]}


def test_a_secret_that_is_planted_while_a_visitor_logs_in_does_not_come_with_him(sessions):
    planted = Client(sessions)
    planted.do(lambda s: s.update(lang="en"))
    login, attacker = Client(sessions, planted.token), Client(sessions, planted.token)
    session = login.open()
    session["user"] = "victim"
    attacker.do(csrf_token)
    secret = attacker.open()["_csrf_token"]
    session.regenerate_id()
    login.commit(session)
    assert login.data() == {"lang": "en", "user": "victim"}
    login.do(csrf_token)
    assert login.open()["_csrf_token"] != secret


def test_created_is_when_the_session_began_and_survives_a_new_id(client, clock):
    began = client.open().created
    clock.advance(86400)
    client.do(lambda s: s.regenerate_id())
    assert client.open().created == began
    client.do(lambda s: (s.invalidate(), s.update(a=1)))
    assert client.open().created == int(clock.now)


# Other requests are under way


def test_regenerate_id_carries_over_what_others_saved_meanwhile(client, sessions):
    slow, quick = client.open(), client.open()
    slow["user"] = 42
    slow.regenerate_id()
    quick["b"] = 1
    client.commit(quick)
    assert client.commit(slow) == "set"
    assert client.data() == {"a": 1, "b": 1, "cart": ["apple"], "user": 42}


def test_regenerate_id_carries_over_what_was_saved_at_the_last_moment(client, store, inner):
    slow, quick = client.open(), client.open()
    slow.regenerate_id()
    quick["b"] = 1
    store.once("create", lambda: client.commit(quick))
    assert client.commit(slow) == "set"
    assert client.data() == {"a": 1, "b": 1, "cart": ["apple"]}


def test_of_two_log_ins_at_once_one_wins_and_one_record_remains(client, sessions, inner):
    tokens = []
    opened = [client.open(), client.open()]
    for session in opened:
        session.principal = "42"
        session.regenerate_id()
    answers = [Client(sessions, client.token) for _ in opened]
    for answer, session in zip(answers, opened, strict=True):
        tokens.append((answer.commit(session), answer.data()))
    assert [outcome for outcome, _ in tokens] == ["set", "kept"]
    assert tokens[1][1] == {}


@pytest.mark.heavy
def test_a_regenerated_id_takes_along_what_others_save_meanwhile(shared_url: str) -> None:
    """Every save that the writer was told of is in the session under its new id, however they interleave."""
    sessions = SessionManager(store=shared_url)
    for _ in range(15):
        client = Client(sessions)
        client.do(lambda s: s.update(begun=True))

        def write(writer: Client) -> set[str]:
            saved = set()
            for n in range(40):
                session = writer.open()
                if session.new:
                    break
                session[f"k{n}"] = n
                writer.commit(session)
                # A request whose session was ended while it ran has saved nothing.
                if session.id is not None:
                    saved.add(f"k{n}")
            return saved

        with ThreadPoolExecutor(2) as pool:
            writing, regenerating = (
                pool.submit(write, client.other()),
                pool.submit(client.do, lambda s: s.regenerate_id()),
            )
            assert regenerating.result() == "set"
            assert writing.result() <= set(client.data())
    sessions.close()


# The response is sent already


def test_a_late_regenerate_id_does_not_take_the_session_from_the_visitor():
    def stream(session):
        yield b"part"
        session["user"] = 42
        session.regenerate_id()
        yield b"end"

    def app(environ, start_response):
        environ["session"].setdefault("cart", ["pear"])
        start_response("200 OK", [PLAIN])
        return stream(environ["session"])

    store = MemoryStore()
    visitor = Visitor(guarded(page(lambda s: s.update(cart=["pear"])), store=store))
    visitor.get()
    visitor.app = guarded(app, store=store)
    visitor.get()
    assert stored(store, visitor) == {"cart": ["pear"], "user": 42}


@pytest.mark.parametrize("change", [lambda s: s.regenerate_id(), lambda s: s.invalidate()])
def test_a_new_id_after_a_refresh_in_the_same_request_is_not_left_out(sessions, clock, change):
    client = Client(sessions)
    client.do(lambda s: s.update(a=1, _permanent=True))
    clock.advance(2 * 86400)
    session = client.open()
    assert session["a"] == 1
    assert client.commit(session) == "set"
    change(session)
    assert [name for name, _ in sessions.respond(session, [PUBLIC])] == ["Cache-Control", "Vary", "Set-Cookie"]


# The store fails


def test_a_new_id_needs_nothing_to_be_deleted(client, store, caplog):
    store.fail("delete")
    assert client.do(lambda s: s.regenerate_id()) == "set"
    assert client.data() == {"a": 1, "cart": ["apple"]}
    assert caplog.records == []
