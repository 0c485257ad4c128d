"""``session.lifetime``: a lifetime of the session's own, shorter or longer than the manager's."""

from __future__ import annotations

import json
import math
from datetime import timedelta
from email.utils import formatdate
from fractions import Fraction

import pytest

from session_mw import MemoryStore, SessionManager
from support.stores import Recording
from support.tokens import KEY, NOW, signed
from support.visitors import Client
from support.wsgi import ATTRIBUTES, VARY, answer_to

DAY = 86400
HALF_AN_HOUR = timedelta(minutes=30)


@pytest.fixture(params=["signed", "encrypted", "memory", "sqlite", "encrypted records"])
def build(request, tmp_path):
    """Makes a manager of one kind, with more settings."""
    if "encrypted" in request.param:
        pytest.importorskip("cryptography")
    store = {"memory": "memory://", "sqlite": f"sqlite:///{tmp_path}/s.db", "encrypted records": "memory://"}
    settings = {
        "encrypt": request.param == "encrypted",
        "store": store.get(request.param),
        "store_encryption": request.param == "encrypted records",
    }
    made = []

    def make(**more):
        made.append(SessionManager(KEY, **{"lifetime": DAY, **settings, **more}))
        return made[-1]

    yield make
    for sessions in made:
        sessions.close()


def begun(sessions, lifetime, **data):
    client = Client(sessions)
    client.do(lambda s: (s.update({"a": 1, **data}), setattr(s, "lifetime", lifetime)))
    return client


# How long it is


@pytest.mark.parametrize("lifetime", [HALF_AN_HOUR, timedelta(days=3), 1, timedelta(days=400)], ids=str)
def test_it_holds_to_the_second_whether_shorter_or_longer(now, build, lifetime):
    client = begun(build(), lifetime)
    seconds = int(lifetime.total_seconds() if isinstance(lifetime, timedelta) else lifetime)
    # A cookie is valid in its last second; a record has ended by then.
    now.advance(seconds - 1)
    assert client.data() == {"a": 1}
    now.advance(2)
    assert client.data() == {}


@pytest.mark.parametrize("lifetime", [timedelta(minutes=30), 1800, 1800.9, Fraction(3601, 2)])
def test_it_reads_as_a_timedelta_or_none(build, lifetime):
    client = begun(build(), lifetime)
    assert client.open().lifetime == HALF_AN_HOUR
    client.do(lambda s: setattr(s, "lifetime", None))
    assert (client.open().lifetime, build().open({}).lifetime) == (None, None)


def test_without_it_the_managers_lifetime_holds_again(now, build):
    client = begun(build(), 60)
    client.do(lambda s: setattr(s, "lifetime", None))
    now.advance(DAY - 1)
    assert client.data() == {"a": 1}


def test_it_is_hidden_from_the_dict(build):
    session = begun(build(), 60).open()
    assert (session, list(session), "_lifetime" in session) == ({"a": 1}, ["a"], False)


def test_setting_it_is_a_write_that_is_saved_and_reading_it_a_touch(build):
    sessions = build()
    client = begun(sessions, None)
    session = client.open()
    assert (session.lifetime, session.accessed, session.modified) == (None, True, False)
    session.lifetime = 60
    assert session.modified
    client.commit(session)
    assert client.open().lifetime == timedelta(seconds=60)


def test_an_empty_session_is_not_begun_for_a_lifetime(build):
    sessions = build()
    session = sessions.open({})
    session.lifetime = 60
    assert sessions.commit(session) == [VARY]


# What keeps it and what ends it


def test_it_survives_a_new_id_and_writes(now, build):
    client = begun(build(), 3 * DAY)
    client.do(lambda s: s.regenerate_id())
    now.advance(2 * DAY)
    client.do(lambda s: s.update(b=1))
    assert client.open().lifetime == timedelta(days=3)
    now.advance(3 * DAY - 1)
    assert client.data() == {"a": 1, "b": 1}


@pytest.mark.parametrize("end", [lambda s: s.clear(), lambda s: s.invalidate()])
def test_it_is_gone_after_a_log_out(now, build, end):
    client = begun(build(), 3 * DAY)
    client.do(lambda s: (end(s), s.update(b=1)))
    assert client.open().lifetime is None
    now.advance(DAY + 1)
    assert client.data() == {}


def test_the_absolute_lifetime_goes_before_it(now, build):
    client = begun(build(absolute_lifetime=2 * DAY), 3 * DAY, _permanent=True)
    session = client.open()
    session["b"] = 1
    (_, cookie) = client.sessions.commit(session)
    assert f"Expires={formatdate(NOW + 2 * DAY, usegmt=True)}; " in cookie[1]
    client.token = cookie[1].partition("=")[2].partition(";")[0]
    now.advance(2 * DAY - 1)
    assert client.data()["b"] == 1
    now.advance(2)
    assert client.data() == {}


def test_a_change_that_is_discarded_is_not_saved(now, build):
    client = begun(build(), 3 * DAY)
    client.do(lambda s: (setattr(s, "lifetime", 60), setattr(s, "modified", False)))
    assert client.open().lifetime == timedelta(days=3)
    now.advance(2 * DAY)
    assert client.data() == {"a": 1}


# A permanent one


def test_expires_follows_it(now, build):
    sessions = build()
    session = sessions.open({})
    session.permanent = True
    session.lifetime = HALF_AN_HOUR
    (_, (_, cookie)) = sessions.commit(session)
    assert cookie.endswith(f"; Expires={formatdate(NOW + 1800, usegmt=True)}; {ATTRIBUTES}")


@pytest.mark.parametrize("look", [lambda s: None, lambda s: s.get("a")], ids=["unread", "read"])
def test_a_refresh_of_a_cookie_keeps_it(now, cookie_sessions, look):
    client = begun(cookie_sessions, HALF_AN_HOUR, _permanent=True)
    for _ in range(3):
        now.advance(1500)
        session = client.open()
        look(session)
        headers = cookie_sessions.commit(session)
        assert headers[-1][1].endswith(f"; Expires={formatdate(now.now + 1800, usegmt=True)}; {ATTRIBUTES}")
        client.token = headers[-1][1].partition("=")[2].partition(";")[0]
    assert client.open().lifetime == HALF_AN_HOUR
    now.advance(1801)
    assert client.do() == "kept"
    assert client.data() == {}


@pytest.mark.parametrize(
    "payload",
    [b'{"_permanent":true,"_lifetime":60,"a":1}', b'{"_lifetime":60,"_permanent":true,"a":1}'],
    ids=["as Flask with sort_keys=False", "sorted"],
)
@pytest.mark.parametrize("read_before", [False, True])
def test_an_unread_cookie_past_its_own_lifetime_is_not_refreshed(now, payload, read_before):
    sessions = SessionManager(KEY)
    header = {"HTTP_COOKIE": f"session={signed(payload)}"}
    if read_before:
        assert sessions.open(header) == {"_permanent": True, "a": 1}
    headers = sessions.commit(sessions.open(header))
    assert f"Expires={formatdate(NOW + 60, usegmt=True)}" in headers[1][1]
    now.advance(61)
    assert sessions.commit(sessions.open(header)) == []
    assert sessions.open(header) == {}


def test_a_discarded_lifetime_does_not_change_a_refresh(now, cookie_sessions):
    client = begun(cookie_sessions, HALF_AN_HOUR, _permanent=True)
    session = client.open()
    session.lifetime = 60
    session.modified = False
    (_, (_, cookie)) = cookie_sessions.commit(session)
    assert f"Expires={formatdate(NOW + 1800, usegmt=True)}" in cookie


# Values

WRONG_TYPES = ["60", b"60", True, False, [60], {}, 60j, {1}]
WRONG_VALUES = [
    0,
    -1,
    0.5,
    math.nan,
    math.inf,
    -math.inf,
    timedelta(0),
    timedelta(days=-1),
    timedelta.max,
    timedelta(days=400, seconds=1),
    10**400,
]


@pytest.mark.parametrize("value", WRONG_TYPES, ids=repr)
def test_what_is_no_time_is_a_type_error_and_changes_nothing(build, value):
    session = build().open({})
    with pytest.raises(TypeError, match="lifetime is a timedelta, a number of seconds or None"):
        session.lifetime = value
    assert (session.modified, session.lifetime) == (False, None)


@pytest.mark.parametrize("value", WRONG_VALUES, ids=lambda value: f"{value!r:.20}")
def test_what_is_too_short_or_too_long_is_a_value_error_and_changes_nothing(build, value):
    session = build().open({})
    with pytest.raises(ValueError, match="lifetime is from one second to 400 days"):
        session.lifetime = value
    assert (session.modified, session.lifetime) == (False, None)


@pytest.mark.parametrize("value", ["true", "1e999", "-1", "0", "34560001", "1.5", '"60"', "[60]", "null", "NaN", "{}"])
def test_a_token_with_another_value_is_rejected(now, value, caplog):
    token = signed(b'{"_lifetime":%b,"a":1}' % value.encode())
    assert SessionManager(KEY).open({"HTTP_COOKIE": f"session={token}"}) == {}
    assert "bad_payload" in caplog.text


NO_TEXTS = ["[]", '["a"]', '""', "1", "true", "null", "{}", '"\\ud800"']


@pytest.mark.parametrize(
    ("name", "value"),
    [("_label", json.dumps("x" * 201)), *((name, value) for name in ("_label", "_principal") for value in NO_TEXTS)],
)
def test_a_token_with_a_label_or_a_principal_that_is_no_text_is_rejected(now, name, value, caplog):
    token = signed(b'{"%b":%b,"a":1}' % (name.encode(), value.encode()))
    assert SessionManager(KEY).open({"HTTP_COOKIE": f"session={token}"}) == {}
    assert "bad_payload" in caplog.text


def test_the_name_is_reserved_in_the_data():
    with pytest.raises(TypeError, match="_lifetime"):
        answer_to(lambda s: s.update(_lifetime=60))


def test_flask_reads_the_cookie():
    flask = pytest.importorskip("flask")
    client = begun(SessionManager(KEY), HALF_AN_HOUR, user="42")
    app = flask.Flask("app")
    app.secret_key = KEY
    with app.test_request_context(headers={"Cookie": client.cookie}):
        assert flask.session["user"] == "42"


# In a store


def stored(lifetime, **settings):
    store = Recording(MemoryStore())
    client = begun(SessionManager(KEY, store=store, lifetime=10 * DAY, **settings), lifetime)
    store.calls.clear()
    return client, store


def test_a_records_end_is_moved_at_each_tenth_of_it(clock):
    client, store = stored(1000)
    clock.advance(99)
    client.data()
    client.do(lambda s: s.get("a"))
    assert "touch" not in store.calls
    clock.advance(1)
    client.do(lambda s: s.get("a"))
    assert store.calls[-1] == "touch"
    assert store.inner.load(client.key).expires == int(clock.now) + 1000


def test_one_that_is_used_lives_on(clock):
    client, _ = stored(1000)
    for _ in range(5):
        clock.advance(900)
        client.do(lambda s: s.get("a"))
    assert client.data() == {"a": 1}
    clock.advance(1001)
    assert client.data() == {}


def test_a_list_of_sessions_reckons_with_it(clock):
    client, _ = stored(1000)
    client.do(lambda s: setattr(s, "principal", "42"))
    began = int(clock.now)
    clock.advance(500)
    client.do(lambda s: s.get("a"))
    clock.advance(50)
    (one,) = client.sessions.sessions_of("42")
    assert (one.created, one.last_used) == (began, began + 500)


def test_parallel_requests_merge_it_as_they_merge_data():
    client, _ = stored(1000)
    slow, quick = client.open(), client.open()
    slow["b"] = 1
    quick.lifetime = 2000
    client.commit(quick)
    client.commit(slow)
    assert (client.open().lifetime, client.data()) == (timedelta(seconds=2000), {"a": 1, "b": 1})
    slow, quick = client.open(), client.open()
    slow.lifetime = None
    slow.label = "mine"
    quick["c"] = 1
    quick.principal = "42"
    client.commit(quick)
    client.commit(slow)
    session = client.open()
    assert (session.lifetime, session.label, session.principal) == (None, "mine", "42")
    assert session == {"a": 1, "b": 1, "c": 1}


def test_a_record_lives_as_long_as_it_says(clock):
    client, store = stored(1000)
    assert store.inner.load(client.key).expires == int(clock.now) + 1000
    client.do(lambda s: setattr(s, "lifetime", timedelta(days=20)))
    assert store.inner.load(client.key).expires == int(clock.now) + 20 * DAY
    client.do(lambda s: s.regenerate_id())
    assert store.inner.load(client.key).expires == int(clock.now) + 20 * DAY


def test_a_discarded_lifetime_does_not_move_a_records_end(clock):
    client, store = stored(None)
    client.do(lambda s: (setattr(s, "lifetime", 60), setattr(s, "modified", False)))
    assert store.inner.load(client.key).expires == int(clock.now) + 10 * DAY
    clock.advance(2 * DAY)
    client.do(lambda s: (setattr(s, "lifetime", 60), setattr(s, "modified", False)))
    assert store.inner.load(client.key).expires == int(clock.now) + 10 * DAY
