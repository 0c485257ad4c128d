"""``SessionManager.explain``: how the cookies of a request are judged, without any trace of the look."""

from __future__ import annotations

import ast
import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import session_mw
from session_mw import MemoryStore, SessionManager, StoreError, notices, rejections
from session_mw.backends.explanation import REASONS
from support.refusals import REFUSALS
from support.stores import METHODS, Recording
from support.tokens import KEY, OTHER_KEY, sealed, signed, token_of
from support.visitors import Client

DAY = 86400
FINER = {"renewed": "unknown", "unreadable": "cannot be read"}
"""What the log says where the explanation says more."""


def explain(sessions: SessionManager, header: str, **environ: Any) -> Any:
    return sessions.explain({"HTTP_COOKIE": header, **environ})


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, "session_mw")
    return caplog


# Reasons


@pytest.mark.parametrize("reason", REFUSALS)
def test_each_reason_is_the_one_that_the_log_gives(reason: str, clock, log) -> None:
    sessions, header = REFUSALS[reason]()
    log.clear()
    explained = explain(sessions, header)
    assert {one.reason for one in explained.candidates} == {reason}
    assert explained.accepted is None
    assert log.records == []
    if reason not in ("unavailable", "no_key"):
        assert sessions.open({"HTTP_COOKIE": header}) == {}
        assert FINER.get(reason, reason) in log.messages[-1]


def test_there_is_a_refusal_for_every_reason() -> None:
    assert list(REFUSALS) == list(REASONS)


def reasons_in_the_source() -> dict[str, set[str]]:
    """The words that the package gives to what logs or raises a rejection, and to notices."""
    words: dict[str, set[str]] = {"rejected": set(), "noticed": set()}
    for file in Path(session_mw.__file__).parent.rglob("*.py"):
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(call, ast.Call) or not call.args:
                continue
            name = getattr(call.func, "attr", getattr(call.func, "id", ""))
            kind = {"BadToken": "rejected", "log": "rejected", "Notice": "noticed"}.get(name)
            if kind:
                literals = {node.value for node in ast.walk(call.args[0]) if isinstance(node, ast.Constant)}
                words[kind] |= {word for word in literals if isinstance(word, str)}
    return words


def test_every_reason_of_the_package_is_listed() -> None:
    words = reasons_in_the_source()
    # the login's cookies have a log line of their own
    assert words["rejected"] | {"expired"} == set(rejections.REASONS)
    assert words["noticed"] == set(notices.REASONS)


# What is in it


def test_an_accepted_cookie_is_explained_with_all_that_is_in_it(clock) -> None:
    sessions = SessionManager(KEY, lifetime=10 * DAY, absolute_lifetime=30 * DAY)
    client = Client(sessions)
    client.do(lambda s: (s.update(a=1), setattr(s, "principal", "42")))
    clock.advance(5 * DAY)
    client.do(lambda s: s.update(b=[2]))
    explained = explain(sessions, client.cookie)
    one = explained.accepted
    begun = int(clock.now) - 5 * DAY
    assert (one.reason, one.value, one.contents.key) == ("", client.token, 0)
    assert (one.contents.written, one.contents.created) == (int(clock.now), begun)
    assert (one.idle_end, one.absolute_end) == (int(clock.now) + 10 * DAY, begun + 30 * DAY)
    assert one.contents.data == {"a": 1, "b": [2]}
    assert one.contents.metadata == {"_created": begun, "_principal": "42"}
    assert explained.kind == "signed"


def test_a_session_s_own_lifetime_is_its_end(clock) -> None:
    client = Client(SessionManager(KEY))
    client.do(lambda s: (s.update(a=1), setattr(s, "lifetime", 60)))
    assert explain(client.sessions, client.cookie).accepted.idle_end == int(clock.now) + 60


@pytest.mark.parametrize("encrypt", [False, True])
def test_the_key_that_opens_a_token_is_told_by_its_place(encrypt: bool) -> None:
    keys = [f"key number {n} of some length: {n * 7919}" for n in range(3)]
    sessions = SessionManager(keys[0], secret_key_fallbacks=keys[1:], encrypt=encrypt)
    for number, key in enumerate(keys):
        token = token_of({"a": 1}, key, encrypt=encrypt)
        assert explain(sessions, f"session={token}").accepted.contents.key == number


def test_the_key_that_opens_a_record_is_told_by_its_place() -> None:
    pytest.importorskip("cryptography")
    store = MemoryStore()
    client = Client(SessionManager(KEY, store=store, store_encryption=True))
    client.do(lambda s: s.update(a=1))
    later = SessionManager(OTHER_KEY, secret_key_fallbacks=[KEY], store=store, store_encryption=True)
    assert [explain(one, client.cookie).accepted.contents.key for one in (client.sessions, later)] == [0, 1]


def test_a_plain_record_is_opened_by_no_key() -> None:
    client = Client(SessionManager(KEY, store=MemoryStore()))
    client.do(lambda s: s.update(a=1))
    assert explain(client.sessions, client.cookie).accepted.contents.key is None


def test_no_repr_shows_a_key_a_token_or_data(any_client) -> None:
    explained = explain(any_client.sessions, any_client.cookie)
    for secret in (KEY, any_client.token, "apple"):
        assert secret not in repr(explained)


def test_what_a_forged_token_claims_is_told_as_no_key_s() -> None:
    one = explain(SessionManager(KEY), f"session={token_of({'admin': True}, OTHER_KEY)}").candidates[0]
    assert (one.reason, one.contents.key, one.contents.data) == ("bad_signature", None, {"admin": True})


def test_a_stored_session_is_explained_with_its_record(clock) -> None:
    store = MemoryStore()
    client = Client(SessionManager(store=store, lifetime=10 * DAY))
    client.do(lambda s: (s.update(a=1), setattr(s, "principal", "42"), setattr(s, "label", "Firefox")))
    clock.advance(DAY)
    explained = explain(client.sessions, client.cookie)
    one = explained.accepted
    assert (explained.kind, one.key, one.record) == ("stored", client.key, store.load(client.key))
    assert (one.idle_end, one.absolute_end) == (int(clock.now) + 9 * DAY, None)
    assert one.contents.data == {"a": 1}
    assert one.contents.metadata["_principal"] == "42"
    assert one.info == client.sessions.sessions_of("42")[0]


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        ({"digest": "sha256"}, "with digest='sha256'"),
        ({"encrypt": True}, "with encrypt=True"),
        ({"salt": "other"}, None),
    ],
)
def test_a_token_of_another_setting_says_which(settings: dict[str, Any], setting: str | None) -> None:
    one = explain(SessionManager(KEY), f"session={token_of({'a': 1}, **settings)}").candidates[0]
    assert one.setting == setting


def test_a_signed_token_at_a_store_says_so() -> None:
    explained = explain(SessionManager(KEY, store=MemoryStore()), f"session={token_of({'a': 1})}")
    (one,) = explained.candidates
    assert (one.reason, one.contents.data) == ("malformed", {"a": 1})
    assert one.setting == "with digest='sha1', in sessions that are only signed"


def test_each_value_is_judged_by_itself() -> None:
    good, old = token_of({"a": 1}), signed(b'{"old":1}', 1_000_000_000)
    values = ["junk", old, good, f"{good}x", "", "x" * 5000]
    explained = explain(SessionManager(KEY), "; ".join(f"session={value}" for value in values))
    assert [one.value for one in explained.candidates] == values
    assert [one.reason for one in explained.candidates] == ["malformed", "expired", "", *["malformed"] * 3]
    assert explained.accepted.contents.data == {"a": 1}


def test_a_header_that_is_too_long_is_told() -> None:
    explained = explain(SessionManager(KEY), f"x={'x' * 65536}; session={token_of({'a': 1})}")
    assert (explained.is_too_long, explained.candidates) == (True, [])
    assert not explain(SessionManager(KEY), "session=a").is_too_long


@pytest.mark.parametrize(
    ("settings", "environ", "reasons"),
    [
        ({}, {}, []),
        ({"cookie_secure": True}, {"HTTP_HOST": "example.com", "wsgi.url_scheme": "http"}, ["secure"]),
        ({"cookie_domain": "example.com"}, {"HTTP_HOST": "localhost"}, ["domain"]),
        ({"cookie_path": "/app"}, {"PATH_INFO": "/_session"}, ["path"]),
    ],
)
def test_what_keeps_the_cookie_from_coming_is_told(settings, environ, reasons, log) -> None:
    sessions = SessionManager(KEY, **settings)
    for _ in range(2):
        assert [notice.reason for notice in explain(sessions, "", **environ).notices] == reasons
    assert log.records == []


def test_a_large_cookie_is_told() -> None:
    token = token_of({"noise": "".join(chr(33 + n * n % 89) for n in range(6000))[:2600]}, encrypt=True)
    (notice,) = explain(SessionManager(KEY, encrypt=True), f"session={token}").notices
    assert notice.reason == "size"
    assert str(len("session") + len(token)) in notice.text


def test_while_it_is_not_known_what_has_ended_nothing_is_accepted(clock) -> None:
    store = Recording(MemoryStore())
    client = Client(SessionManager(KEY, revocations=store))
    client.do(lambda s: s.update(a=1))
    store.fail(*METHODS)
    clock.advance(120)
    explained = explain(client.sessions, client.cookie)
    (one,) = explained.candidates
    assert (one.reason, one.contents.data) == ("unavailable", {"a": 1})
    with pytest.raises(StoreError) as raised:
        client.data()
    assert str(explained.failure) == str(raised.value)


# Looking is no touch


def test_a_look_asks_a_store_once_and_writes_nothing(client, store) -> None:
    before = store.inner.load(client.key)
    explain(client.sessions, client.cookie)
    assert store.calls == ["load"]
    assert store.inner.load(client.key) == before


def test_a_look_leaves_the_request_s_session_untouched(any_client) -> None:
    environ = {"HTTP_COOKIE": any_client.cookie}
    session = any_client.sessions.open(environ)
    assert any_client.sessions.explain(environ).accepted.contents.data == {"a": 1, "cart": ["apple"]}
    assert not session.accessed
    assert any_client.sessions.commit(session) == []


# The same as the application meets

MANAGERS = [
    SessionManager(KEY, secret_key_fallbacks=[OTHER_KEY]),
    SessionManager(KEY, secret_key_fallbacks=[OTHER_KEY], absolute_lifetime=DAY),
    SessionManager(KEY, digest="sha256"),
    SessionManager(KEY, revocations=MemoryStore()),
    SessionManager(KEY, store=Recording(MemoryStore())),
]


def values() -> list[str]:
    """Values that one manager or another accepts, and some that none does."""
    found = [
        token_of({"a": 1}),
        token_of({"b": 2}, OTHER_KEY),
        token_of({"c": 3}, digest="sha256"),
        token_of({"d": 4}, "a third key, of nobody: 0123456789"),
        sealed(".eJw"),
        signed(b"[]"),
        signed(b'{"_created":1}'),
        signed(b"{}", 10**11),
        "",
        "hello",
        "A" * 43,
    ]
    for sessions in MANAGERS[3:]:
        clients = [Client(sessions) for _ in range(3)]
        for client in clients:
            client.do(lambda s: s.update(kept=True))
            found.append(client.token)
        clients[1].do(lambda s: s.invalidate())
        clients[2].do(lambda s: s.regenerate_id())
    return found


VALUES = values()


@given(st.lists(st.sampled_from(VALUES) | st.text(max_size=20), max_size=10), st.sampled_from(MANAGERS))
@settings(max_examples=300)
def test_what_is_explained_is_what_an_application_meets(found: list[str], sessions: SessionManager) -> None:
    heard: list[str] = []
    listener = logging.Handler()
    listener.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("session_mw")
    level, logger.level = logger.level, logging.DEBUG
    header = "; ".join(f"session={value}" for value in found)
    try:
        explained = explain(sessions, header)
        logger.addHandler(listener)
        session = sessions.open({"HTTP_COOKIE": header})
        data = session.copy()
    finally:
        logger.removeHandler(listener)
        logger.setLevel(level)
    accepted = explained.accepted
    assert session.new == (accepted is None)
    assert data == ({} if accepted is None else accepted.contents.data)
    logged = {line.partition("refused: ")[2].partition(" ")[0] for line in heard if "refused: " in line}
    told = {
        {"renewed": "ended" if sessions.store is None else "unknown"}.get(one.reason, one.reason)
        for one in explained.candidates
    }
    assert told - {""} == logged
