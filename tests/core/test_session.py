"""The session as an application sees it: a dict that loads itself and knows what was done to it."""

from __future__ import annotations

import copy
import json
import pickle
import pprint
from collections import ChainMap, Counter, OrderedDict
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_mw import Session, SessionManager
from session_mw.codecs.signed import SignedCodec
from support.tokens import KEY, NOW, signed, token_in

DATA = {"a": 1, "cart": ["apple"]}


@pytest.fixture
def sessions(now: Any) -> SessionManager:
    return SessionManager(KEY)


def opened(sessions: SessionManager, data: Any = DATA) -> Session:
    return sessions.open({"HTTP_COOKIE": f"session={signed(json.dumps(data).encode())}"})


def reopened(sessions: SessionManager, headers: list[tuple[str, str]]) -> dict[str, Any]:
    return sessions.open({"HTTP_COOKIE": f"session={token_in(headers)}"}).copy()


def keywords(**items: Any) -> dict[str, Any]:
    return items


def matched(session: Any) -> Any:
    match session:
        case {"a": 1, **rest}:
            return rest
    return None


def matched_empty(session: Any) -> bool:
    match session:
        case {}:
            return len(session) == 2
    return False


READS: dict[str, tuple[Callable[[Session], Any], Any]] = {
    "[]": (lambda s: s["a"], 1),
    "get": (lambda s: s.get("a"), 1),
    "get of a missing key": (lambda s: s.get("x", 5), 5),
    "in": (lambda s: "a" in s, True),
    "not in": (lambda s: "x" not in s, True),
    "len": (len, 2),
    "bool": (bool, True),
    "not": (lambda s: not s, False),
    "iter": (lambda s: next(iter(s)), "a"),
    "reversed": (lambda s: list(reversed(s)), ["cart", "a"]),
    "list": (list, ["a", "cart"]),
    "sorted": (sorted, ["a", "cart"]),
    "set": (set, {"a", "cart"}),
    "frozenset": (frozenset, {"a", "cart"}),
    "tuple": (tuple, ("a", "cart")),
    "max": (max, "cart"),
    "join": (",".join, "a,cart"),
    "star": (lambda s: [*s], ["a", "cart"]),
    "unpacking": (lambda s: (lambda a, b: (a, b))(*s), ("a", "cart")),
    "keys": (lambda s: list(s.keys()), ["a", "cart"]),
    "values": (lambda s: list(s.values()), [1, ["apple"]]),
    "items": (lambda s: list(s.items()), [("a", 1), ("cart", ["apple"])]),
    "keys &": (lambda s: s.keys() & {"a"}, {"a"}),
    "==": (lambda s: s == DATA, True),
    "== reflected": (lambda s: DATA == s, True),  # noqa: SIM300
    "!=": (lambda s: s != DATA, False),
    "!= reflected": (lambda s: DATA != s, False),  # noqa: SIM300
    "inside of ==": (lambda s: [{"s": s}] == [{"s": DATA}], True),
    "|": (lambda s: s | {"b": 2}, {**DATA, "b": 2}),
    "| reflected": (lambda s: {"b": 2, "a": 0} | s, {**DATA, "b": 2}),
    "|= into a dict": (lambda s: {}.__ior__(s), DATA),
    "dict": (dict, DATA),
    "dict with more": (lambda s: dict(s, b=2), {**DATA, "b": 2}),
    "{**}": (lambda s: {**s}, DATA),
    "f(**)": (lambda s: keywords(**s), DATA),
    "update of a dict": (lambda s: [d := {}, d.update(s)][0], DATA),
    "fromkeys": (lambda s: dict.fromkeys(s, 0), {"a": 0, "cart": 0}),
    "OrderedDict": (OrderedDict, DATA),
    "Counter": (lambda s: Counter(s.keys()), {"a": 1, "cart": 1}),
    "ChainMap": (lambda s: ChainMap({}, s)["a"], 1),
    "copy": (lambda s: s.copy(), DATA),
    "copy.copy": (copy.copy, DATA),
    "copy.deepcopy": (copy.deepcopy, DATA),
    "pickle": (lambda s: pickle.loads(pickle.dumps(s)), DATA),
    "json.dumps": (json.dumps, '{"a": 1, "cart": ["apple"]}'),
    "json.dumps indent": (lambda s: json.loads(json.dumps(s, indent=1, sort_keys=True)), DATA),
    "json.dumps inside": (lambda s: json.dumps([s]), '[{"a": 1, "cart": ["apple"]}]'),
    "repr": (repr, repr(DATA)),
    "str": (str, str(DATA)),
    "format": (lambda s: f"{s}", str(DATA)),
    "pprint": (pprint.pformat, repr(DATA)),
    "%": (lambda s: "%(a)s" % s, "1"),  # noqa: UP031
    "format_map": (lambda s: "{a}".format_map(s), "1"),
    "match": (matched, {"cart": ["apple"]}),
    "match of anything": (matched_empty, True),
    "pop of a missing key with a default": (lambda s: s.pop("x", None), None),
    "setdefault of an existing key": (lambda s: s.setdefault("a", 5), 1),
    "permanent": (lambda s: s.permanent, False),
    "new": (lambda s: s.new, False),
    "created": (lambda s: s.created, NOW),
    "id": (lambda s: s.id, None),
    "principal": (lambda s: s.principal, None),
}


@pytest.mark.parametrize("name", READS)
def test_each_way_of_reading_loads_and_counts_as_accessed_only(sessions, name):
    read, expected = READS[name]
    session = opened(sessions)
    assert not session.accessed
    assert read(session) == expected
    assert session.accessed
    assert not session.modified
    assert sessions.commit(session) == [("Vary", "Cookie")]


@pytest.mark.parametrize("name", READS)
def test_each_way_of_reading_gives_what_a_dict_gives_once_loaded(sessions, name):
    read, expected = READS[name]
    session = opened(sessions)
    len(session)
    assert read(session) == expected


@pytest.mark.parametrize("method", [lambda s: s["x"], lambda s: s.pop("x"), lambda s: s.__delitem__("x")])
def test_a_missing_key_is_a_key_error_and_no_change(sessions, method):
    session = opened(sessions)
    with pytest.raises(KeyError, match="x"):
        method(session)
    assert session.accessed
    assert sessions.commit(session) == [("Vary", "Cookie")]


WRITES: dict[str, tuple[Callable[[Session], Any], dict[str, Any]]] = {
    "[]=": (lambda s: s.__setitem__("b", 2), {**DATA, "b": 2}),
    "[]= of an equal value": (lambda s: s.__setitem__("a", 1), DATA),
    "del": (lambda s: s.__delitem__("a"), {"cart": ["apple"]}),
    "pop": (lambda s: s.pop("a"), {"cart": ["apple"]}),
    "popitem": (lambda s: s.popitem(), {"a": 1}),
    "setdefault": (lambda s: s.setdefault("b", 2), {**DATA, "b": 2}),
    "update": (lambda s: s.update({"b": 2}), {**DATA, "b": 2}),
    "update of pairs": (lambda s: s.update([("b", 2)]), {**DATA, "b": 2}),
    "update of keywords": (lambda s: s.update(b=2), {**DATA, "b": 2}),
    "update of a keyword self": (lambda s: s.update(self=2), {**DATA, "self": 2}),
    "|=": (lambda s: s.__ior__({"b": 2}), {**DATA, "b": 2}),
    "modified": (lambda s: setattr(s, "modified", True), DATA),
    "permanent": (lambda s: setattr(s, "permanent", True), {**DATA, "_permanent": True}),
    "principal": (lambda s: setattr(s, "principal", "42"), DATA),
    "regenerate_id": (lambda s: s.regenerate_id(), DATA),
}


@pytest.mark.parametrize("name", WRITES)
def test_each_way_of_writing_counts_as_modified_and_is_saved(sessions, name):
    write, expected = WRITES[name]
    session = opened(sessions)
    write(session)
    assert session.modified
    headers = sessions.commit(session)
    assert headers[0] == ("Vary", "Cookie")
    assert reopened(sessions, headers) == expected


def test_asking_whether_it_was_accessed_or_modified_is_no_touch(sessions):
    session = opened(sessions)
    assert not session.accessed
    assert not session.modified
    assert isinstance(session, (dict, MutableMapping, Mapping))
    assert sessions.commit(session) == []


def test_a_session_is_unhashable_as_a_dict_is(sessions):
    with pytest.raises(TypeError, match="unhashable"):
        hash(sessions.open({}))


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, Session.copy, lambda s: pickle.loads(pickle.dumps(s))])
def test_copies_and_pickles_are_plain_dicts(sessions, make):
    session = opened(sessions)
    made = make(session)
    assert type(made) is dict
    assert made == DATA
    made["a"] = 2
    assert session["a"] == 1


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_every_protocol_hold_the_data_and_nothing_of_the_package(sessions, protocol):
    text = pickle.dumps(opened(sessions), protocol)
    assert pickle.loads(text) == DATA
    assert b"session_mw" not in text
    assert KEY.encode() not in text


@pytest.mark.parametrize("result", [lambda s: s | {}, lambda s: {} | s])
def test_the_union_with_a_dict_is_a_plain_dict(sessions, result):
    assert type(result(opened(sessions))) is dict


def test_two_sessions_that_nobody_has_looked_at_are_compared_by_what_is_in_them(sessions):
    one, same, other = opened(sessions), opened(sessions), opened(sessions, {"a": 2})
    assert one == same
    assert one != other
    assert same.accessed
    assert other.accessed
    assert opened(sessions) | opened(sessions, {"b": 1}) == {**DATA, "b": 1}


def test_an_encoder_that_reads_the_raw_dict_raises_and_never_writes_an_empty_object(sessions):
    orjson = pytest.importorskip("orjson")
    session = opened(sessions)
    for option in (None, orjson.OPT_NON_STR_KEYS, orjson.OPT_SORT_KEYS):
        with pytest.raises(TypeError):
            orjson.dumps(session, option=option)
    len(session)
    assert orjson.loads(orjson.dumps(session)) == DATA


def test_code_that_goes_around_the_methods_never_sees_an_empty_dict(sessions):
    session = opened(sessions)
    assert dict.__len__(session) > 0
    assert not session.accessed


names = st.text().filter(lambda name: not name.startswith("_"))


@given(st.dictionaries(names, st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers())))
def test_json_as_the_first_touch_is_the_json_of_the_data(data):
    sessions = SessionManager(KEY)
    first = sessions.open({})
    first.update(data, x=1)
    session = sessions.open({"HTTP_COOKIE": f"session={token_in(sessions.commit(first))}"})
    assert json.loads(json.dumps(session)) == {**data, "x": 1}
    assert session.accessed


# Loading


def test_an_empty_session_is_empty_in_every_way(sessions):
    for look in (len, bool, list, dict, json.loads, json.dumps, repr):
        session = sessions.open({})
        assert look(session if look is not json.loads else json.dumps(session)) in (0, False, [], {}, "{}")
        assert session.accessed


def test_nothing_is_decoded_before_the_first_touch_and_once_then(now, monkeypatch):
    calls = []
    decode = SignedCodec.decode
    monkeypatch.setattr(SignedCodec, "decode", lambda self, token: [calls.append(token), decode(self, token)][1])
    sessions = SessionManager(KEY)
    session = opened(sessions)
    assert calls == []
    assert (session["a"], "x" in session, len(session)) == (1, False, 2)
    assert len(calls) == 1
    sessions.commit(session)
    assert len(calls) == 1


def test_a_session_is_new_until_the_visitor_comes_with_an_accepted_cookie(sessions):
    assert sessions.open({}).new
    assert sessions.open({"HTTP_COOKIE": "session=garbage"}).new
    assert not opened(sessions).new


# modified


def test_modified_may_be_set_without_a_touch_and_saves_what_is_there(sessions):
    session = opened(sessions)
    session.modified = True
    assert reopened(sessions, sessions.commit(session)) == DATA


def test_modified_keeps_its_value_and_a_second_commit_saves_only_what_changed_since(sessions):
    session = opened(sessions)
    session["b"] = 2
    assert [name for name, _ in sessions.commit(session)] == ["Vary", "Set-Cookie"]
    assert session.modified
    assert sessions.commit(session) == [("Vary", "Cookie")]
