"""The session as an application sees it: a dict that loads itself and knows what was done to it."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import pprint
from collections import ChainMap, Counter, OrderedDict
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_mw import MemoryStore, NotSerializable, Session, SessionManager, SessionUnavailable, StoreError
from session_mw.codecs.signed import SignedCodec

KEY = "test-secret-key-0123456789abcdef"
NOW = 1700000000
DATA = {"a": 1, "cart": ["apple"]}


@pytest.fixture
def sessions(clock: Any) -> SessionManager:
    clock.now = float(NOW)
    return SessionManager(KEY)


def token_of(payload: bytes, now: int = NOW) -> str:
    return SignedCodec(KEY).encode(payload, now, now)


def opened(sessions: SessionManager, data: Any = DATA) -> Session:
    payload = data if isinstance(data, bytes) else json.dumps(data).encode()
    return sessions.open({"HTTP_COOKIE": f"session={token_of(payload)}"})


def cookies(headers: list[tuple[str, str]]) -> list[str]:
    return [value for name, value in headers if name == "Set-Cookie"]


def reopened(sessions: SessionManager, headers: list[tuple[str, str]]) -> dict[str, Any]:
    (cookie,) = cookies(headers)
    return dict(sessions.open({"HTTP_COOKIE": cookie.partition(";")[0]}))


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


@pytest.mark.parametrize("end", [lambda s: s.clear(), lambda s: s.invalidate(), lambda s: [s.popitem(), s.popitem()]])
def test_an_emptied_session_is_deleted(sessions, end):
    session = opened(sessions)
    end(session)
    assert session.modified
    assert session == {}
    assert cookies(sessions.commit(session)) == [
        "session=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/; HttpOnly; SameSite=Lax"
    ]
    assert sessions.commit(session) == [("Vary", "Cookie")]


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
    assert dict.__len__(session) == 1
    assert not session.accessed


names = st.text().filter(lambda name: not name.startswith("_"))


@given(st.dictionaries(names, st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers())))
def test_json_as_the_first_touch_is_the_json_of_the_data(data):
    sessions = SessionManager(KEY)
    first = sessions.open({})
    first.update(data, x=1)
    headers = sessions.commit(first)
    session = sessions.open({"HTTP_COOKIE": cookies(headers)[0].partition(";")[0]})
    assert json.loads(json.dumps(session)) == {**data, "x": 1}
    assert session.accessed


# Loading


def test_an_empty_session_is_empty_in_every_way(sessions):
    for look in (len, bool, list, dict, json.loads, json.dumps, repr):
        session = sessions.open({})
        assert look(session if look is not json.loads else json.dumps(session)) in (0, False, [], {}, "{}")
        assert session.accessed


def test_nothing_is_decoded_before_the_first_touch_and_once_then(sessions, monkeypatch):
    calls = []
    decode = SignedCodec.decode
    monkeypatch.setattr(SignedCodec, "decode", lambda self, token: [calls.append(token), decode(self, token)][1])
    session = opened(sessions)
    assert calls == []
    assert (session["a"], "x" in session, len(session)) == (1, False, 2)
    assert len(calls) == 1
    sessions.commit(session)
    assert len(calls) == 1


class Failing(MemoryStore):
    """A store that is down for some loads."""

    down = 0

    def load(self, key: str) -> Any:
        if self.down:
            self.down -= 1
            raise StoreError("down")
        return super().load(key)


def test_a_failed_loading_raises_again_at_the_next_touch_and_never_gives_an_empty_session():
    store = Failing()
    sessions = SessionManager(store=store)
    first = sessions.open({})
    first.update(DATA)
    cookie = cookies(sessions.commit(first))[0].partition(";")[0]
    session = sessions.open({"HTTP_COOKIE": cookie})
    store.down = 3
    for touch in (len, json.dumps, dict):
        with pytest.raises(StoreError):
            touch(session)
        assert session.accessed
    assert session == DATA
    assert store.down == 0


def test_names_of_hidden_facts_cannot_be_used_for_data(sessions):
    for name in ("_created", "_principal"):
        session = sessions.open({})
        session[name] = 1
        with pytest.raises(NotSerializable, match="the name is reserved"):
            sessions.commit(session)


# Changes inside


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s["cart"].append("pear"),
        lambda s: s.get("cart").append("pear"),
        lambda s: next(v for v in s.values() if v != 1).append("pear"),
        lambda s: dict(s)["cart"].append("pear"),
        lambda s: s.copy()["cart"].append("pear"),
        lambda s: {**s}["cart"].append("pear"),
        lambda s: (s | {})["cart"].append("pear"),
        lambda s: s.setdefault("cart", []).append("pear"),
        lambda s: [v for _, v in s.items() if v != 1][0].append("pear"),  # noqa: RUF015
        lambda s: matched(s)["cart"].append("pear"),
    ],
)
def test_a_change_inside_a_list_is_saved_without_setting_modified(sessions, change):
    session = opened(sessions)
    change(session)
    assert not session.modified
    assert reopened(sessions, sessions.commit(session)) == {"a": 1, "cart": ["apple", "pear"]}


@pytest.mark.parametrize("value", [True, 1.0, "1", [1], None])
def test_a_change_inside_to_an_equal_value_of_another_type_is_a_change(sessions, value):
    session = opened(sessions, {"l": [1]})
    session["l"][0] = value
    (read,) = reopened(sessions, sessions.commit(session))["l"]
    assert (type(read), read) == (type(value), value)


def test_a_change_inside_that_was_taken_back_is_no_change(sessions):
    session = opened(sessions)
    session["cart"].append("pear")
    session["cart"].pop()
    assert sessions.commit(session) == [("Vary", "Cookie")]


@pytest.mark.parametrize(
    "payload",
    [
        b'{"b":[1],"a":{"y":1,"x":2}}',
        b' { "a" : [ 1 , 2 ] } \n',
        '{"name":"Zoë","l":[]}'.encode(),
        b'{"l":["\\u0041\\/"],"f":[1e2,1E400,NaN,-0]}',
        b'{"t":{" t":[1]},"d":{" d":"Tue, 2 Jan 2024 03:04:05 +0100"},"u":{" u":"ABCDEFABCDEFABCDEFABCDEFABCDEFAB"}}',
        b'{"d":{" di":{"x__":[1]}}}',
    ],
)
def test_what_another_writer_spelled_otherwise_and_was_only_read_is_no_change(sessions, payload):
    session = opened(sessions, payload)
    assert list(session.items())
    assert sessions.commit(session) == [("Vary", "Cookie")]


def test_what_was_only_read_is_no_change_though_our_spelling_of_it_would_be_too_long(sessions):
    payload = '{"l":["' + "é" * 500_000 + '"]}'
    session = opened(sessions, payload.encode())
    assert len(session["l"][0]) == 500_000
    assert sessions.commit(session) == [("Vary", "Cookie")]
    session = opened(sessions, payload.encode())
    session["l"][0] = "short"
    assert reopened(sessions, sessions.commit(session)) == {"l": ["short"]}


# Besides the dict


def test_modified_may_be_set_without_a_touch_and_saves_what_is_there(sessions):
    session = opened(sessions)
    session.modified = True
    assert reopened(sessions, sessions.commit(session)) == DATA


def test_modified_keeps_its_value_and_a_second_commit_saves_only_what_changed_since(sessions):
    session = opened(sessions)
    session["b"] = 2
    assert len(cookies(sessions.commit(session))) == 1
    assert session.modified
    assert sessions.commit(session) == [("Vary", "Cookie")]
    session["cart"].append("pear")
    assert reopened(sessions, sessions.commit(session)) == {"a": 1, "b": 2, "cart": ["apple", "pear"]}
    assert sessions.commit(session) == [("Vary", "Cookie")]


@pytest.mark.parametrize("touch", [lambda s: None, len, lambda s: s.__setitem__("a", 2)])
def test_a_permanent_session_is_sent_once_however_often_it_is_committed(sessions, touch):
    session = opened(sessions, {"_permanent": True})
    touch(session)
    assert len(cookies(sessions.commit(session))) == 1
    assert cookies(sessions.commit(session)) == []
    session["b"] = 2
    assert len(cookies(sessions.commit(session))) == 1


def test_after_a_deletion_a_session_begins_anew(sessions):
    session = opened(sessions)
    session.clear()
    sessions.commit(session)
    session["b"] = 1
    assert reopened(sessions, sessions.commit(session)) == {"b": 1}


@pytest.mark.parametrize(
    ("value", "permanent"), [(True, True), (False, False), (1, False), ("true", False), (None, False), ([1], False)]
)
def test_only_json_true_means_permanent(sessions, value, permanent):
    assert opened(sessions, {"_permanent": value}).permanent is permanent


@pytest.mark.parametrize("value", [1, "yes", [0]])
def test_whatever_is_true_makes_a_session_permanent_when_it_is_set(sessions, value):
    session = sessions.open({})
    session.permanent = value
    assert session == {"_permanent": True}
    session.permanent = 0
    assert session == {"_permanent": False}


def test_a_session_is_new_until_the_visitor_comes_with_an_accepted_cookie(sessions):
    assert sessions.open({}).new
    assert sessions.open({"HTTP_COOKIE": "session=garbage"}).new
    assert not opened(sessions).new


def test_created_is_when_the_token_was_signed_or_now(sessions, clock):
    session = opened(sessions)
    clock.advance(100)
    assert session.created == NOW
    assert sessions.open({}).created == NOW + 100
    session.invalidate()
    assert session.created == NOW + 100


def test_the_principal_is_kept_beside_the_data(sessions):
    session = sessions.open({})
    session.principal = "42"
    (cookie,) = cookies(sessions.commit(session))
    again = sessions.open({"HTTP_COOKIE": cookie.partition(";")[0]})
    assert again.principal == "42"
    assert again == {}
    assert not again.new
    again.principal = None
    assert cookies(sessions.commit(again))[0].startswith("session=; Expires=Thu, 01 Jan 1970")


@pytest.mark.parametrize("value", [42, "", b"42", 0, ["42"]])
def test_a_principal_is_a_non_empty_text(sessions, value):
    with pytest.raises(TypeError, match=r"a principal is a non-empty str.*write str\(user.id\)"):
        sessions.open({}).principal = value


def test_clear_and_invalidate_forget_the_principal(sessions):
    for end in (Session.clear, Session.invalidate):
        session = sessions.open({})
        session.principal = "42"
        end(session)
        assert session.principal is None


def test_a_new_id_keeps_the_data_and_drops_the_csrf_secret(sessions):
    session = opened(sessions, {"a": 1, "_csrf_token": "planted"})
    session.regenerate_id()
    assert reopened(sessions, sessions.commit(session)) == {"a": 1}


@pytest.mark.parametrize("change", [lambda s: s.__setitem__("a", 2), lambda s: setattr(s, "modified", True)])
def test_a_change_after_the_headers_is_logged_with_the_line_that_made_it(sessions, change, caplog):
    session = opened(sessions)
    len(session)
    session._sent = True
    with caplog.at_level(logging.WARNING, "session_mw"):
        change(session)
    (record,) = caplog.records
    assert f"{__file__}:" in record.getMessage()
    assert "apple" not in record.getMessage()


# Without a key


NULL_WRITES: list[Callable[[Session], Any]] = [
    lambda s: s.__setitem__("a", 1),
    lambda s: s.__delitem__("a"),
    lambda s: s.clear(),
    lambda s: s.pop("a", None),
    lambda s: s.popitem(),
    lambda s: s.setdefault("a", 1),
    lambda s: s.update(a=1),
    lambda s: s.__ior__({"a": 1}),
    lambda s: s.regenerate_id(),
    lambda s: s.invalidate(),
    lambda s: setattr(s, "permanent", True),
    lambda s: setattr(s, "principal", "42"),
]


@pytest.mark.parametrize("write", NULL_WRITES)
def test_without_a_key_each_write_says_what_to_set(write):
    session = SessionManager().open({})
    with pytest.raises(SessionUnavailable, match="session is unavailable because no secret key was set") as caught:
        write(session)
    assert isinstance(caught.value, RuntimeError)
    assert session == {}


@pytest.mark.parametrize("look", [len, bool, list, dict, repr, json.dumps, copy.copy, lambda s: s.get("a")])
def test_without_a_key_the_session_reads_as_empty_and_adds_no_header(look):
    sessions = SessionManager()
    session = sessions.open({"HTTP_COOKIE": f"session={token_of(b'{}')}"})
    assert look(session) in (0, False, [], {}, "{}", None)
    assert (session.new, session.permanent, session.id, session.principal) == (True, False, None, None)
    assert sessions.commit(session) == []
