"""Sessions in cookies that can be ended: ``SessionManager(KEY, revocations=…)``."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest

from session_mw import ConfigurationError, MemoryStore, SessionManager, StoreError
from session_mw.backends.revocations import follower
from support.stores import METHODS, Recording
from support.tokens import KEY
from support.visitors import Client

DAY = 86400


class Servers:
    """Two processes of one application, as managers on one store."""

    def __init__(self, **settings: Any) -> None:
        self.store = Recording(MemoryStore())
        self.settings = settings
        self.here, self.there = self.start(), self.start()

    def start(self) -> SessionManager:
        return SessionManager(KEY, revocations=self.store, **self.settings)


@pytest.fixture(params=[False, True], ids=["signed", "encrypted"])
def servers(request, clock, monkeypatch) -> Servers:
    # One process tells the managers of another one nothing.
    monkeypatch.setattr(follower, "tell_others", lambda writer, key: None)
    if request.param:
        pytest.importorskip("cryptography")
    return Servers(encrypt=request.param)


def log_in(sessions: SessionManager, principal: str = "42", **data: Any) -> Client:
    client = Client(sessions)
    client.do(lambda s: (s.update(data or {"a": 1}), setattr(s, "principal", principal)))
    return client


def begin(sessions: SessionManager, **data: Any) -> Client:
    client = Client(sessions)
    client.do(lambda s: s.update(data or {"a": 1}))
    return client


# Ids


def test_a_session_has_an_id_from_its_first_save_on(servers):
    session = servers.here.open({})
    session["a"] = 1
    assert session.id is None
    servers.here.commit(session)
    client = begin(servers.here)
    one = client.open().id
    assert one == client.open().id
    assert len(one) == 22
    client.do(lambda s: s.update(b=1))
    assert client.open().id == one
    assert dict(client.open()) == {"a": 1, "b": 1}


def test_an_id_is_none_while_it_is_about_to_change(servers):
    client = begin(servers.here)
    for change in (lambda s: s.regenerate_id(), lambda s: s.invalidate(), lambda s: s.clear()):
        session = client.open()
        assert session.id
        change(session)
        assert session.id is None


# A log-out


@pytest.mark.parametrize("end", ["invalidate", "clear"])
def test_a_log_out_ends_every_copy_of_the_cookie(servers, clock, end):
    client = begin(servers.here)
    here, there = client.other(), client.other(servers.there)
    assert there.data() == {"a": 1}
    assert client.do(lambda s: getattr(s, end)()) == "deleted"
    assert (here.data(), here.open().new) == ({}, True)
    clock.advance(1.5)
    assert there.data() == {}


def test_a_log_out_that_is_filled_again_begins_another_session(servers):
    client = begin(servers.here)
    copy = client.other()
    former = client.open().id
    client.do(lambda s: (s.clear(), s.update(b=2)))
    assert client.data() == {"b": 2}
    assert client.open().id not in (None, former)
    assert copy.data() == {}


def test_a_log_out_that_cannot_be_written_raises_and_the_session_stays(servers):
    client = begin(servers.here)
    session = client.open()
    session.invalidate()
    servers.store.fail("create", "update")
    with pytest.raises(StoreError):
        servers.here.commit(session)
    servers.store.before.clear()
    assert client.data() == {"a": 1}
    assert client.commit(session) == "deleted"
    assert client.other().data() == {}


def test_a_log_out_whose_answer_was_lost_can_be_made_again(servers):
    client = begin(servers.here)
    begin(servers.here).do(lambda s: s.invalidate())
    real, session = servers.store.inner, client.open()
    copy = client.other()

    class Lossy(MemoryStore):
        def update(self, *args, **named):
            real.update(*args, **named)
            raise StoreError("the answer was lost")

    session.invalidate()
    servers.store.inner = Lossy()
    servers.store.inner.load = real.load
    with pytest.raises(StoreError):
        servers.here.commit(session)
    servers.store.inner = real
    assert client.commit(session) == "deleted"
    assert copy.data() == {}


def test_several_genuine_cookies_are_all_ended_by_a_log_out(servers):
    one, other = begin(servers.here), begin(servers.here, b=2)
    session = servers.here.open({"HTTP_COOKIE": f"{one.cookie}; {other.cookie}"})
    assert dict(session) == {}
    session.invalidate()
    servers.here.commit(session)
    assert (one.data(), other.data()) == ({}, {})


def test_a_request_under_way_does_not_bring_an_ended_session_back(servers):
    client = begin(servers.here)
    other = client.other()
    session = other.open()
    session["b"] = 1
    client.do(lambda s: s.invalidate())
    assert other.commit(session) == "kept"


def test_an_ended_permanent_session_is_not_refreshed(servers, clock):
    client = begin(servers.here)
    client.do(lambda s: setattr(s, "permanent", True))
    copy, there = client.other(), client.other(servers.there)
    clock.advance(1)
    assert client.do() == "set"
    assert there.do() == "set"
    client.do(lambda s: s.invalidate())
    clock.advance(1.5)
    assert copy.do() == "kept"
    assert there.do() == "kept"
    assert copy.do(len) == "kept"


def test_that_a_session_has_ended_is_logged_without_its_token(servers, caplog):
    client = begin(servers.here)
    copy = client.other()
    client.do(lambda s: s.invalidate())
    caplog.set_level(logging.DEBUG, "session_mw")
    copy.data()
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert "session cookie refused: ended (fingerprint " in record.getMessage()


# A new id


def test_a_new_id_ends_the_old_one(servers, clock):
    client = begin(servers.here)
    old, there, former = client.other(), client.other(servers.there), client.open().id
    assert client.do(lambda s: s.regenerate_id()) == "set"
    assert client.data() == {"a": 1}
    assert client.open().id not in (None, former)
    assert old.data() == {}
    clock.advance(1.5)
    assert there.data() == {}


def test_what_comes_late_with_the_old_id_is_neither_saved_nor_sent(servers, clock):
    client = begin(servers.here)
    late = client.other()
    client.do(lambda s: s.regenerate_id())
    for change in (lambda s: s.update(b=1), lambda s: s.invalidate(), lambda s: s.clear()):
        assert late.other().do(change) == "kept"
    assert late.other().do(lambda s: (s.update(b=1), s.regenerate_id())) == "set"
    clock.advance(60)
    assert late.other().do(lambda s: s.update(b=1)) == "set"


def test_a_new_id_that_cannot_be_written_leaves_the_old_session(servers):
    client = begin(servers.here)
    session = client.open()
    session.regenerate_id()
    servers.store.fail("create", "update")
    with pytest.raises(StoreError):
        servers.here.commit(session)
    assert client.data() == {"a": 1}
    servers.store.before.clear()
    assert client.commit(session) == "set"
    assert client.data() == {"a": 1}


def test_an_end_reaches_a_session_that_has_just_got_another_id(servers):
    client = begin(servers.here)
    shown = client.open().id
    client.do(lambda s: s.regenerate_id())
    servers.there.end(shown)
    servers.here.end("A" * 22)
    assert client.data() == {}


def test_a_new_id_does_not_save_a_session_that_was_ended_elsewhere(servers):
    client = begin(servers.here)
    session = client.open()
    session.regenerate_id()
    servers.there.end(client.open().id)
    assert client.commit(session) == "kept"
    assert client.data() == {}


# From elsewhere


def test_one_session_is_ended_by_its_id(servers, clock):
    client, other = begin(servers.here), begin(servers.here)
    servers.there.end(client.open().id)
    clock.advance(1.5)
    assert (client.data(), other.data()) == ({}, {"a": 1})


@pytest.mark.parametrize("text", ["", "A", "A" * 64, "../../etc/passwd", "é" * 22])
def test_what_is_no_id_ends_nothing(servers, text):
    servers.here.end(text)
    assert servers.store.calls == []


def test_all_sessions_of_a_principal_end(servers, clock):
    mine, elsewhere, others = log_in(servers.here), log_in(servers.there), log_in(servers.here, "43")
    assert servers.here.end_all("42") == 0
    assert (mine.data(), others.data()) == ({}, {"a": 1})
    clock.advance(1.5)
    assert elsewhere.data() == {}


def test_a_log_in_after_end_all_is_not_touched_in_the_same_moment(servers):
    log_in(servers.there)
    servers.here.end_all("42")
    after = [log_in(servers.here), log_in(servers.there)]
    assert [client.data() for client in after] == [{"a": 1}] * 2
    anonymous = begin(servers.there)
    servers.here.end_all("42")
    anonymous.do(lambda s: setattr(s, "principal", "42"))
    assert anonymous.data() == {"a": 1}
    assert anonymous.other(servers.here).data() == {"a": 1}


@pytest.mark.parametrize("ahead", [-30, -1, -0.2, 0.2, 1, 30])
def test_the_order_of_log_ins_and_ends_depends_on_no_clock(servers, clock, ahead):
    servers.here.end_all("1")
    clock.advance(ahead)
    before = log_in(servers.there)
    clock.advance(-ahead)
    servers.here.end_all("42")
    clock.advance(ahead)
    after = log_in(servers.there)
    clock.advance(1.5)
    assert before.data() == {}
    assert after.data() == {"a": 1}
    clock.advance(-ahead)
    assert (before.other(servers.here).data(), after.other(servers.here).data()) == ({}, {"a": 1})


def test_the_session_that_is_kept_may_change_its_id(servers, clock):
    mine, others = log_in(servers.here), log_in(servers.here)
    session = mine.open()
    servers.here.end_all("42", keep=session)
    assert (mine.data(), others.data()) == ({"a": 1}, {})
    mine.do(lambda s: s.regenerate_id())
    assert mine.data() == {"a": 1}
    clock.advance(1.5)
    assert mine.other(servers.there).data() == {"a": 1}
    servers.there.end_all("42")
    clock.advance(1.5)
    assert mine.data() == {}


def test_a_change_of_password_keeps_the_session_in_whatever_order_it_is_done(servers):
    for change in (
        lambda s: (s.regenerate_id(), servers.here.end_all("42", keep=s)),
        lambda s: (servers.here.end_all("42", keep=s), s.regenerate_id()),
    ):
        client, other = log_in(servers.here), log_in(servers.here)
        client.do(change)
        assert (client.data(), other.data()) == ({"a": 1}, {})
    new = Client(servers.here)
    new.do(lambda s: (s.update(a=1), setattr(s, "principal", "42"), servers.here.end_all("42", keep=s)))
    assert new.data() == {"a": 1}


WHAT_A_LOG_IN_DOES = {
    "renew": lambda session, sessions: session.regenerate_id(),
    "log in": lambda session, sessions: setattr(session, "principal", "42"),
    "end others": lambda session, sessions: sessions.end_all("42", keep=session),
}
COMES_WITH = {
    "nothing": Client,
    "nobody's session": lambda sessions: begin(sessions),
    "the session of another": lambda sessions: log_in(sessions, "7"),
    "a session": lambda sessions: log_in(sessions),
    "nobody's session without an id": lambda sessions: begin(SessionManager(KEY)).other(sessions),
    "a session without an id": lambda sessions: log_in(SessionManager(KEY)).other(sessions),
}


@pytest.mark.parametrize("order", [*permutations(WHAT_A_LOG_IN_DOES), *permutations(["log in", "end others"])])
@pytest.mark.parametrize("comes_with", COMES_WITH.values(), ids=COMES_WITH)
def test_a_log_in_that_ends_the_users_other_sessions_is_kept(clock, order, comes_with):
    servers = Servers()
    client, other = comes_with(servers.here), log_in(servers.here)
    clock.advance(1)
    session = client.open()
    session["a"] = 2
    for step in order:
        WHAT_A_LOG_IN_DOES[step](session, servers.here)
    client.commit(session)
    for at in (client, client.other(servers.there)):
        assert (at.data(), at.open().principal) == ({"a": 2}, "42")
    assert other.data() == {}
    servers.there.end_all("42")
    assert client.other(servers.there).data() == {}


def test_a_session_without_an_id_that_is_kept_gets_one(clock):
    servers = Servers()
    client = log_in(SessionManager(KEY)).other(servers.here)
    clock.advance(1)
    assert client.do(lambda s: servers.here.end_all("7", keep=s)) == "kept"
    assert client.do(lambda s: servers.here.end_all("42", keep=s)) == "set"
    assert client.open().id
    assert client.data() == {"a": 1}


def test_a_session_that_has_ended_cannot_be_kept(servers):
    client = log_in(servers.here)
    session = client.open()
    assert session["a"] == 1
    servers.here.end_all("42")
    servers.here.end_all("42", keep=session)
    assert client.data() == {}


def test_a_session_without_an_id_that_has_ended_cannot_be_kept(clock):
    servers = Servers()
    client = log_in(SessionManager(KEY)).other(servers.here)
    clock.advance(1)
    session = client.open()
    assert session["a"] == 1
    servers.here.end_all("42")
    servers.here.end_all("42", keep=session)
    session["a"] = 2
    assert client.commit(session) == "kept"
    assert client.data() == {}


def test_another_manager_of_the_process_knows_at_once(clock):
    servers = Servers()
    client, other = begin(servers.here), begin(servers.here)
    copies = client.other(servers.there), other.other(servers.there)
    assert [copy.data() for copy in copies] == [{"a": 1}] * 2
    client.do(lambda s: s.invalidate())
    assert [copy.data() for copy in copies] == [{}, {"a": 1}]
    servers.here.end_everyone()
    after = begin(servers.there)
    assert [copy.data() for copy in (*copies, after)] == [{}, {}, {"a": 1}]


def test_everyones_sessions_end(servers, clock):
    before = [log_in(servers.here), begin(servers.here), log_in(servers.there, "43")]
    clock.advance(1)
    servers.here.end_everyone()
    after = [log_in(servers.here), begin(servers.here), log_in(servers.there)]
    clock.advance(1.5)
    assert [client.data() for client in before] == [{}] * 3
    assert [client.data() for client in after] == [{"a": 1}] * 3


def test_everyones_stored_sessions_end(clock):
    store = MemoryStore()
    here, there = SessionManager(KEY, store=store), SessionManager(KEY, store=store)
    before = [log_in(here), begin(here), begin(there)]
    here.end_everyone()
    after = begin(here)
    assert [client.data() for client in before[:2]] == [{}] * 2
    also_after = [begin(there), log_in(there)]
    assert [client.data() for client in also_after] == [{"a": 1}] * 2
    clock.advance(1.5)
    assert [client.other(here).data() for client in also_after] == [{"a": 1}] * 2
    assert before[2].data() == {}
    assert before[0].other(SessionManager(KEY, store=store)).data() == {}
    assert after.data() == {"a": 1}
    after.do(lambda s: s.regenerate_id())
    assert after.other(there).data() == {"a": 1}


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_list_shows_no_session_that_ended_with_everyones(clock, encrypted):
    if encrypted:
        pytest.importorskip("cryptography")
    store = MemoryStore()

    def start() -> SessionManager:
        return SessionManager(KEY, store=store, store_encryption=encrypted)

    here, there = start(), start()
    log_in(here)
    here.end_everyone()
    after = log_in(there)
    for sessions in (here, there, start()):
        assert [one.id for one in sessions.sessions_of("42")] == [after.key]
    assert here.end_all("42") == 1


# Tokens of before


def test_a_token_without_an_id_is_judged_by_principal_and_time_and_gets_an_id(clock, servers):
    plain = SessionManager(KEY, encrypt=servers.here.settings.encrypt)
    old, other = log_in(plain), log_in(plain, "43")
    clock.advance(1)
    assert old.other(servers.here).data() == {"a": 1}
    assert old.other(servers.here).open().id is None
    servers.here.end_all("42")
    assert old.other(servers.here).data() == {}
    kept = other.other(servers.here)
    kept.do(lambda s: s.update(b=1))
    assert kept.open().id
    assert kept.data() == {"a": 1, "b": 1}
    assert kept.other(plain).data() == {"a": 1, "b": 1}


def test_a_refresh_gives_an_id(clock):
    servers, plain = Servers(), SessionManager(KEY)
    old = begin(plain)
    old.do(lambda s: setattr(s, "permanent", True))
    clock.advance(1)
    client = old.other(servers.here)
    assert client.do() == "set"
    assert client.open().id
    assert client.data() == {"_permanent": True, "a": 1}


# The store is asked seldom


def test_a_session_is_read_without_a_trip_to_the_store(servers, clock):
    client = begin(servers.here)
    client.data()
    servers.store.calls.clear()
    for _ in range(100):
        client.data()
        client.do()
    assert servers.store.calls == []
    for _ in range(10):
        clock.advance(1)
        client.data()
        client.data()
    assert servers.store.calls == ["load"] * 10


def test_a_request_without_a_session_does_not_ask_the_store(servers):
    Client(servers.here).data()
    Client(servers.here).do()
    assert servers.store.calls == []


def test_while_one_request_asks_others_do_not_wait(clock):
    servers = Servers()
    client = begin(servers.here)
    client.data()
    asked, answer = threading.Event(), threading.Event()
    servers.store.once("load", lambda: (asked.set(), answer.wait(10)))
    clock.advance(1.1)
    first = threading.Thread(target=client.data)
    first.start()
    assert asked.wait(10)
    assert client.other().data() == {"a": 1}
    answer.set()
    first.join()


def test_who_comes_after_a_pause_waits_for_the_request_that_asks(servers, clock):
    client = begin(servers.here)
    copy, seen = client.other(servers.there), []
    assert copy.data() == {"a": 1}
    client.do(lambda s: s.invalidate())
    clock.advance(10)
    asked, answer = threading.Event(), threading.Event()
    servers.store.once("load", lambda: (asked.set(), answer.wait(10)))
    threads = [threading.Thread(target=lambda: seen.append(copy.other().data())) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert asked.wait(10)
    # Longer than what a request may wait where what is known is not yet old.
    threads[-1].join(0.3)
    answer.set()
    for thread in threads:
        thread.join()
    assert seen == [{}] * 3


# Outages


def test_what_is_known_holds_for_a_minute(servers, clock, caplog):
    client = begin(servers.here)
    client.do(lambda s: setattr(s, "permanent", True))
    ended = begin(servers.here)
    copy = ended.other()
    ended.do(lambda s: s.invalidate())
    servers.store.fail(*METHODS)
    clock.advance(30)
    assert (client.data()["a"], copy.data()) == (1, {})
    clock.advance(30)
    assert client.do() == "set"
    assert len([line for line in caplog.records if line.levelno == logging.WARNING]) == 1
    clock.advance(1)
    with pytest.raises(StoreError, match="not known which sessions have ended"):
        client.data()
    assert client.do() == "kept"
    assert Client(servers.here).data() == {}
    assert Client(servers.here).do(lambda s: s.update(a=1)) == "set"
    servers.store.before.clear()
    assert (client.data()["a"], copy.data()) == (1, {})


def test_a_process_that_never_knew_answers_nothing(servers):
    client = begin(servers.here)
    servers.store.fail(*METHODS)
    with pytest.raises(StoreError):
        client.other(servers.start()).data()


def test_another_age_can_be_set(clock):
    servers = Servers(revocations_max_age=timedelta(seconds=5))
    client = begin(servers.here)
    servers.store.fail(*METHODS)
    clock.advance(6)
    with pytest.raises(StoreError):
        client.data()


def test_a_driver_that_raises_its_own_error_is_an_outage_too(servers, clock):
    client = begin(servers.here)
    servers.store.before["load"] = lambda: (_ for _ in ()).throw(OSError("gone"))
    clock.advance(61)
    with pytest.raises(StoreError):
        client.data()


# The store forgets


def test_a_driver_that_raises_its_own_error_at_a_segment_is_an_outage_too(servers):
    clients = [begin(servers.here) for _ in range(70)]
    for client in clients[1:]:
        client.do(lambda s: s.invalidate())
    loads = iter([None, OSError("gone")])
    servers.store.before["load"] = lambda: (_ for _ in ()).throw(error) if (error := next(loads)) else None
    with pytest.raises(StoreError):
        clients[0].other(servers.start()).data()


def test_what_a_store_loses_is_written_again_by_a_process_that_knows_it(servers, clock, caplog):
    clients = [begin(servers.here) for _ in range(200)]
    copies = [client.other() for client in clients]
    user = log_in(servers.here)
    for client in clients[:-1]:
        client.do(lambda s: s.invalidate())
    servers.here.end_all("42")
    servers.store.inner = MemoryStore()
    clock.advance(1.5)
    assert [copy.data() for copy in copies] == [{}] * 199 + [{"a": 1}]
    assert user.data() == {}
    fresh = servers.start()
    assert [copy.other(fresh).data() for copy in copies] == [{}] * 199 + [{"a": 1}]
    assert user.other(fresh).data() == {}
    assert "written again" in caplog.text


def test_a_lost_segment_ends_all_that_began_before(servers, clock):
    early = begin(servers.here)
    for _ in range(100):
        clock.advance(0.001)
        begin(servers.here).do(lambda s: s.invalidate())
    head = max(servers.store.inner._records.values(), key=lambda record: record.expires)
    for key, record in list(servers.store.inner._records.items()):
        if record is not head:
            servers.store.inner.delete(key)
    clock.advance(1)
    late = begin(servers.here)
    fresh = servers.start()
    assert early.other(fresh).data() == {}
    assert late.other(fresh).data() == {"a": 1}


def test_a_damaged_list_is_an_outage(servers, clock):
    client = begin(servers.here)
    client.do(lambda s: s.regenerate_id())
    ((key, record),) = servers.store.inner._records.items()
    servers.store.inner.update(key, b"something else", 1000, record.version)
    with pytest.raises(StoreError):
        client.other(servers.start()).data()


def test_endings_go_when_no_token_can_be_that_old(clock):
    servers = Servers(lifetime=100)

    def size() -> int:
        return sum(len(record.data) for record in servers.store.inner._records.values())

    for _ in range(500):
        begin(servers.here).do(lambda s: s.invalidate())
    full = size()
    clock.advance(100 + 200)
    for _ in range(100):
        begin(servers.here).do(lambda s: s.invalidate())
    assert size() < full / 3
    client = begin(servers.here)
    client.do(lambda s: setattr(s, "lifetime", 10 * DAY))
    long = client.other()
    client.do(lambda s: setattr(s, "lifetime", None))
    client.do(lambda s: s.invalidate())
    for _ in range(10):
        clock.advance(DAY - 100)
        for _ in range(70):
            begin(servers.here).do(lambda s: s.invalidate())
        assert long.data() == {}


# Settings


def test_revocations_are_for_sessions_in_cookies():
    with pytest.raises(ConfigurationError, match="revocations"):
        SessionManager(KEY, store="memory://", revocations="memory://")
    with pytest.raises(ConfigurationError, match="secret_key"):
        SessionManager(revocations="memory://")
    sessions = SessionManager(KEY, revocations="memory://")
    with pytest.raises(ConfigurationError):
        sessions.sessions_of("42")
    sessions.close()


def test_without_revocations_nothing_can_be_ended():
    sessions = SessionManager(KEY)
    for end in (lambda: sessions.end("a"), lambda: sessions.end_all("42"), sessions.end_everyone):
        with pytest.raises(ConfigurationError):
            end()
