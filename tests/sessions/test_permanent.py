"""``session.permanent``: what makes a session outlive the browser's run."""

from __future__ import annotations

import pytest

from session_mw import SessionManager
from support.tokens import KEY, read
from support.visitors import Client
from support.wsgi import ATTRIBUTES, VARY, answer_to

pytestmark = pytest.mark.usefixtures("now")

PERMANENT = "eyJfcGVybWFuZW50Ijp0cnVlfQ.ZVPxAA.LEWtzHkuCGew8JHsTNoRCuSvC8w"


def test_a_session_that_is_made_permanent_is_sent_with_expires():
    expected = f"session={PERMANENT}; Expires=Fri, 15 Dec 2023 22:13:20 GMT; {ATTRIBUTES}"
    assert answer_to(lambda s: setattr(s, "permanent", True)) == [VARY, ("Set-Cookie", expected)]


def test_a_session_that_is_no_longer_permanent_is_sent_without_expires(any_sessions):
    client = Client(any_sessions)
    client.do(lambda s: (setattr(s, "permanent", True), s.update(a=1)))
    session = client.open()
    session.permanent = False
    headers = any_sessions.commit(session)
    token = headers[1][1].partition("=")[2].partition(";")[0]
    assert headers == [VARY, ("Set-Cookie", f"session={token}; {ATTRIBUTES}")]


@pytest.mark.parametrize(
    ("value", "permanent"), [(True, True), (False, False), (1, False), ("true", False), (None, False), ([1], False)]
)
def test_only_true_means_permanent(any_sessions, value, permanent):
    client = Client(any_sessions)
    client.do(lambda s: s.update(_permanent=value))
    assert client.open().permanent is permanent


@pytest.mark.parametrize("value", [1, "yes", [0]])
def test_whatever_is_true_makes_a_session_permanent_when_it_is_set(any_sessions, value):
    client = Client(any_sessions)
    session = client.open()
    session.permanent = value
    assert session == {"_permanent": True}
    client.commit(session)
    assert client.open().permanent
    session = client.open()
    session.permanent = 0
    assert session == {"_permanent": False}


def test_permanent_is_an_item_of_the_dict_as_in_flask():
    assert read(PERMANENT) == {"_permanent": True}
    session = SessionManager(KEY).open({})
    session["_permanent"] = True
    assert session.permanent
