"""``modified = False``: what was written until then is not saved, as in Flask; a later write saves all."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from session_mw import SessionManager
from support.tokens import KEY, NOW
from support.visitors import Client
from support.wsgi import ATTRIBUTES, VARY

READS = {
    "nothing": lambda s: None,
    "one": lambda s: s.get("a"),
    "a list": lambda s: s["cart"],
    "all": lambda s: dict(s),
    "in the text": repr,
    "its length": len,
}
CHANGES = {
    "set": lambda s: s.update(a=2),
    "added": lambda s: s.__setitem__("b", 1),
    "deleted": lambda s: s.pop("a"),
    "changed inside": lambda s: s["cart"].append("pear"),
    "modified set": lambda s: setattr(s, "modified", True),
    "principal": lambda s: setattr(s, "principal", "7"),
    "lifetime": lambda s: setattr(s, "lifetime", 60),
    "label": lambda s: setattr(s, "label", "x"),
    "permanent": lambda s: setattr(s, "permanent", True),
    "cleared": lambda s: s.clear(),
    "ended": lambda s: s.invalidate(),
    "ended and begun again": lambda s: (s.invalidate(), s.update(b=1), setattr(s, "principal", "7")),
    "a new id": lambda s: s.regenerate_id(),
    "what cannot be written": lambda s: s.update(b=object()),
    "what cannot be written inside": lambda s: s["cart"].append(object()),
}


def facts(client):
    session = client.open()
    return session.copy(), session.principal, session.lifetime, session.label, session.id, session.created


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("read_again", [False, True])
def test_what_was_changed_is_not_saved_whatever_was_read_before(any_client, read, change, read_again):
    before = facts(any_client)
    session = any_client.open()
    read(session)
    change(session)
    session.modified = False
    if read_again:
        repr(session), session.get("cart"), session.items()
    assert session.modified is False
    assert any_client.sessions.commit(session) == ([VARY] if session.accessed else [])
    assert facts(any_client) == before


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_later_write_saves_all(any_client, change):
    if change in (CHANGES["what cannot be written"], CHANGES["what cannot be written inside"]):
        pytest.skip("it cannot be saved")
    session = any_client.open()
    change(session)
    session.modified = False
    any_client.commit(session)
    session["later"] = 1
    any_client.commit(session)
    assert facts(any_client)[:4] == (session.copy(), session.principal, session.lifetime, session.label)
    assert any_client.data()["later"] == 1


def test_a_change_inside_that_comes_later_is_found(any_client):
    session = any_client.open()
    cart = session["cart"]
    cart.append("pear")
    session.modified = False
    cart.append("plum")
    any_client.commit(session)
    assert any_client.data()["cart"] == ["apple", "pear", "plum"]


def test_a_change_inside_a_list_of_a_new_session_that_comes_later_is_found(any_sessions):
    client = Client(any_sessions)
    session = client.open()
    session["cart"] = cart = []
    session.modified = False
    assert client.commit(session) == "kept"
    cart.append("plum")
    assert client.commit(session) == "set"
    assert client.data() == {"cart": ["plum"]}


def test_what_was_discarded_can_still_be_read(any_client):
    session = any_client.open()
    session["b"] = 1
    session.modified = False
    assert (session["b"], session.modified) == (1, False)


def test_a_new_session_that_is_discarded_is_not_begun(any_sessions):
    session = any_sessions.open({})
    session["a"] = 1
    session.modified = False
    assert any_sessions.commit(session) == [VARY]
    session["b"] = 2
    client = Client(any_sessions)
    assert client.commit(session) == "set"
    assert client.data() == {"a": 1, "b": 2}


def test_a_session_that_nobody_touched_stays_untouched(any_client):
    session = any_client.open()
    session.modified = False
    assert any_client.sessions.commit(session) == []
    assert session.accessed is False


@pytest.mark.parametrize("absolute", [None, 86400])
@pytest.mark.parametrize("encrypted", [False, True])
def test_a_permanent_cookie_is_refreshed_as_it_was(now, absolute, encrypted):
    sessions = SessionManager(KEY, encrypt=encrypted, lifetime=3600, absolute_lifetime=absolute)
    client = Client(sessions)
    client.do(lambda s: (s.update(a=1, _permanent=True), setattr(s, "principal", "42")))
    now.advance(60)
    session = client.open()
    session["b"] = 1
    session.permanent = False
    session.principal = None
    session.lifetime = 60
    session.modified = False
    headers = sessions.commit(session)
    assert headers[0] == VARY
    assert headers[1][1].endswith(f"; Expires={formatdate(NOW + 3660, usegmt=True)}; {ATTRIBUTES}")
    client.token = headers[1][1].partition("=")[2].partition(";")[0]
    assert facts(client)[:4] == ({"a": 1, "_permanent": True}, "42", None, None)


def test_a_permanent_record_is_touched_as_it_was(clock, client):
    client.do(lambda s: (setattr(s, "permanent", True), setattr(s, "principal", "42")))
    clock.advance(2 * 86400)
    session = client.open()
    session["b"] = 1
    session.permanent = False
    session.lifetime = 60
    session.modified = False
    ((_, _), (_, cookie)) = client.sessions.commit(session)
    end = int(clock.now) + 10 * 86400
    assert cookie == f"session={client.token}; Expires={formatdate(end, usegmt=True)}; {ATTRIBUTES}"
    assert client.sessions.store.inner.load(client.key).expires == end
    assert facts(client)[:4] == ({"a": 1, "cart": ["apple"], "_permanent": True}, "42", None, None)


def test_a_record_that_is_encrypted_anew_is_as_it_was(inner):
    pytest.importorskip("cryptography")
    old = "another-secret-key-0123456789abc"
    client = Client(SessionManager(old, store=inner, store_encryption=True))
    client.do(lambda s: (s.update(a=1), setattr(s, "principal", "42"), setattr(s, "label", "mine")))
    sessions = SessionManager(KEY, secret_key_fallbacks=[old], store=inner, store_encryption=True)
    client.other(sessions).do(
        lambda s: (
            s.update(a=2),
            setattr(s, "principal", "7"),
            setattr(s, "label", "x"),
            setattr(s, "lifetime", 5),
            setattr(s, "modified", False),
        )
    )
    current = SessionManager(KEY, store=inner, store_encryption=True)
    assert facts(client.other(current))[:4] == ({"a": 1}, "42", None, "mine")
    assert [(one.id, one.label) for one in current.sessions_of("42")] == [(client.key, "mine")]
    assert current.sessions_of("7") == []
