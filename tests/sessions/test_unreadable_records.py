"""A record that cannot be read, or is another session's, is an empty session and one warning."""

from __future__ import annotations

import json
import logging
import pickle

import pytest

from session_mw import SessionManager
from support.tokens import KEY
from support.visitors import Client, Visitor
from support.wsgi import guarded, page


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"{}",
        b'{"a":',
        pickle.dumps(Bomb()),
        b"\xff" * 50,
        b"1" * 12,
        b"ended?",
        b"000000000000P" + b"x" * 30,
    ],
)
def test_an_unreadable_record_is_an_empty_session_and_one_warning(client, inner, data, caplog):
    record = inner.load(client.key)
    assert inner.update(client.key, data, 1000, record.version)
    broken = client.key
    session = client.open()
    assert (session.copy(), session.new) == ({}, True)
    (line,) = caplog.records
    assert line.levelno == logging.WARNING
    assert broken[:8] in line.getMessage()
    assert broken not in line.getMessage()
    session["b"] = 1
    assert client.commit(session) == "set"
    assert client.key != broken
    assert client.data() == {"b": 1}


@pytest.mark.parametrize("created", [None, "1700000000", -1, True, 1e9, 2**40])
def test_a_record_that_does_not_say_when_its_session_began_is_an_empty_session(client, inner, created):
    record = inner.load(client.key)
    head, brace, payload = record.data.partition(b"{")
    data = json.loads(brace + payload)
    del data["_created"]
    if created is not None:
        data["_created"] = created
    assert inner.update(client.key, head + json.dumps(data).encode(), 1000, record.version)
    assert (client.data(), client.open().new) == ({}, True)


def test_a_record_that_cannot_be_read_is_not_an_error_at_every_further_request(client, inner):
    assert inner.update(client.key, b'{"half', 1000, inner.load(client.key).version)
    app = guarded(page(lambda s: (s.get("a"), s.update(a=1))), sessions=client.sessions)
    visitor = Visitor(app, {"session": client.token})
    assert [visitor.get().body for _ in range(2)] == [b"(None, None)", b"(1, None)"]


def test_a_record_that_was_copied_under_another_key_is_rejected(client, sessions, inner):
    other = Client(sessions)
    other.do(lambda s: s.update(who="other"))
    mine, theirs = inner.load(client.key), inner.load(other.key)
    assert inner.update(client.key, theirs.data, 1000, mine.version)
    assert client.data() == {}


@pytest.mark.parametrize("settings", [{"salt": "other"}, {"cookie_name": "other"}])
def test_a_record_of_another_application_is_rejected(client, store, settings):
    sessions = SessionManager(KEY, store=store, **settings)
    name = settings.get("cookie_name", "session")
    assert sessions.open({"HTTP_COOKIE": f"{name}={client.token}"}).copy() == {}


def test_an_encrypted_record_and_a_plain_one_are_not_taken_for_each_other(client, store):
    pytest.importorskip("cryptography")
    encrypting = SessionManager(KEY, store=store, store_encryption=True)
    assert Client(encrypting, client.token).data() == {}
    hidden = Client(encrypting)
    hidden.do(lambda s: s.update(secret="confidential"))
    assert hidden.data() == {"secret": "confidential"}
    assert b"confidential" not in store.inner.load(hidden.key).data
    assert Client(client.sessions, hidden.token).data() == {}
