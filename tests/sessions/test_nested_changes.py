"""Changes inside the lists and dicts of a session are found without setting ``modified``."""

from __future__ import annotations

import pytest

from session_mw import SessionManager
from support.tokens import KEY, deflated, signed, token_in
from support.visitors import Client, Visitor
from support.wsgi import VARY, answer_to, guarded, page

pytestmark = pytest.mark.usefixtures("now")


def matched(session):
    match session:
        case {"a": 1, **rest}:
            return rest
    return None


WAYS = {
    "[]": lambda s: s["cart"],
    "get": lambda s: s.get("cart"),
    "setdefault": lambda s: s.setdefault("cart", []),
    "values": lambda s: next(v for v in s.values() if v != 1),
    "items": lambda s: next(v for _, v in s.items() if v != 1),
    "dict": lambda s: dict(s)["cart"],
    "copy": lambda s: s.copy()["cart"],
    "**": lambda s: {**s}["cart"],
    "|": lambda s: (s | {})["cart"],
    "match": lambda s: matched(s)["cart"],
}


@pytest.mark.parametrize("get", WAYS.values(), ids=WAYS)
def test_a_change_inside_a_list_is_saved_however_the_list_was_got(any_client, get):
    session = any_client.open()
    get(session).append("pear")
    assert not session.modified
    any_client.commit(session)
    assert any_client.data() == {"a": 1, "cart": ["apple", "pear"]}


def test_a_change_deep_inside_is_saved(any_client):
    any_client.do(lambda s: s.update(deep={"er": {"list": []}}))
    any_client.do(lambda s: s["deep"]["er"]["list"].append(1))
    assert any_client.data() == {"a": 1, "cart": ["apple"], "deep": {"er": {"list": [1]}}}


def test_a_page_that_appends_to_a_list_is_seen_by_the_next_one(any_sessions):
    app = guarded(page(lambda s: s.setdefault("cart", []).append("apple") or s["cart"]), sessions=any_sessions)
    visitor = Visitor(app)
    assert [visitor.get().body for _ in range(2)] == [b"['apple']", b"['apple', 'apple']"]


@pytest.mark.parametrize("value", [True, 1.0, "1", [1], None])
def test_a_change_inside_to_an_equal_value_of_another_type_is_a_change(any_client, value):
    any_client.do(lambda s: s.update(l=[1]))
    any_client.do(lambda s: s["l"].__setitem__(0, value))
    (read,) = any_client.data()["l"]
    assert (type(read), read) == (type(value), value)


def test_a_change_inside_that_was_taken_back_is_not_a_change(any_client):
    session = any_client.open()
    session["cart"].append("pear")
    session["cart"].pop()
    assert any_client.sessions.commit(session) == [VARY]


def test_a_change_inside_after_a_commit_is_saved_by_the_next_one(any_client):
    session = any_client.open()
    session["b"] = 2
    any_client.commit(session)
    assert session.modified
    assert any_client.sessions.commit(session) == [VARY]
    session["cart"].append("pear")
    any_client.commit(session)
    assert any_client.data() == {"a": 1, "b": 2, "cart": ["apple", "pear"]}
    assert any_client.sessions.commit(session) == [VARY]


@pytest.mark.parametrize(
    "payload",
    [
        b'{"b":[1],"a":{"y":1,"x":2}}',
        b'{"b":[1],"a":{"y":2,"x":1}}',
        b' { "a" : [ 1 , 2 ] } \n',
        '{"name":"Zoë","l":[]}'.encode(),
        b'{"l":["\\u0041\\/"],"f":[1e2,1E400,NaN,-0]}',
        b'{"t":{" t":[1]},"d":{" d":"Tue, 2 Jan 2024 03:04:05 +0100"},"u":{" u":"ABCDEFABCDEFABCDEFABCDEFABCDEFAB"}}',
        b'{"d":{" di":{"x__":[1]}}}',
    ],
)
def test_what_another_writer_spelled_otherwise_and_was_only_read_is_not_a_change(payload):
    assert answer_to(lambda s: list(s.items()), signed(payload)) == [VARY]
    assert answer_to(lambda s: (list(s.values()), dict(s)), signed(payload)) == [VARY]


def test_what_was_only_read_is_not_a_change_though_our_spelling_of_it_would_be_too_long():
    payload = ('{"l":["' + "é" * 500_000 + '"]}').encode()
    cookie = f"session={deflated(payload)}"
    sessions = SessionManager(KEY)
    session = sessions.open({"HTTP_COOKIE": cookie})
    assert len(session["l"][0]) == 500_000
    assert sessions.commit(session) == [VARY]
    session = sessions.open({"HTTP_COOKIE": cookie})
    session["l"][0] = "short"
    assert Client(sessions, token_in(sessions.commit(session))).data() == {"l": ["short"]}
