"""``session.label``, and what a list of a user's sessions tells: to the user all, to who copies the store nothing."""

from __future__ import annotations

import json
import sqlite3
import time

import pytest

from session_mw import MemoryStore, SessionManager, open_store
from support.stores import Recording
from support.tokens import KEY, OTHER_KEY, token_of
from support.visitors import Client

DAY = 86400
PRINCIPAL = "user-alice@example.com"
LABEL = "Firefox on Linux, Alice"


def begun(sessions, principal="42", label=None, **data):
    client = Client(sessions)
    client.do(lambda s: (s.update({"a": 1, **data}), setattr(s, "principal", principal), setattr(s, "label", label)))
    return client


def listed(sessions, principal="42"):
    return {one.id: one.label for one in sessions.sessions_of(principal)}


# The label


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_list_shows_the_labels(inner, encrypted):
    sessions = SessionManager(KEY, store=inner, store_encryption=encrypted)
    clients = [begun(sessions, label=label) for label in ("Firefox", None, "日本語 🦊", '"];{}\\')]
    assert listed(sessions) == {
        client.key: label for client, label in zip(clients, ("Firefox", None, "日本語 🦊", '"];{}\\'), strict=True)
    }


def test_it_is_kept_in_a_cookie_too_and_hidden_from_the_dict(any_sessions):
    client = begun(any_sessions, label=LABEL)
    session = client.open()
    assert (session, session.label, "_label" in session, session.accessed) == ({"a": 1}, LABEL, False, True)
    client.do(lambda s: setattr(s, "label", None))
    assert client.open().label is None


def test_it_survives_a_new_id_and_writes_and_ends_with_a_log_out(any_sessions):
    client = begun(any_sessions, label=LABEL)
    client.do(lambda s: (s.regenerate_id(), s.update(b=1)))
    client.do(lambda s: s["a"])
    assert client.open().label == LABEL
    client.do(lambda s: (s.invalidate(), s.update(b=1)))
    assert client.open().label is None


def test_a_list_shows_the_label_after_a_new_id(inner):
    sessions = SessionManager(KEY, store=inner)
    client = begun(sessions, label=LABEL)
    client.do(lambda s: s.regenerate_id())
    assert listed(sessions) == {client.key: LABEL}
    client.do(lambda s: setattr(s, "label", "another"))
    assert listed(sessions) == {client.key: "another"}


def test_a_label_that_was_discarded_is_in_no_list(clock):
    sessions = SessionManager(KEY, store="memory://", lifetime=10 * DAY)
    client = begun(sessions, label=LABEL)
    clock.advance(5 * DAY)
    client.do(lambda s: (setattr(s, "label", "discarded"), setattr(s, "modified", False)))
    assert listed(sessions) == {client.key: LABEL}


@pytest.mark.parametrize("label", ["x", "x" * 200, "🦊" * 200])
def test_it_has_up_to_two_hundred_characters(inner, label):
    for encrypted in (False, True):
        sessions = SessionManager(KEY, store=inner, store_encryption=encrypted)
        client = begun(sessions, str(encrypted), label)
        assert (client.open().label, client.data()) == (label, {"a": 1})
        assert listed(sessions, str(encrypted)) == {client.key: label}


@pytest.mark.parametrize("label", ["", "x" * 201, "\ud800"], ids=["empty", "long", "surrogate"])
def test_another_length_and_a_lone_surrogate_are_a_value_error(any_sessions, label):
    session = any_sessions.open({})
    with pytest.raises(ValueError, match="a label has 1 to 200 characters and no lone surrogate"):
        session.label = label
    assert (session.modified, session.label) == (False, None)


@pytest.mark.parametrize("label", [1, b"x", True, ["x"]])
def test_what_is_no_text_is_a_type_error(any_sessions, label):
    session = any_sessions.open({})
    with pytest.raises(TypeError, match="a label is a str or None"):
        session.label = label
    assert session.modified is False


# Under store_encryption


def dump_of(store, url, request, path):
    """All bytes that a store holds."""
    if url.startswith("memory"):
        keys = [key for name in store.names for key in store.keys_of(name)]
        return b"".join([*map(str.encode, store.names), *(store.load(key).data for key in keys)])
    if url.startswith("redis"):
        redis = pytest.importorskip("redis")
        client = redis.Redis.from_url(url.partition("?")[0])
        prefix = url.partition("prefix=")[2]
        keys = list(client.scan_iter(f"{prefix}*"))
        assert keys
        reads = {b"hash": client.hgetall, b"set": client.smembers, b"zset": lambda key: client.zrange(key, 0, -1)}
        values = {key: reads.get(client.type(key), client.get)(key) for key in keys}
        # in Python's spelling, which leaves ASCII as it is
        return b"".join([*keys, repr(list(values.values())).encode()])
    return b"".join(
        piece
        for found in sorted(path.rglob("*"))
        for piece in (str(found.relative_to(path)).encode(), found.read_bytes() if found.is_file() else b"")
    )


class Noting(MemoryStore):
    """A store in memory that knows which principals it was told of."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def create(self, key, data, ttl, principal=None):
        self.names.add(principal or "")
        return super().create(key, data, ttl, principal)

    def update(self, key, data, ttl, version, principal=None):
        self.names.add(principal or "")
        return super().update(key, data, ttl, version, principal)


@pytest.mark.parametrize("kind", ["memory", "file", "sqlite", "redis", "sqlalchemy"])
@pytest.mark.parametrize("encrypted", [True, False], ids=["encrypted", "readable"])
def test_no_principal_and_no_label_is_readable_in_a_dump(request, tmp_path, kind, encrypted):
    pytest.importorskip("cryptography")
    urls = {
        "memory": "memory://",
        "file": f"file://{tmp_path}/sessions",
        "sqlite": f"sqlite:///{tmp_path}/sessions.db",
        "sqlalchemy": f"sqlite+pysqlite:///{tmp_path}/alchemy.db",
    }
    url = urls.get(kind) or f"{request.getfixturevalue('valkey').url}?prefix=labels-{tmp_path.name}-{encrypted}:"
    store = Noting() if kind == "memory" else open_store(url)
    sessions = SessionManager(KEY, store=store, store_encryption=encrypted)
    client = begun(sessions, PRINCIPAL, LABEL)
    client.do(lambda s: s.update(b=1))
    client.do(lambda s: s.regenerate_id())
    client.do(lambda s: s.update(c=1))
    client.do(lambda s: s["a"])
    assert listed(sessions, PRINCIPAL) == {client.key: LABEL}
    dump = dump_of(store, url, request, tmp_path)
    sessions.close()
    assert client.key.encode() in dump or kind == "memory"
    readable = [text for text in (PRINCIPAL, LABEL) if text.encode() in dump or text.encode().hex().encode() in dump]
    assert readable == [] if encrypted else LABEL in readable


def test_sessions_made_under_a_fallback_key_are_found_and_ended(inner):
    pytest.importorskip("cryptography")
    old = SessionManager(OTHER_KEY, store=inner, store_encryption=True)
    clients = [begun(old, label="old"), begun(old, label="old")]
    new = SessionManager(KEY, secret_key_fallbacks=[OTHER_KEY], store=inner, store_encryption=True)
    mine = begun(new, label="new")
    assert listed(new) == {clients[0].key: "old", clients[1].key: "old", mine.key: "new"}
    # read: it is written with the current key, and found by it alone
    clients[0].other(new).do(lambda s: s["a"])
    without = SessionManager(KEY, store=inner, store_encryption=True)
    assert listed(without) == {clients[0].key: "old", mine.key: "new"}
    assert listed(new) == {clients[0].key: "old", clients[1].key: "old", mine.key: "new"}
    assert new.end_all("42") == 3
    assert [client.other(new).data() for client in (*clients, mine)] == [{}, {}, {}]


def test_a_session_of_an_unknown_key_is_in_no_list_and_not_counted(inner):
    pytest.importorskip("cryptography")
    begun(SessionManager(OTHER_KEY, store=inner, store_encryption=True))
    sessions = SessionManager(KEY, store=inner, store_encryption=True)
    assert (listed(sessions), sessions.end_all("42")) == ({}, 0)


class OfBefore:
    """A store of before there were hashes: its index holds the principal's own name, and records have no head."""

    def __init__(self, inner):
        self.inner = inner
        self.names = {}

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def create(self, key, data, ttl, principal=None):
        length = int(data[13:17])
        return self.inner.create(key, data[:12] + data[17 + length :], ttl, principal and "42")


def test_an_index_from_before_the_hashes_is_found_and_moves_when_its_record_is_next_written_or_read(inner):
    pytest.importorskip("cryptography")
    before = SessionManager(KEY, store=OfBefore(inner), store_encryption=True)
    written, read, ended = (begun(before) for _ in range(3))
    assert set(inner.keys_of("42")) == {written.key, read.key, ended.key}
    sessions = SessionManager(KEY, store=inner, store_encryption=True)
    assert listed(sessions) == dict.fromkeys([written.key, read.key, ended.key])
    written.other(sessions).do(lambda s: s.update(b=1))
    assert set(inner.keys_of("42")) == {read.key, ended.key}
    read.other(sessions).do(lambda s: s["a"])
    assert set(inner.keys_of("42")) == {ended.key}
    assert listed(sessions) == dict.fromkeys([written.key, read.key, ended.key])
    assert sessions.end_all("42") == 3
    assert [client.other(sessions).data() for client in (written, read, ended)] == [{}, {}, {}]


def test_a_session_that_moves_in_the_index_while_it_is_listed_is_found():
    pytest.importorskip("cryptography")
    inner = MemoryStore()
    client = begun(SessionManager(KEY, store=OfBefore(inner), store_encryption=True))
    store = Recording(inner)
    sessions = SessionManager(KEY, store=store, store_encryption=True)
    for look in (listed, lambda manager: manager.end_all("42")):
        fresh = begun(SessionManager(KEY, store=OfBefore(inner), store_encryption=True))

        def move_between(client=fresh):
            store.once(
                "keys_of", lambda: client.other(SessionManager(KEY, store=inner, store_encryption=True)).do(touch)
            )

        store.once("keys_of", move_between)
        found = look(sessions)
        assert fresh.key in found if isinstance(found, dict) else found == 3
        assert (fresh.other(sessions).data() == {}) == isinstance(found, int)
    assert client.other(sessions).data() == {}


def touch(session):
    return session["a"]


def test_a_principal_that_looks_like_anothers_hash_finds_nobody_elses_sessions():
    """Who has a copy of the store, and may choose a name, could end the sessions of others."""
    pytest.importorskip("cryptography")
    store = Noting()
    sessions = SessionManager(KEY, store=store, store_encryption=True)
    client = begun(sessions, PRINCIPAL)
    (name,) = store.names
    assert (listed(sessions, name), sessions.end_all(name)) == ({}, 0)
    own = begun(sessions, name)
    assert listed(sessions, name) == {own.key: None}
    assert listed(sessions, PRINCIPAL) == {client.key: None}


# A list shows only what would be accepted


def test_a_session_past_its_absolute_lifetime_is_in_no_list(clock, inner):
    begun(SessionManager(KEY, store=inner))
    clock.advance(100)
    sessions = SessionManager(KEY, store=inner, absolute_lifetime=99)
    assert listed(sessions) == {}
    assert len(listed(SessionManager(KEY, store=inner, absolute_lifetime=100))) == 1
    assert sessions.end_all("42") == 0


@pytest.mark.parametrize("other", [{"cookie_name": "other"}, {"salt": "other"}])
@pytest.mark.parametrize("encrypted", [False, True])
def test_a_session_of_another_application_is_in_no_list(inner, other, encrypted):
    settings = {"store": inner, "store_encryption": encrypted}
    theirs = begun(SessionManager(KEY, **settings, **other), label="theirs")
    mine = begun(SessionManager(KEY, **settings), label="mine")
    assert listed(SessionManager(KEY, **settings)) == {mine.key: "mine"}
    assert listed(SessionManager(KEY, **settings, **other)) == {theirs.key: "theirs"}


@pytest.mark.parametrize("wrote_encrypted", [False, True])
def test_a_record_that_is_only_readable_or_only_encrypted_is_refused_by_the_other_kind(inner, wrote_encrypted, caplog):
    """No weaker format is ever accepted, and a stronger one cannot be read."""
    pytest.importorskip("cryptography")
    writer = SessionManager(KEY, store=inner, store_encryption=wrote_encrypted)
    reader = SessionManager(KEY, store=inner, store_encryption=not wrote_encrypted)
    client = begun(writer, label=LABEL)
    assert client.other(reader).data() == {}
    assert "cannot be read" in caplog.text
    assert (listed(reader), reader.end_all("42")) == ({}, 0)
    assert client.other(reader).do(lambda s: s.update(b=1)) == "set"
    assert reader.store.load(client.key) is not None or wrote_encrypted is False


def test_a_record_that_was_begun_by_a_clock_that_is_ahead_is_read(clock, inner):
    sessions = SessionManager(KEY, store=inner, lifetime=10 * DAY)
    clock.advance(3600)
    client = begun(sessions, label=LABEL)
    began = int(clock.now)
    clock.advance(-3600)
    session = client.open()
    assert (session, session.created, session.new) == ({"a": 1}, began, False)
    assert listed(sessions) == {client.key: LABEL}
    client.do(lambda s: s.update(b=1))
    assert client.data() == {"a": 1, "b": 1}


# Heads that somebody else wrote

HEADS = {
    "no digits": b"Ixxxx{}",
    "longer than what is there": b'I9999{"_label":"x"}',
    "shorter": b'I0003{"_label":"x"}',
    "empty": b"I0000",
    "cut short": b"I00",
    "only the mark": b"I",
    "no JSON": b"I0004!!!!",
    "no UTF-8": b"I0003\xff\xfe\xfd",
    "nested": b"I9000" + b"[" * 9000,
    "a long number": b"I6000" + b"9" * 6000,
    "a list": b"I0002[]",
    "a text": b'I0003"x"',
    "null": b"I0004null",
    "a label that is a list": b'I0014{"_label":[1]}',
    "an empty label": b'I0013{"_label":""}',
    "a lone surrogate": b'I0019{"_label":"\\ud800"}',
    "a lifetime that is true": b'I0018{"_lifetime":true}',
    "an endless lifetime": b'I0019{"_lifetime":1e999}',
    "NaN": b'I0017{"_lifetime":NaN}',
    "a negative lifetime": b'I0016{"_lifetime":-5}',
    "a huge lifetime": b"I0042" + b'{"_lifetime":' + b"9" * 28 + b"}",
    "a sign in the length": b"I+002{}",
    "a blank in the length": b"I 002{}",
    "an underscore in the length": b"I0_02{}",
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("encrypted", [False, True], ids=["readable", "encrypted"])
def test_whatever_stands_in_a_head_a_list_goes_on_and_a_visitor_meets_no_error(head, encrypted):
    store = MemoryStore()
    sessions = SessionManager(KEY, store=store, store_encryption=encrypted)
    client, other = begun(sessions, label=LABEL), begun(sessions, label="other")
    principal = None
    for name in ("42", *(f"h1-{n}" for n in range(3))):
        principal = name if client.key in store.keys_of(name) else principal
    record = store.load(client.key)
    created, sealed = record.data[:12], record.data[17 + int(record.data[13:17]) :]
    for data in (created + head + sealed, head + sealed, created + head, created, b"", created[:5]):
        record = store.load(client.key)
        assert store.update(client.key, data, 1000, record.version, principal)
        found = listed(sessions)
        assert found[other.key] == "other"
        assert {key: label for key, label in found.items() if key != other.key and label is not None} in (
            {},
            {client.key: LABEL},
        )
        visitor = client.other()
        assert visitor.data() in ({}, {"a": 1})
        visitor.do(lambda s: s.update(b=1))
        assert visitor.data()["b"] == 1


def test_the_head_of_another_record_is_not_shown(inner):
    pytest.importorskip("cryptography")
    sessions = SessionManager(KEY, store=inner, store_encryption=True)
    client, other = begun(sessions, label="mine"), begun(sessions, label="another")
    record, foreign = inner.load(client.key), inner.load(other.key).data

    def cut(data):
        at = 17 + int(data[13:17])
        return data[:12], data[12:at], data[at:]

    created, _, sealed = cut(record.data)
    assert inner.update(client.key, created + cut(foreign)[1] + sealed, 1000, record.version)
    assert client.data() == {"a": 1}
    assert client.open().label == "mine"
    assert "another" not in [one.label for one in sessions.sessions_of("42") if one.id == client.key]


def test_a_cookie_session_with_a_label_is_no_token_of_a_store():
    token = token_of({"a": 1})
    assert SessionManager(KEY, store="memory://").open({"HTTP_COOKIE": f"session={token}"}) == {}


def test_a_readable_head_is_json_and_holds_label_lifetime_and_beginning_only(tmp_path):
    sessions = SessionManager(KEY, store=f"sqlite:///{tmp_path}/s.db")
    client = begun(sessions, PRINCIPAL, LABEL)
    client.do(lambda s: setattr(s, "lifetime", 60))
    sessions.close()
    connection = sqlite3.connect(tmp_path / "s.db")
    (data,) = [
        value for row in connection.execute("SELECT * FROM sessions") for value in row if isinstance(value, bytes)
    ]
    connection.close()
    head = json.loads(data[17 : 17 + int(data[13:17])])
    assert int(head.pop("_since"), 16) <= time.time() * 1e6
    assert head == {"_label": LABEL, "_lifetime": 60}
