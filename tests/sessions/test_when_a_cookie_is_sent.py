"""Each row of the table "when a cookie is sent" that is about reads and writes, with the headers compared whole.

Refreshes are in ``test_refresh.py``, deletions in ``test_log_out.py``, new ids in ``test_regenerate_id.py``.
"""

from __future__ import annotations

import pytest

from session_mw import MemoryStore
from support.tokens import token_of
from support.visitors import Client
from support.wsgi import (
    ATTRIBUTES,
    DELETION,
    SECURE_ATTRIBUTES,
    VARY,
    added,
    answer_to,
    guarded,
    page,
    visit,
)

pytestmark = pytest.mark.usefixtures("now")

A1 = "eyJhIjoxfQ.ZVPxAA.9hkqH6PKzZpOGDGFMPKfySe7Tp8"
FORGED = "eyJhIjoxfQ.ZVPxAA.AAAAAAAAAAAAAAAAAAAAAAAAAAA"
OTHER_SALT = "eyJhIjoxfQ.ZVPxAA.21SB160Pe7dlfOLWgOiMergPNVo"


READS = {
    "in": lambda s: "a" in s,
    "len": len,
    "bool": bool,
    "getitem": lambda s: s.get("a"),
    "iter": list,
    "keys": lambda s: s.keys(),
    "items": lambda s: s.items(),
    "values": lambda s: s.values(),
    "eq": lambda s: s == {},
    "ne": lambda s: s != {},
    "dict": dict,
    "double star": lambda s: {**s},
    "or": lambda s: s | {},
    "ror": lambda s: {} | s,
    "copy": lambda s: s.copy(),
    "repr": repr,
    "reversed": lambda s: list(reversed(s)),
    "permanent": lambda s: s.permanent,
    "new": lambda s: s.new,
    "created": lambda s: s.created,
    "id": lambda s: s.id,
    "principal": lambda s: s.principal,
    "pop of a missing key": lambda s: s.pop("none", None),
}
NO_READS = {"accessed": lambda s: s.accessed, "modified": lambda s: s.modified, "nothing": lambda s: None}


def answer(any_client, do, **more):
    """The headers that are added where the app does something with the visitor's session."""
    return added(visit(guarded(page(do), sessions=any_client.sessions), cookie=any_client.cookie, **more))


# untouched: no cookie, no Vary


@pytest.mark.parametrize("do", NO_READS.values(), ids=NO_READS)
def test_an_untouched_session_sends_nothing(any_client, do):
    assert answer(any_client, do) == []


@pytest.mark.parametrize("do", NO_READS.values(), ids=NO_READS)
@pytest.mark.parametrize("token", [None, "", A1, FORGED, "garbage", "A" * 43])
def test_an_untouched_session_sends_nothing_whatever_the_cookie(any_sessions, do, token):
    app = guarded(page(do), sessions=any_sessions)
    assert added(visit(app, cookie=token and f"session={token}")) == []


@pytest.mark.parametrize("header", ["session", "sessions=1", "other=session", ";;; ;=;", "session=;session=", "a=1; b"])
def test_a_header_that_only_looks_like_the_cookie_sends_nothing(any_sessions, header):
    assert added(visit(guarded(page(), sessions=any_sessions), cookie=header)) == []


# read only: no cookie, Vary


@pytest.mark.parametrize("do", READS.values(), ids=READS)
def test_a_session_that_was_only_read_sends_no_cookie(any_client, do):
    assert answer(any_client, do) == [VARY]


@pytest.mark.parametrize("do", READS.values(), ids=READS)
@pytest.mark.parametrize("token", [None, FORGED])
def test_a_session_that_was_only_read_sends_no_cookie_and_no_deletion_of_a_rejected_one(do, token):
    assert answer_to(do, token) == [VARY]


@pytest.mark.parametrize("token", [FORGED, OTHER_SALT, "garbage", "a.b.c", "A" * 43])
def test_a_rejected_cookie_is_not_deleted(any_sessions, token):
    assert added(visit(guarded(page(len), sessions=any_sessions), cookie=f"session={token}")) == [VARY]


def test_an_expired_cookie_is_not_deleted(any_client, clock):
    clock.advance(31 * 86400 + 1)
    assert answer(any_client, len) == [VARY]


# not empty, written: a cookie, Vary


def test_a_written_session_is_sent():
    assert answer_to(lambda s: s.update(a=1)) == [VARY, ("Set-Cookie", f"session={A1}; {ATTRIBUTES}")]


@pytest.mark.parametrize(("https", "attributes"), [(False, ATTRIBUTES), (True, SECURE_ATTRIBUTES)])
def test_a_new_session_is_sent_over_https_with_secure(any_sessions, https, attributes):
    answer = visit(guarded(page(lambda s: s.update(a=1)), sessions=any_sessions), https=https)
    assert added(answer) == [VARY, ("Set-Cookie", f"session={answer.token}; {attributes}")]
    assert Client(any_sessions, answer.token).data() == {"a": 1}


def test_the_token_of_a_stored_session_is_its_id_alone():
    answer = visit(guarded(page(lambda s: s.update(a=1)), store=MemoryStore()))
    assert len(answer.token) == 43


@pytest.mark.parametrize("write", [lambda s: s.update(a=1), lambda s: setattr(s, "modified", True)])
def test_setting_an_equal_value_or_modified_is_a_write(write, now):
    now.advance(1)
    expected = token_of({"a": 1})
    assert expected != A1
    assert answer_to(write, A1) == [VARY, ("Set-Cookie", f"session={expected}; {ATTRIBUTES}")]


def test_a_change_inside_is_sent(now):
    token = token_of({"cart": ["apple"]})
    now.advance(1)
    expected = f"session={token_of({'cart': ['apple', 'pear']})}; {ATTRIBUTES}"
    assert answer_to(lambda s: s["cart"].append("pear"), token) == [VARY, ("Set-Cookie", expected)]


@pytest.mark.parametrize("token", [FORGED, OTHER_SALT, "garbage"])
def test_a_rejected_cookie_is_replaced_where_the_app_writes(token):
    assert answer_to(lambda s: s.update(a=1), token) == [VARY, ("Set-Cookie", f"session={A1}; {ATTRIBUTES}")]


def test_a_stored_sessions_cookie_is_not_sent_again_when_it_is_written(client):
    assert answer(client, lambda s: s.update(a=2)) == [VARY]
    assert answer(client, lambda s: s["cart"].append("pear")) == [VARY]


# emptied before it was ever saved: no cookie, Vary


@pytest.mark.parametrize("token", [None, "garbage", "A" * 43])
@pytest.mark.parametrize(
    ("do", "is_log_out"),
    [(lambda s: (s.update(a=1), s.pop("a")), False), (lambda s: (s.update(a=1), s.clear()), True)],
)
def test_a_session_that_ends_empty_is_not_begun(any_sessions, token, do, is_log_out):
    answer = visit(guarded(page(do), sessions=any_sessions), cookie=token and f"session={token}")
    assert added(answer) == ([VARY, DELETION] if is_log_out and token else [VARY])
    if isinstance(any_sessions.store, MemoryStore):
        assert repr(any_sessions.store) == "<MemoryStore of 0 records>"


# A whole request without a WSGI application


@pytest.mark.parametrize("environ", [{}, {"HTTP_COOKIE": ""}, {"HTTP_COOKIE": f"session={A1}"}])
def test_an_environ_of_nothing_but_a_cookie_is_enough(any_sessions, environ):
    session = any_sessions.open(environ)
    assert session == ({"a": 1} if "session" in environ.get("HTTP_COOKIE", "") and is_signed(any_sessions) else {})
    session["b"] = 1
    assert [name for name, _ in any_sessions.commit(session)] == ["Vary", "Set-Cookie"]


def is_signed(sessions):
    return sessions.store is None and not sessions.settings.encrypt
