"""What a request asks of the store, and what the store knows of the session."""

from __future__ import annotations

import json

import pytest

from support.visitors import Client

CALLS = {
    "untouched": (lambda s: None, []),
    "asked whether it was touched": (lambda s: (s.accessed, s.modified), []),
    "read": (lambda s: s["a"], ["load"]),
    "read several times": (lambda s: (s["a"], list(s), s["cart"]), ["load"]),
    "written": (lambda s: s.update(b=1), ["load", "update"]),
    "changed inside": (lambda s: s["cart"].append("pear"), ["load", "update"]),
    "written as it was": (lambda s: s.update(a=1), ["load"]),
    "modified set by hand": (lambda s: setattr(s, "modified", True), ["load", "update"]),
    "changed and changed back": (lambda s: (s["cart"].append(1), s["cart"].pop()), ["load"]),
    "cleared": (lambda s: s.clear(), ["load", "delete"]),
    "invalidated": (lambda s: s.invalidate(), ["load", "delete"]),
    "cleared and filled": (lambda s: (s.clear(), s.update(b=1)), ["load", "delete", "create"]),
    "emptied key by key": (lambda s: (s.pop("a"), s.pop("cart")), ["load", "update"]),
    "new id": (lambda s: s.regenerate_id(), ["load", "create", "update"]),
    "new id twice": (lambda s: (s.regenerate_id(), s.regenerate_id()), ["load", "create", "update"]),
    "new id, then ended": (lambda s: (s.regenerate_id(), s.invalidate()), ["load", "delete"]),
}


@pytest.mark.parametrize(("change", "calls"), CALLS.values(), ids=CALLS)
def test_a_request_asks_no_more_of_the_store_than_it_must(client, store, change, calls):
    client.do(change)
    assert store.calls == calls


NEW = {
    "untouched": (lambda s: None, []),
    "read": (len, []),
    "written": (lambda s: s.update(a=1), ["create"]),
    "written and emptied": (lambda s: (s.update(a=1), s.pop("a")), []),
    "cleared": (lambda s: s.clear(), []),
    "new id": (lambda s: s.regenerate_id(), []),
    "written with a new id": (lambda s: (s.update(a=1), s.regenerate_id()), ["create"]),
    "modified set by hand": (lambda s: setattr(s, "modified", True), []),
}


@pytest.mark.parametrize(("change", "calls"), NEW.values(), ids=NEW)
def test_a_visitor_without_a_cookie_costs_nothing_before_something_is_kept(sessions, store, change, calls):
    Client(sessions).do(change)
    assert store.calls == calls


def test_the_store_knows_the_token_only_by_its_hash(client, inner):
    session = client.open()
    assert session.id == client.key
    record = inner.load(client.key)
    assert client.token.encode() not in record.data


def test_an_id_is_none_before_the_first_save(sessions):
    session = sessions.open({})
    session["a"] = 1
    assert session.id is None
    sessions.commit(session)
    assert len(session.id) == 64


def test_what_stands_in_a_store_is_json_and_not_code(client, inner):
    data = inner.load(client.key).data
    assert json.loads(data[data.index(b"{") :]).items() >= {"a": 1, "cart": ["apple"]}.items()
