"""Every store under a manager: parallel log-ins and log-outs, lists of devices, broken records, lifetimes."""

from __future__ import annotations

import logging
import pickle
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from session_mw import (
    FileStore,
    MemoryStore,
    NotSerializable,
    SessionManager,
    SessionMiddleware,
    SQLiteStore,
    StoreError,
    open_store,
)
from support.clock import Clock
from support.stores import ALL, Browser, Recording, url_of
from support.wsgi import KEY, OTHER_KEY, PLAIN, Server, environ_of

DAY = 86400


@pytest.fixture(params=ALL)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return url_of(request.param, request, tmp_path)


@pytest.fixture
def store(url: str) -> Iterator[Recording]:
    recording = Recording(open_store(url))
    yield recording
    recording.inner.close()


@pytest.fixture
def sessions(store: Recording) -> SessionManager:
    return SessionManager(KEY, store=store, lifetime=10 * DAY)


@pytest.fixture
def browser(sessions: SessionManager) -> Browser:
    browser = Browser(sessions)
    assert browser.do(lambda s: s.update(a=1, cart=["apple"])) == "set"
    return browser


@pytest.fixture
def listed(store: Recording) -> None:
    if not hasattr(store.inner, "keys_of"):
        pytest.skip("the store has no index")


def at_once(*jobs: Any) -> list[Any]:
    """Run the jobs in threads that start together."""
    barrier = threading.Barrier(len(jobs))

    def run(job: Any) -> Any:
        barrier.wait(10)
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(run, jobs))


# Log-ins and log-outs


def test_of_parallel_log_ins_one_id_lives_and_no_record_is_left_over(
    sessions: SessionManager, store: Recording
) -> None:
    for round_ in range(10):
        first = Browser(sessions)
        first.do(lambda s: s.update(anonymous=True))
        principal = f"user-{round_}"
        requests = []
        for n in range(3):
            tab = Browser(sessions, first.token)
            session = tab.open()
            session.regenerate_id()
            session.principal = principal
            session[f"tab{n}"] = n
            requests.append((tab, session))
        outcomes = at_once(*(lambda tab=tab, session=session: tab.commit(session) for tab, session in requests))
        assert sorted(outcomes) == ["kept", "kept", "set"]
        (winner,) = (tab for (tab, _), outcome in zip(requests, outcomes, strict=True) if outcome == "set")
        assert first.data() == {}
        assert winner.data()["anonymous"] is True
        if hasattr(store.inner, "keys_of"):
            assert [one.id for one in sessions.sessions_of(principal)] == [winner.key]
            assert {store.inner.load(key).data[:5] for key in {*store.inner.keys_of(principal)} - {winner.key}} <= {
                b"ended"
            }


def test_ending_by_id_stops_a_request_under_way(browser: Browser, sessions: SessionManager, store: Recording) -> None:
    slow = browser.open()
    slow["late"] = 1
    session_id = browser.open().id
    assert session_id is not None
    sessions.end(session_id)
    assert browser.commit(slow) == "kept"
    assert store.inner.load(session_id) is None
    assert browser.data() == {}
    assert browser.do(lambda s: s.update(b=2)) == "set"
    assert browser.key != session_id


IDS = [
    "",
    "x",
    "a b",
    "a\r\nb",
    "\0",
    "\ud800",
    "é" * 64,
    "../../etc/passwd",
    "x" * 5000,
    "A" * 64,
    "*",
    "principal:" + "0" * 32,
]


@pytest.mark.parametrize("session_id", IDS, ids=ascii)
def test_ending_what_is_no_id_ends_nothing(browser: Browser, sessions: SessionManager, session_id: str) -> None:
    """An id comes back from a form of the page "your devices"; a visitor may send anything in its place."""
    sessions.end(session_id)
    assert browser.data() == {"a": 1, "cart": ["apple"]}


@pytest.mark.usefixtures("listed")
def test_an_id_cannot_name_the_index(browser: Browser, sessions: SessionManager) -> None:
    """Redis keeps the index beside the records, under the same prefix."""
    pytest.importorskip("redis")
    from session_mw.stores.redis.values import owner_of

    browser.do(lambda s: setattr(s, "principal", "42"))
    sessions.end(f"principal:{owner_of('42')}")
    assert [one.id for one in sessions.sessions_of("42")] == [browser.key]


@pytest.mark.usefixtures("listed")
def test_ending_all_but_one_spares_that_one_only(sessions: SessionManager) -> None:
    devices = [Browser(sessions) for _ in range(4)]
    for device in devices:
        device.do(lambda s: setattr(s, "principal", "42"))
    stranger = Browser(sessions)
    stranger.do(lambda s: (setattr(s, "principal", "4"), s.update(a=1)))
    slow = devices[1].open()
    slow["late"] = 1
    kept = devices[0].open()
    assert sessions.end_all("42", keep=kept) == 3
    kept["changed"] = True
    assert devices[0].commit(kept) == "kept"
    assert devices[1].commit(slow) == "kept"
    assert [one.id for one in sessions.sessions_of("42")] == [devices[0].key]
    assert devices[0].data() == {"changed": True}
    assert stranger.data() == {"a": 1}


@pytest.mark.usefixtures("listed")
def test_the_list_follows_each_change_of_the_principal(sessions: SessionManager) -> None:
    browser = Browser(sessions)
    browser.do(lambda s: s.update(a=1))
    former = None
    for principal in ("42", "43", "a\0b", "ü", "x" * 1000, None, "42"):
        browser.do(lambda s, principal=principal: setattr(s, "principal", principal))  # type: ignore[misc]
        if former is not None:
            assert sessions.sessions_of(former) == []
        if principal is not None:
            assert [one.id for one in sessions.sessions_of(principal)] == [browser.key]
        former = principal
    old = browser.key
    browser.do(lambda s: (s.regenerate_id(), setattr(s, "principal", "44")))
    assert sessions.sessions_of("42") == []
    assert [one.id for one in sessions.sessions_of("44")] == [browser.key] != [old]
    browser.do(lambda s: s.invalidate())
    assert sessions.sessions_of("44") == []


def test_a_new_principal_and_anothers_data_both_stay(browser: Browser, sessions: SessionManager) -> None:
    one, other = browser.open(), browser.open()
    one.principal = "42"
    other["b"] = 2
    browser.commit(other)
    browser.commit(one)
    session = browser.open()
    assert (session.principal, session["b"]) == ("42", 2)


def test_of_two_principals_the_last_one_stays_and_is_listed_alone(
    browser: Browser, sessions: SessionManager, store: Recording
) -> None:
    one, other = browser.open(), browser.open()
    one.principal, other.principal = "1", "2"
    browser.commit(one)
    browser.commit(other)
    assert browser.open().principal == "2"
    if hasattr(store.inner, "keys_of"):
        assert (sessions.sessions_of("1"), len(sessions.sessions_of("2"))) == ([], 1)


def test_a_log_out_and_a_new_principal_at_once_leave_nothing(
    browser: Browser, sessions: SessionManager, store: Recording
) -> None:
    for _ in range(10):
        visitor = Browser(sessions)
        visitor.do(lambda s: s.update(a=1))
        key, slow, leaving = visitor.key, visitor.open(), visitor.open()
        slow.principal = "42"
        leaving.invalidate()
        at_once(lambda s=slow: sessions.commit(s), lambda s=leaving: sessions.commit(s))  # type: ignore[misc]
        assert store.inner.load(key) is None
        if hasattr(store.inner, "keys_of"):
            assert sessions.sessions_of("42") == []


def test_two_new_ids_in_one_request_leave_one_record(browser: Browser, store: Recording) -> None:
    old = browser.key
    store.calls.clear()
    assert browser.do(lambda s: (s.regenerate_id(), s.update(b=1), s.regenerate_id())) == "set"
    assert store.calls.count("create") == 1
    assert store.inner.load(old).data.startswith(b"ended")
    assert browser.data() == {"a": 1, "cart": ["apple"], "b": 1}


def test_a_new_id_at_each_of_two_commits_leaves_one_record(browser: Browser, store: Recording) -> None:
    session = browser.open()
    keys = [browser.key]
    for _ in range(2):
        session.regenerate_id()
        browser.commit(session)
        keys.append(browser.key)
    assert [store.inner.load(key).data.startswith(b"ended") for key in keys] == [True, True, False]


def test_a_session_that_is_cleared_and_filled_has_nothing_of_the_former(browser: Browser, store: Recording) -> None:
    old = browser.key
    assert browser.do(lambda s: (s.clear(), s.update(b=1))) == "set"
    assert store.inner.load(old) is None
    assert browser.data() == {"b": 1}


def test_a_session_that_is_emptied_key_by_key_goes_on(browser: Browser) -> None:
    other, old = browser.open(), browser.key
    other["b"] = 1
    assert browser.do(lambda s: [s.pop(key) for key in list(s)]) == "kept"
    assert (browser.data(), browser.open().new) == ({}, False)
    assert browser.commit(other) == "kept"
    assert (browser.data(), browser.key) == ({"b": 1}, old)


def test_a_new_id_that_could_not_be_finished_leaves_no_second_device(
    sessions: SessionManager, store: Recording
) -> None:
    """As where the old record's host is down and the new one's is not."""
    browser = Browser(sessions)
    browser.do(lambda s: setattr(s, "principal", "42"))
    session = browser.open()
    session.regenerate_id()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(store.inner), "update", down)
        with pytest.raises(StoreError):
            browser.commit(session)
    assert browser.open().principal == "42"
    assert store.calls[-3:] == ["update", "delete", "load"]
    if hasattr(store.inner, "keys_of"):
        assert [one.id for one in sessions.sessions_of("42")] == [browser.key]


def down(*_: object, **__: object) -> None:
    raise StoreError("the host is down")


# While a page streams


def streamed(browser: Browser, during: Any) -> Any:
    """A page that writes its session before and after its first part; ``during`` happens in between."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        environ["session"]["before"] = 1
        start_response("200 OK", [PLAIN])
        yield b"first"
        during()
        environ["session"]["after"] = 1
        yield b"last"

    cookie = f"session={browser.token}"
    return Server(SessionMiddleware(app, sessions=browser.sessions), environ_of("/", cookie)).run()


def test_what_a_page_writes_while_it_streams_is_saved_beside_what_others_write(browser: Browser) -> None:
    other = Browser(browser.sessions, browser.token)
    answer = streamed(browser, lambda: other.do(lambda s: s.update(other=1)))
    assert answer.cookies == []
    assert browser.data() == {"a": 1, "cart": ["apple"], "before": 1, "after": 1, "other": 1}


def test_what_a_page_writes_while_it_streams_is_saved_before_the_server_ends_the_body(browser: Browser) -> None:
    """gunicorn sends the last chunk before it calls close()."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [PLAIN])
        yield b"first"
        environ["session"]["after"] = 1

    middleware = SessionMiddleware(app, sessions=browser.sessions)
    environ = environ_of("/", f"session={browser.token}")
    body = middleware(environ, lambda *_: None)
    assert b"".join(body) == b"first"
    assert browser.data()["after"] == 1
    body.close()  # type: ignore[attr-defined]

    body = middleware(environ_of("/", f"session={browser.token}"), lambda *_: None)
    next(iter(body))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SessionManager, "commit", down)
        with pytest.raises(StoreError):
            next(iter(body))
        body.close()  # type: ignore[attr-defined]


def test_a_log_out_while_a_page_streams_stays(browser: Browser, store: Recording) -> None:
    other, key = Browser(browser.sessions, browser.token), browser.key
    streamed(browser, lambda: other.do(lambda s: s.invalidate()))
    assert store.inner.load(key) is None


# Merging


def test_parallel_changes_are_merged_by_top_level_keys(browser: Browser) -> None:
    browser.do(lambda s: s.update(nested={"x": [1, 2]}, gone=1, same=1, kept={"deep": {"er": 1}}))
    one, other = browser.open(), browser.open()
    one["nested"]["x"].append(3)
    one["same"] = 1
    del one["cart"]
    one.permanent = True
    other["kept"]["deep"]["er"] = 2
    other["same"] = 2
    del other["gone"]
    other["_flashes"] = [("info", "saved")]
    browser.commit(one)
    assert browser.commit(other) == "set"
    assert browser.data() == {
        "a": 1,
        "nested": {"x": [1, 2, 3]},
        "same": 2,
        "kept": {"deep": {"er": 2}},
        "_permanent": True,
        "_flashes": [("info", "saved")],
    }


def test_a_key_that_was_set_as_it_was_does_not_win_against_a_change(browser: Browser) -> None:
    one, other = browser.open(), browser.open()
    one["a"] = 2
    other.update(a=1, b=1)
    browser.commit(one)
    browser.commit(other)
    assert browser.data() == {"a": 2, "b": 1, "cart": ["apple"]}


def test_a_value_that_cannot_be_written_takes_nothing_from_another_request(browser: Browser) -> None:
    one, other = browser.open(), browser.open()
    one["bad"] = object()
    other["b"] = 1
    browser.commit(other)
    with pytest.raises(NotSerializable):
        browser.commit(one)
    assert browser.data() == {"a": 1, "b": 1, "cart": ["apple"]}
    del one["bad"]
    one["c"] = 1
    browser.commit(one)
    assert browser.data() == {"a": 1, "b": 1, "c": 1, "cart": ["apple"]}


# Records that cannot be read


class Bomb:
    def __reduce__(self) -> Any:
        return pytest.fail, ("a pickle was loaded",)


BROKEN = [b"", b'{"a":', b"null", pickle.dumps(Bomb()), b"\xff" * 100, b"0" * 12, b"9" * 5000, b"\x00" * 40]


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
@pytest.mark.parametrize("data", [*BROKEN, None], ids=lambda data: "half" if data is None else repr(data)[:12])
def test_a_broken_record_is_an_empty_session_and_one_warning(
    store: Recording, data: bytes | None, encrypted: bool, caplog: pytest.LogCaptureFixture
) -> None:
    if encrypted:
        pytest.importorskip("cryptography")
    sessions = SessionManager(KEY, store=store, store_encryption=encrypted)
    browser = Browser(sessions)
    browser.do(lambda s: s.update(a="private", b=["c"]))
    record = store.inner.load(browser.key)
    half = record.data[:-7]
    assert store.inner.update(browser.key, half if data is None else data, 1000, record.version)
    broken, caplog.handler.level = browser.key, logging.WARNING
    session = browser.open()
    assert (session.copy(), session.new, session.principal) == ({}, True, None)
    (line,) = caplog.records
    assert broken[:8] in line.getMessage()
    assert not any(secret in caplog.text for secret in (broken, browser.token, "private"))
    session["b"] = 1
    assert browser.commit(session) == "set"
    assert (browser.data(), browser.key != broken) == ({"b": 1}, True)


@pytest.mark.parametrize(
    "damage",
    ["data = 'text'", "data = 5", "version = 'v'", "expires = 'never'", "version = x'00', data = 1.5"],
)
@pytest.mark.parametrize("kind", ["sqlite", "sqlalchemy"])
def test_a_row_of_other_types_is_an_empty_session_and_one_warning(
    kind: str, damage: str, request: pytest.FixtureRequest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite takes any value in any column."""
    sessions = SessionManager(store=open_store(url_of(kind, request, tmp_path)))
    browser = Browser(sessions)
    browser.do(lambda s: s.update(a=1))
    (database,) = tmp_path.glob("*.db")
    damage_rows(database, damage)
    broken = browser.key
    session = browser.open()
    assert session.copy() == {}
    assert caplog.messages == [f"what is stored under {broken[:8]}… is not a session's record"]
    session["b"] = 1
    assert browser.commit(session) == "set"
    assert browser.key != broken
    assert browser.data() == {"b": 1}
    sessions.close()


def test_a_text_that_is_no_utf_8_is_no_outage(tmp_path: Path) -> None:
    sessions = SessionManager(store=SQLiteStore(tmp_path / "s.db"))
    browser = Browser(sessions)
    browser.do(lambda s: s.update(a=1))
    damage_rows(tmp_path / "s.db", "data = CAST(x'fffe' AS TEXT)")
    assert browser.data() == {}
    sessions.close()


def damage_rows(database: Path, damage: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(f"UPDATE sessions SET {damage}")


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_a_record_belongs_to_its_key_its_cookie_and_its_salt(store: Recording, encrypted: bool) -> None:
    pytest.importorskip("cryptography")
    settings: dict[str, Any] = {"store": store, "store_encryption": encrypted}
    alice, mallory = (Browser(SessionManager(KEY, **settings)) for _ in range(2))
    alice.do(lambda s: s.update(who="alice"))
    mallory.do(lambda s: s.update(who="mallory"))
    data, version = store.inner.load(alice.key).data, store.inner.load(mallory.key).version
    assert store.inner.update(mallory.key, data, 1000, version)
    assert mallory.data() == {}
    assert Browser(SessionManager(KEY, salt="other", **settings), alice.token).data() == {}
    elsewhere = SessionManager(KEY, cookie_name="other", **settings)
    assert elsewhere.open({"HTTP_COOKIE": f"other={alice.token}"}).copy() == {}
    assert Browser(SessionManager(KEY, store=store, store_encryption=not encrypted), alice.token).data() == {}
    assert alice.data() == {"who": "alice"}


def test_records_follow_the_rotation_of_the_key(store: Recording, clock: Clock) -> None:
    pytest.importorskip("cryptography")
    settings: dict[str, Any] = {"store": store, "store_encryption": True, "lifetime": 10 * DAY}
    browser = Browser(SessionManager(OTHER_KEY, **settings))
    browser.do(lambda s: s.update(a=1))
    browser.sessions = SessionManager(KEY, secret_key_fallbacks=[OTHER_KEY], **settings)
    clock.advance(2 * DAY)
    assert browser.do(len) == "kept"
    browser.sessions = SessionManager(KEY, **settings)
    assert browser.data() == {"a": 1}
    assert Browser(SessionManager(OTHER_KEY, **settings), browser.token).data() == {}


# Lifetimes


def test_a_session_is_touched_at_most_once_in_a_tenth_of_its_lifetime(
    browser: Browser, store: Recording, clock: Clock
) -> None:
    browser.do(lambda s: s.update(b=1))
    store.calls.clear()
    for _ in range(100):
        clock.advance(DAY // 50)
        browser.do(len)
    assert store.calls.count("touch") in (1, 2)
    assert set(store.calls) == {"load", "touch"}


@pytest.mark.parametrize("refresh", [True, False])
def test_a_permanent_cookie_is_sent_just_when_its_record_is_touched_or_updated(
    store: Recording, clock: Clock, refresh: bool
) -> None:
    browser = Browser(SessionManager(store=store, lifetime=10 * DAY, refresh_each_request=refresh))
    browser.do(lambda s: s.update(a=1, _permanent=True))
    outcomes = []
    for step, change in [(0, len), (DAY, len), (60, len), (60, lambda s: s.update(a=2)), (DAY, lambda s: None)]:
        clock.advance(step)
        store.calls.clear()
        outcome = browser.do(change)
        wrote = {"touch", "update"} & set(store.calls)
        outcomes.append(outcome)
        assert (outcome == "set") is (bool(wrote) if refresh else "update" in wrote)
    assert outcomes == ["kept", "set" if refresh else "kept", "kept", "set", "kept"]


def test_nothing_but_invalidate_moves_an_absolute_lifetime(store: Recording, clock: Clock) -> None:
    browser = Browser(SessionManager(store=store, lifetime=10 * DAY, absolute_lifetime=20 * DAY))
    began = clock.now
    browser.do(lambda s: s.update(a=1))
    for change in (len, lambda s: s.update(b=1), lambda s: s.regenerate_id(), lambda s: (s.clear(), s.update(c=1))):
        clock.advance(4 * DAY)
        browser.do(change)
        assert browser.open().created == began
        assert store.inner.load(browser.key).expires <= began + 20 * DAY
    clock.advance(4 * DAY - 1)
    assert browser.data() == {"c": 1}
    clock.advance(1)
    assert browser.data() == {}
    browser.do(lambda s: (s.invalidate(), s.update(d=1)))
    assert browser.open().created == clock.now


def test_a_lifetime_that_the_operator_changes_counts_from_the_next_use(store: Recording, clock: Clock) -> None:
    browser = Browser(SessionManager(store=store, lifetime=10 * DAY))
    browser.do(lambda s: s.update(a=1))
    for days in (2, 30, 5):
        browser.sessions = SessionManager(store=store, lifetime=days * DAY)
        browser.do(len)
        assert store.inner.load(browser.key).expires == clock.now + days * DAY
    clock.advance(4 * DAY)
    browser.sessions = SessionManager(store=store, lifetime=5 * DAY, absolute_lifetime=3 * DAY)
    assert browser.data() == {}


@pytest.mark.usefixtures("listed")
def test_no_device_was_last_used_in_the_future(store: Recording, clock: Clock) -> None:
    browser = Browser(SessionManager(store=store, lifetime=30 * DAY))
    browser.do(lambda s: setattr(s, "principal", "42"))
    (device,) = SessionManager(store=store, lifetime=DAY).sessions_of("42")
    assert device.last_used == clock.now


# What piles up


@pytest.mark.heavy
def test_a_hundred_thousand_sessions_do_not_pile_up_in_memory(clock: Clock) -> None:
    store = MemoryStore()
    sessions = SessionManager(store=store, lifetime=10)
    kept = 0
    for n in range(100_000):
        if n % 100 == 0:
            clock.advance(1)
        session = sessions.open({})
        session.principal = str(n)
        sessions.commit(session)
        kept = max(kept, len(store._records))
    # a hundred a second begin, and each lives for ten
    assert kept < 3000
    clock.advance(20)
    for _ in range(3000):
        session = sessions.open({})
        session["a"] = 1
        sessions.commit(session)
    assert len(store._records) == 3000
    assert not store._keys
    assert not store._principals


@pytest.mark.heavy
@pytest.mark.parametrize("kind", ["file", "sqlite"])
def test_a_small_site_sweeps_as_it_goes(kind: str, tmp_path: Path, clock: Clock) -> None:
    store: Any = FileStore(tmp_path / "s") if kind == "file" else SQLiteStore(tmp_path / "s.db")
    for _ in range(300):
        store.create(secrets.token_hex(32), b"old", 60)
    clock.advance(100)
    # a folder of 256 is looked into at each twentieth creation
    count, most = (12_000, 7000) if kind == "file" else (400, 200)
    for _ in range(count):
        store.create(secrets.token_hex(32), b"new", 1)
        clock.advance(1)
    assert store.count_expired() < most
    store.close()


# Principals


@pytest.mark.parametrize("principal", ["\ud800", "a\udfffb"], ids=ascii)
def test_a_principal_without_bytes_in_utf8_is_refused_when_it_is_set(principal: str) -> None:
    session = SessionManager(store="memory://").open({})
    with pytest.raises(ValueError, match="surrogate"):
        session.principal = principal
    assert (session.principal, session.modified) == (None, False)
