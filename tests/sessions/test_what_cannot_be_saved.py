"""A value that cannot be written, or a cookie that browsers would drop: an error before anything is sent."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from session_mw import CookieTooLarge, NotSerializable, SessionManager
from session_mw.codecs.signed import SignedCodec
from support.tokens import KEY, NOW, noise, token_in
from support.visitors import Client
from support.wsgi import Server, environ_of, guarded, page

pytestmark = pytest.mark.usefixtures("now")


# A cookie that is too large


@pytest.mark.parametrize("name", ["s", "session", "x" * 1000])
def test_a_cookie_of_4096_bytes_is_sent_and_a_longer_one_is_an_error(name):
    sessions = SessionManager(KEY, cookie_name=name)
    codec = SignedCodec(KEY)
    sent, rejected = set(), set()
    for length in range(3000, 7500, 7):
        size = len(name) + len(codec.encode(b'{"a":"%s"}' % noise(length).encode(), NOW, NOW))
        session = sessions.open({})
        session["a"] = noise(length)
        if size <= 4096:
            assert len(name) + len(token_in(sessions.commit(session))) == size
            sent.add(size)
            continue
        with pytest.raises(CookieTooLarge) as caught:
            sessions.commit(session)
        assert (caught.value.size, caught.value.limit) == (size, 4096)
        rejected.add(size)
    assert 4080 < max(sent) <= 4096 < min(rejected) < 4112


def test_too_large_a_cookie_is_named_with_its_size_largest_keys_and_remedy():
    sessions = SessionManager(KEY)
    session = sessions.open({})
    session.update(small=1, text=noise(9000), cart=[noise(300)], name="Zoë", other=noise(200))
    with pytest.raises(CookieTooLarge) as caught:
        sessions.commit(session)
    message = str(caught.value)
    assert f"would be {caught.value.size} bytes; browsers drop one of more than 4096" in message
    assert "Largest keys, in bytes of JSON: 'text' 9009, 'cart' 311, 'other' 210." in message
    assert "store='sqlite:///sessions.db'" in message
    assert noise(9000)[:20] not in message
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("name", ["session", "s", "a-rather-long-name-of-a-cookie"])
def test_the_limit_counts_the_name_and_the_value(name):
    sessions = SessionManager(KEY, cookie_name=name)
    sent, rejected = set(), set()
    for length in range(4400, 5600, 2):
        session = sessions.open({})
        session["a"] = noise(length)
        try:
            sent.add(len(sessions.commit(session)[1][1].partition(";")[0]) - len("="))
        except CookieTooLarge as error:
            rejected.add(error.size)
    assert 4090 < max(sent) <= 4096 < min(rejected) < 4103


def test_a_cookie_that_browsers_would_drop_is_an_error_before_anything_is_sent():
    server = Server(guarded(page(lambda s: s.update(a=noise(9000)))))
    with pytest.raises(CookieTooLarge, match="4096"):
        server.run()
    assert server.starts == []


# A value that cannot be written


VALUES = {
    "object": object(),
    "set": {1, 2},
    "complex": 1j,
    "keys that are one as text": {1: "a", "1": "b"},
    "nested": [{"a": (object(),)}],
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_value_that_json_cannot_hold_is_an_error_and_nothing_changes(any_client, value):
    app = guarded(page(lambda s: s.update(b=value)), sessions=any_client.sessions)
    server = Server(app, environ_of(cookie=any_client.cookie))
    with pytest.raises(NotSerializable):
        server.run()
    assert server.starts == []
    assert any_client.data() == {"a": 1, "cart": ["apple"]}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_new_session_that_json_cannot_hold_is_announced_to_nobody(any_sessions, value):
    server = Server(guarded(page(lambda s: s.update(a=value)), sessions=any_sessions))
    with pytest.raises(NotSerializable):
        server.run()
    assert server.starts == []


def test_a_value_that_cannot_be_written_leaves_the_record_as_it_was(client, inner):
    before = inner.load(client.key)
    with pytest.raises(NotSerializable):
        client.do(lambda s: s.update(b=object()))
    assert inner.load(client.key).data == before.data


def test_a_value_that_cannot_be_written_is_named(any_client):
    with pytest.raises(NotSerializable, match=r"session\['cart'\]\[1\] cannot be saved: set is no type"):
        any_client.do(lambda s: s["cart"].append({1, 2}))


def test_a_key_that_is_not_a_str_is_named_by_a_stored_session(client):
    with pytest.raises(NotSerializable, match=r"session\[5\] cannot be saved: its key is not a str; write str\(key\)"):
        client.do(lambda s: s.update({5: "five"}))


@pytest.mark.parametrize("name", ["_created", "_principal"])
def test_names_of_what_is_kept_beside_the_data_cannot_be_used_for_data(any_sessions, name):
    with pytest.raises(NotSerializable, match="the name is reserved"):
        Client(any_sessions).do(lambda s: s.__setitem__(name, 1))


# Afterwards


def test_a_commit_that_failed_fails_again_until_the_cause_is_gone(any_client):
    session = any_client.open()
    session["bad"] = object()
    for _ in range(2):
        with pytest.raises(NotSerializable):
            any_client.commit(session)
    del session["bad"]
    session["b"] = 2
    any_client.commit(session)
    assert any_client.data() == {"a": 1, "b": 2, "cart": ["apple"]}


@pytest.mark.parametrize("place", ["store", "revocations"])
def test_a_log_out_beside_a_value_that_cannot_be_written_ends_nothing(place):
    client = Client(SessionManager(KEY, **{place: "memory://"}))
    client.do(lambda s: s.update(a=1))
    session = client.open()
    session.invalidate()
    session["bad"] = object()
    with pytest.raises(NotSerializable):
        client.commit(session)
    assert client.data() == {"a": 1}
    copy = client.other()
    session["bad"] = 2
    assert client.commit(session) == "set"
    assert (client.data(), copy.data()) == ({"bad": 2}, {})


def test_a_cookie_that_was_too_large_is_too_large_until_it_is_made_smaller(cookie_sessions):
    client = Client(cookie_sessions)
    client.do(lambda s: s.update(a=1))
    session = client.open()
    session["big"] = noise(9000)
    for _ in range(2):
        with pytest.raises(CookieTooLarge):
            client.commit(session)
    del session["big"]
    assert (client.commit(session), client.data()) == ("set", {"a": 1})


# What is sent


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text(), st.text() | st.binary(), max_size=4), st.sampled_from(["/", "/a,b"]))
def test_headers_are_printable_ascii_whatever_the_session_holds(data, path):
    sessions = SessionManager(KEY, cookie_path=path)
    session = sessions.open({})
    session.update({f"k{key}": value for key, value in data.items()}, _permanent=True)
    for _, text in sessions.commit(session):
        assert text.isascii()
        assert text.isprintable()
