"""What other libraries got wrong in the field; each test is named after the behaviour that is right."""

from __future__ import annotations

import json
import math
import pickle
import random
import stat
import sys

import pytest
from itsdangerous import TimestampSigner
from itsdangerous.encoding import base64_encode

from session_mw import (
    ConfigurationError,
    CookieTooLarge,
    FileStore,
    MemoryStore,
    NotSerializable,
    SessionManager,
    SessionMiddleware,
    SessionUnavailable,
    SQLiteStore,
    StoreError,
)
from support.wsgi import KEY, OTHER_KEY, PLAIN, Server, Visitor, environ_of, guarded, page, read, token_of, visit

DAY = 86400


def signed(payload, at=None):
    """A genuine token of any bytes, as only the key's holder can make it."""
    signer = TimestampSigner(KEY, salt="cookie-session", key_derivation="hmac")
    if at is None:
        return signer.sign(base64_encode(payload)).decode()
    value = base64_encode(payload) + b"." + base64_encode(at.to_bytes((at.bit_length() + 7) // 8, "big"))
    return (value + b"." + signer.get_signature(value)).decode()


def write(session):
    session["a"] = 1


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    store = MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "sessions.db")
    yield store
    store.close()


# 1: Beaker, secure-cookie


def test_the_next_visitor_does_not_receive_the_cookie_of_the_previous_one():
    headers = [PLAIN]

    def app(environ, start_response):
        if environ["PATH_INFO"] == "/alice":
            environ["session"]["who"] = "alice"
        start_response("200 OK", headers)
        return [b""]

    app = guarded(app)
    assert len(visit(app, "/alice").cookies) == 1
    assert visit(app, "/bob").headers == headers == [PLAIN]


# 2: rack-session, Flask-Session, scs, Beaker


def test_a_slow_request_does_not_undo_a_log_out(store):
    visitor = Visitor(guarded(page(write), store=store))
    visitor.get()

    def slow(session):
        shown = dict(session)
        session["b"] = 2
        log_out = guarded(page(lambda s: s.invalidate()), store=store)
        visit(log_out, cookie=visitor.cookie)
        return shown

    answer = visit(guarded(page(slow), store=store), cookie=visitor.cookie)
    assert (answer.body, answer.cookies) == (b"{'a': 1}", [])
    assert visit(guarded(page(dict), store=store), cookie=visitor.cookie).body == b"{}"


# 3: Flask-Session, Beaker, pyramid_session_redis


def test_a_request_that_only_read_does_not_erase_the_change_of_another(store):
    visitor = Visitor(guarded(page(lambda s: s.update(a=1, cart=[])), store=store))
    visitor.get()

    def reader(session):
        shown = session["a"], session["cart"]
        visit(guarded(page(lambda s: s.update(b=2)), store=store), cookie=visitor.cookie)
        return shown

    visit(guarded(page(reader), store=store), cookie=visitor.cookie)
    assert visit(guarded(page(lambda s: s["b"]), store=store), cookie=visitor.cookie).body == b"2"


# 4: rack-session


def test_a_cookie_that_is_only_signed_is_not_read_by_a_manager_that_encrypts():
    pytest.importorskip("cryptography")
    encrypting = {"secret_key": KEY, "encrypt": True}
    assert visit(guarded(page(dict), **encrypting), cookie=f"session={token_of({'a': 1})}").body == b"{}"
    encrypted = visit(guarded(page(write), **encrypting)).token
    assert visit(guarded(page(dict)), cookie=f"session={encrypted}").body == b"{}"
    assert visit(guarded(page(dict), **encrypting), cookie=f"session={encrypted}").body == b"{'a': 1}"


# 5: Beaker, secure-cookie, starsessions


def test_an_id_that_the_client_chose_is_not_adopted(store):
    chosen = "A" * 43
    visitor = Visitor(guarded(page(write), store=store), {"session": chosen})
    visitor.get()
    assert visitor.jar["session"] != chosen
    assert visit(guarded(page(dict), store=store), cookie=f"session={chosen}").body == b"{}"


# 6: Flask-Session, tower-sessions


def test_a_deletion_has_every_attribute_of_the_cookie():
    settings = {
        "cookie_domain": "example.com",
        "cookie_path": "/a",
        "cookie_samesite": "None",
        "cookie_partitioned": True,
    }
    ours = visit(guarded(page(write), **settings), "/a").cookies[0]
    token = ours.partition(";")[0]
    deletion = visit(guarded(page(lambda s: s.clear()), **settings), "/a", token).cookies[0]
    attributes = set(deletion.split("; ")[1:])
    assert attributes == {"Expires=Thu, 01 Jan 1970 00:00:00 GMT", "Max-Age=0", *ours.split("; ")[1:]}


# 7: many


def test_a_second_start_response_with_exc_info_saves_once_and_sends_one_cookie(store):
    def app(environ, start_response):
        environ["session"]["count"] = environ["session"].get("count", 0) + 1
        start_response("200 OK", [PLAIN])
        return late(start_response)

    def late(start_response):
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            start_response("500 Oops", [PLAIN], sys.exc_info())
        yield b"sorry"

    server = Server(guarded(app, store=store))
    assert len(server.run().cookies) == 1
    assert len({dict(headers)["Set-Cookie"] for _, headers, *_ in server.starts}) == 1


# 8: Beaker, Starlette, scs


def test_a_change_after_start_response_is_saved():
    def app(environ, start_response):
        start_response("200 OK", [PLAIN])
        environ["session"]["a"] = 1
        return [b""]

    assert read(visit(guarded(app)).token) == {"a": 1}


def test_a_change_after_the_headers_is_not_lost_in_silence(caplog):
    def app(environ, start_response):
        start_response("200 OK", [PLAIN])
        yield b"part"
        environ["session"]["a"] = 1

    visit(guarded(app))
    assert f"{__file__}:{app.__code__.co_firstlineno + 3}" in caplog.text


# 9: Flask, Pyramid


@pytest.mark.parametrize("where", ["cookie", "store"])
def test_a_change_inside_a_list_is_saved_without_setting_modified(where, store):
    settings = {"store": store} if where == "store" else {}
    visitor = Visitor(guarded(page(lambda s: s.setdefault("cart", []).append("apple") or s["cart"]), **settings))
    assert [visitor.get().body for _ in range(2)] == [b"['apple']", b"['apple', 'apple']"]


# 10: Pyramid, Werkzeug, Flask's NullSession


def test_a_union_in_place_is_a_change():
    def union(session):
        session |= {"a": 1}

    assert read(visit(guarded(page(union))).token) == {"a": 1}
    with pytest.raises(SessionUnavailable):
        visit(guarded(page(union), sessions=SessionManager()))


# 11: all Python ones


def test_a_cookie_that_browsers_would_drop_is_an_error_before_anything_is_sent():
    server = Server(guarded(page(lambda s: s.update(a=random.Random(1).randbytes(3000).hex()))))
    with pytest.raises(CookieTooLarge, match="4096"):
        server.run()
    assert server.starts == []


@pytest.mark.parametrize("name", ["session", "s", "a-rather-long-name-of-a-cookie"])
def test_the_longest_cookie_has_4096_bytes_of_name_and_value(name):
    sessions = SessionManager(KEY, cookie_name=name)
    sent, refused = set(), set()
    for length in range(3300, 3700):
        session = sessions.open({})
        session["a"] = NOISE[:length]
        try:
            sent.add(len(sessions.commit(session)[1][1].partition(";")[0]) - len("="))
        except CookieTooLarge as error:
            refused.add(error.size)
    assert 4090 < max(sent) <= 4096 < min(refused) < 4103


NOISE = "".join(chr(33 + byte % 90) for byte in random.Random(11).randbytes(4000))


# 13: Flask-Session


@pytest.mark.parametrize("data", [b"", b'{"half', pickle.dumps({"a": 1})])
def test_a_row_that_cannot_be_read_is_an_empty_session_and_not_a_500_for_ever(store, data):
    visitor = Visitor(guarded(page(lambda s: (s.get("a"), write(s))), store=store))
    visitor.get()
    key = SessionManager(KEY, store=store).open({"HTTP_COOKIE": visitor.cookie}).id
    assert store.update(key, data, 1000, store.load(key).version)
    assert [visitor.get().body for _ in range(2)] == [b"(None, None)", b"(1, None)"]


# 14, 15: Starlette, Flask


@pytest.mark.parametrize("key", [[KEY, OTHER_KEY], (KEY,), {"key": KEY}, 42, True, object()])
def test_a_list_of_keys_is_not_taken_for_a_key(key):
    with pytest.raises(ConfigurationError):
        SessionMiddleware(page(), secret_key=key)


@pytest.mark.parametrize("keys", ["oldkey", b"oldkey", [""], [KEY, b""], [None], [b"\0\0"], 42])
def test_a_fallback_that_is_no_list_of_keys_is_told(keys):
    with pytest.raises(ConfigurationError):
        SessionMiddleware(page(), secret_key=KEY, secret_key_fallbacks=keys)


# 16: Flask

JUNK = [
    b"[1]",
    b'"text"',
    b"null",
    b"1",
    b"",
    b"{",
    b"\xff\xfe",
    b'{"a":{" t":5}}',
    b'{"a":{" u":"zz"}}',
    b'{"a":{" di":{}}}',
]
TIMES = [2**40, 2**63, 253402300800, 2**88 - 1, 0]


@pytest.mark.parametrize("payload", JUNK)
def test_correctly_signed_junk_is_an_empty_session(payload):
    answer = visit(guarded(page(dict)), cookie=f"session={signed(payload)}")
    assert (answer.status, answer.body, answer.cookies) == ("200 OK", b"{}", [])


@pytest.mark.parametrize("at", TIMES)
@pytest.mark.parametrize("do", [dict, lambda session: {}])
def test_a_timestamp_past_the_year_9999_is_an_empty_session(at, do):
    token = signed(b'{"_permanent":true}', at)
    answer = visit(guarded(page(do)), cookie=f"session={token}")
    assert (answer.body, answer.cookies) == (b"{}", [])


# 17: Flask


@pytest.mark.parametrize(("ahead", "shown"), [(1, b"{'a': 1}"), (60, b"{'a': 1}"), (61, b"{}")])
def test_a_clock_a_little_ahead_on_another_server_logs_nobody_out(clock, ahead, shown):
    token = signed(b'{"a":1}', int(clock.now) + ahead)
    assert visit(guarded(page(dict)), cookie=f"session={token}").body == shown


# 18: Flask, Django


@pytest.mark.parametrize("look", [lambda s: "a" in s, len, bool, lambda s: s.permanent, lambda s: s == {}])
def test_a_page_that_looked_at_the_session_in_any_way_varies_by_cookie(look):
    assert visit(guarded(page(look))).vary == ["Cookie"]


def test_a_refresh_varies_by_cookie_though_nobody_looked():
    answer = visit(guarded(page()), cookie=f"session={token_of({'_permanent': True})}")
    assert (len(answer.cookies), answer.vary) == (1, ["Cookie"])


# 19: Werkzeug


@pytest.mark.parametrize(
    ("theirs", "sent"), [(["Accept", "Origin"], ["Accept, Origin, Cookie"]), (["*"], ["*"]), (["cookie"], ["cookie"])]
)
def test_no_vary_is_lost_and_a_star_stays_alone(theirs, sent):
    assert visit(guarded(page(len, *(("Vary", value) for value in theirs)))).vary == sent


# 20: Flask, Werkzeug


def test_a_forged_cookie_from_a_sibling_domain_logs_nobody_out():
    forged, genuine = token_of({"evil": 1}, OTHER_KEY), token_of({"a": 1})
    for header in (f"session={forged}; session={genuine}", f"session={genuine}; session={forged}"):
        assert visit(guarded(page(dict)), cookie=header).body == b"{'a': 1}"


def test_an_attackers_own_genuine_cookie_logs_nobody_in_and_nobody_out_for_good():
    planted, genuine = token_of({"user": "attacker"}), token_of({"user": "me"})
    visitor = Visitor(guarded(page(lambda s: (s.get("user"), s.update(user="again")))))
    answer = visit(visitor.app, "/", f"session={planted}; session={genuine}", HTTP_HOST="www.example.com")
    assert answer.body == b"(None, None)"
    assert any("Domain=example.com" in cookie and "Max-Age=0" in cookie for cookie in answer.cookies[:-1])
    assert read(answer.cookies[-1].partition("=")[2].partition(";")[0]) == {"user": "again"}


# 21: Pyramid


@pytest.mark.parametrize(
    "created", ["NaN", "Infinity", "-Infinity", "1e308", "99999999999999", "true", '"1"', "null", "-1"]
)
def test_a_time_that_is_no_finite_integer_of_the_past_makes_no_session(created):
    token = signed(b'{"_created":%s,"a":1}' % created.encode())
    app = guarded(page(dict), absolute_lifetime=DAY, secret_key=KEY)
    assert visit(app, cookie=f"session={token}").body == b"{}"


def test_numbers_that_are_no_times_may_be_infinite():
    found = read(token_of({"a": math.inf, "b": math.nan}))
    assert found["a"] == math.inf
    assert math.isnan(found["b"])


# 22, 23: Beaker; Flask-Session, cachelib


def test_an_id_does_not_leave_the_directory_of_a_file_store(tmp_path):
    (tmp_path / "secret").write_bytes(b'{"a":1}')
    app = guarded(page(lambda s: (dict(s), write(s))), store=FileStore(tmp_path / "sessions"))
    for token in ("../secret", "..%2fsecret", "/etc/passwd", "a/b", "." * 43):
        assert visit(app, cookie=f"session={token}").body == b"({}, None)"
    made = [path for path in (tmp_path / "sessions").rglob("*") if path.is_file()]
    assert made
    assert {stat.S_IMODE(path.stat().st_mode) for path in made} == {0o600}
    assert stat.S_IMODE((tmp_path / "sessions").stat().st_mode) == 0o700


def test_what_stands_in_a_store_is_json_and_no_code(store):
    visit(guarded(page(lambda s: s.update(a=[1, "x"])), store=store))
    visitor = Visitor(guarded(page(lambda s: s.update(a=[1, "x"])), store=store))
    visitor.get()
    key = SessionManager(KEY, store=store).open({"HTTP_COOKIE": visitor.cookie}).id
    data = store.load(key).data
    assert json.loads(data[data.index(b"{") :])["a"] == [1, "x"]


# 24: express, many


def test_a_read_writes_nothing_but_every_tenth_of_the_lifetime(clock):
    class Counting(MemoryStore):
        writes = 0

        def touch(self, *args):
            Counting.writes += 1
            return super().touch(*args)

        def update(self, *args, **kwargs):
            raise AssertionError("a read was written")

    visitor = Visitor(guarded(page(lambda s: s.get("a") or write(s)), store=Counting(), lifetime=1000))
    for _ in range(100):
        visitor.get()
        clock.advance(10)
    assert Counting.writes == 9


# 25: Flask-Login


def test_a_log_in_renews_the_id(store):
    visitor = Visitor(guarded(page(lambda s: (s.regenerate_id(), write(s))), store=store))
    visitor.get()
    before = visitor.jar["session"]
    visitor.get()
    assert visitor.jar["session"] != before
    assert visit(guarded(page(dict), store=store), cookie=f"session={before}").body == b"{}"


# 26: cachelib


def test_a_store_that_is_down_is_an_error_and_not_an_empty_session():
    class Down(MemoryStore):
        def load(self, key):
            raise StoreError("down")

    server = Server(guarded(page(dict), store=Down()), environ_of(cookie="session=" + "A" * 43))
    with pytest.raises(StoreError):
        server.run()
    assert server.starts == []


# 27: Django, Starlette


@pytest.mark.parametrize("space", ["\u2000", "\xa0", "\x85", "\x1f", "\x0b", "\x0c", "\u3000", "\x00"])
def test_only_space_and_tab_are_stripped_from_a_cookies_name(space):
    token = token_of({"a": 1})
    name = "__Host-session"
    app = guarded(page(dict), cookie_name=name)
    as_server = space.encode("utf-8").decode("latin-1")
    for pair in (f"{space}{name}={token}", f"{name}{space}={token}", f"{as_server}{name}={token}"):
        assert visit(app, cookie=pair).body == b"{}"
    assert visit(app, cookie=f" \t{name}\t ={token}").body == b"{'a': 1}"


# 28: Bottle


def test_bottles_redirect_keeps_the_cookie():
    bottle = pytest.importorskip("bottle")
    app = bottle.Bottle()

    @app.get("/")
    def home():
        bottle.request.environ["session"]["a"] = 1
        bottle.redirect("/elsewhere")

    answer = visit(SessionMiddleware(app, secret_key=KEY))
    assert answer.status.startswith("30")
    assert read(answer.token) == {"a": 1}


# 29: wrapping middlewares


@pytest.mark.parametrize("where", [None, "memory://"])
def test_a_list_stays_a_list(where):
    body = [b"part"]

    def app(environ, start_response):
        environ["session"]["a"] = 1
        start_response("200 OK", [PLAIN])
        return body

    middleware = SessionMiddleware(app, secret_key=KEY, store=where)
    cookie = visit(middleware).cookies[0].partition(";")[0]
    assert middleware(environ_of(cookie=cookie), lambda *_: None) is body


def test_a_value_that_json_cannot_hold_is_told_when_it_is_written():
    for value in ({1: "a", "1": "b"}, object(), {1, 2}, 1j):
        with pytest.raises(NotSerializable):
            visit(guarded(page(lambda s, value=value: s.update(a=value))))
