"""Without a secret key and without a store: readable as empty, no header, and each write says what to set."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from session_mw import MemoryStore, Session, SessionManager, SessionUnavailable
from support.tokens import token_of
from support.visitors import Visitor
from support.wsgi import PLAIN, guarded, page, visit

WRITES: dict[str, Callable[[Session], Any]] = {
    "[]=": lambda s: s.__setitem__("a", 1),
    "del": lambda s: s.__delitem__("a"),
    "clear": lambda s: s.clear(),
    "pop": lambda s: s.pop("a", None),
    "popitem": lambda s: s.popitem(),
    "setdefault": lambda s: s.setdefault("a", 1),
    "update": lambda s: s.update(a=1),
    "|=": lambda s: s.__ior__({"a": 1}),
    "regenerate_id": lambda s: s.regenerate_id(),
    "invalidate": lambda s: s.invalidate(),
    "permanent": lambda s: setattr(s, "permanent", True),
    "principal": lambda s: setattr(s, "principal", "42"),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_each_write_says_what_to_set(write):
    session = SessionManager().open({})
    with pytest.raises(SessionUnavailable, match=r"unavailable because no secret key was set .*secret_key=") as caught:
        write(session)
    assert isinstance(caught.value, RuntimeError)
    assert session == {}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_write_in_an_application_is_the_same_error(write):
    with pytest.raises(SessionUnavailable, match=r"session is unavailable.*secret_key"):
        visit(guarded(page(write), sessions=SessionManager()))


@pytest.mark.parametrize("look", [len, bool, list, dict, repr, json.dumps, copy.copy, lambda s: s.get("a")])
def test_the_session_reads_as_empty_and_adds_no_header(look):
    sessions = SessionManager()
    session = sessions.open({"HTTP_COOKIE": f"session={token_of({'a': 1})}"})
    assert look(session) in (0, False, [], {}, "{}", None)
    assert (session.new, session.permanent, session.id, session.principal) == (True, False, None, None)
    assert sessions.commit(session) == []


def test_a_page_that_only_reads_is_served_without_a_header():
    app = guarded(page(lambda s: (len(s), s.get("a"), s.permanent)), sessions=SessionManager())
    answer = visit(app, cookie=f"session={token_of({'a': 1})}")
    assert (answer.body, answer.headers) == (b"(0, None, False)", [PLAIN])


def test_a_store_needs_no_key():
    visitor = Visitor(guarded(page(lambda s: s.update(n=s.get("n", 0) + 1) or s["n"]), store=MemoryStore()))
    assert [visitor.get().body for _ in range(2)] == [b"1", b"2"]
