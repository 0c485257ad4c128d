"""Several cookies of the session's name in one header: which is trusted, and how a visitor gets out of it."""

from __future__ import annotations

import logging
import re

import pytest

from session_mw import SessionManager, StoreError
from session_mw.codecs.signed import SignedCodec
from support.stores import Recording
from support.tokens import KEY, OTHER_KEY, read, token_of
from support.visitors import Client
from support.wsgi import ATTRIBUTES, GONE, PLAIN, VARY, added, guarded, page, visit

FORGED = "eyJhIjoxfQ.ZVPxAA.AAAAAAAAAAAAAAAAAAAAAAAAAAA"
DELETION = re.compile(
    r"session=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0"
    r"(?:; Domain=([a-z0-9.-]+))?; Path=(/[!-:<-~]*)(?:; Secure)?; HttpOnly; SameSite=Lax"
)


def login(session):
    shown = dict(session)
    session["user"] = 42
    return shown


AUTHENTIC = [token_of({"n": n}) for n in range(9)]
TWO = f"session={AUTHENTIC[0]}; session={AUTHENTIC[1]}"


def scopes(answer):
    """(Domain, Path) of each deletion; the last cookie is the new one."""
    found = [DELETION.fullmatch(cookie) for cookie in answer.cookies[:-1]]
    assert all(found), answer.cookies
    return [match.groups() for match in found]


def new_token(answer):
    return answer.cookies[-1].partition("=")[2].partition(";")[0]


@pytest.fixture
def tokens(any_sessions):
    """The tokens of two sessions of one manager, {"n": 0} and {"n": 1}."""
    clients = [Client(any_sessions) for _ in range(2)]
    for n, client in enumerate(clients):
        client.do(lambda s, n=n: s.update(n=n))
    return [client.token for client in clients]


# Which is trusted


@pytest.mark.parametrize(
    "bad",
    ["garbage", FORGED, "", '"', token_of({"evil": 1}, OTHER_KEY), "x" * 5000, "A" * 43],
    ids=["garbage", "forged", "empty", "quote", "another key", "long", "unknown id"],
)
def test_an_authentic_cookie_beside_a_rejected_one_is_the_session(any_sessions, tokens, bad):
    app = guarded(page(dict), sessions=any_sessions)
    for header in (f"session={bad}; session={tokens[0]}", f"session={tokens[0]}; session={bad}"):
        assert visit(app, cookie=header).body == b"{'n': 0}"


def test_the_same_cookie_twice_is_one(any_sessions, tokens):
    header = f"session={tokens[0]}; session={tokens[0]}"
    answer = visit(guarded(page(login), sessions=any_sessions), cookie=header)
    assert answer.body == b"{'n': 0}"
    assert len(answer.cookies) == (any_sessions.store is None)


def test_an_expired_cookie_beside_an_authentic_one_does_not_count(any_sessions, tokens, clock):
    clock.advance(32 * 86400)
    client = Client(any_sessions)
    client.do(lambda s: s.update(n="alive"))
    app = guarded(page(login), sessions=any_sessions)
    answer = visit(app, cookie=f"session={tokens[0]}; session={client.token}")
    assert answer.body == b"{'n': 'alive'}"
    assert len(answer.cookies) == (any_sessions.store is None)


@pytest.mark.parametrize(
    "header",
    [
        "session={0}; session={1}",
        "session={1}; session={0}",
        "a=1; session={0}; session={1}; b=2",
        "session={1}; x=1; session=junk; session={0}",
    ],
    ids=["alone", "the other way round", "among others", "beside a rejected one"],
)
def test_of_two_authentic_cookies_neither_is_trusted(any_sessions, tokens, header, caplog):
    app = guarded(page(lambda s: (dict(s), s.new)), sessions=any_sessions)
    answer = visit(app, cookie=header.format(*tokens))
    assert (answer.body, answer.headers) == (b"({}, True)", [PLAIN, VARY])
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert not any(token in record.getMessage() for token in tokens)


def test_authentic_cookies_of_the_old_and_of_the_current_key_are_two():
    sessions = SessionManager(KEY, secret_key_fallbacks=[OTHER_KEY])
    header = f"session={token_of({'a': 1})}; session={token_of({'a': 1}, OTHER_KEY)}"
    assert sessions.open({"HTTP_COOKIE": header}) == {}


def test_two_authentic_cookies_of_an_app_that_does_not_look_are_left_alone(any_sessions, tokens):
    header = "; ".join(f"session={token}" for token in tokens)
    assert visit(guarded(page(), sessions=any_sessions), cookie=header).headers == [PLAIN]


def test_two_authentic_permanent_cookies_are_not_refreshed():
    tokens = [token_of({"_permanent": True, "n": n}) for n in range(2)]
    assert added(visit(guarded(page()), cookie="; ".join(f"session={t}" for t in tokens))) == []


def test_a_session_that_is_emptied_key_by_key_deletes_nothing():
    assert added(visit(guarded(page(lambda s: s.pop("a", None))), cookie=TWO)) == [VARY]


@pytest.mark.parametrize("end", [lambda s: s.clear(), lambda s: s.invalidate()])
def test_a_log_out_deletes_the_cookies_though_none_is_trusted(end):
    answer = visit(guarded(page(end)), "/a", TWO, HTTP_HOST="www.example.com")
    assert ("example.com", "/") in scopes(answer)
    assert added(answer)[-1] == ("Set-Cookie", f"session=; {GONE}; {ATTRIBUTES}")


def forged(count: int) -> list[str]:
    return [f"{FORGED[:-5]}{n:04d}A" for n in range(count)]


@pytest.mark.parametrize("position", [0, 8])
def test_where_more_came_than_are_tried_none_is_trusted(position, caplog):
    values = forged(8)
    values.insert(position, AUTHENTIC[0])
    with caplog.at_level(logging.INFO, "session_mw"):
        answer = visit(guarded(page(login)), cookie="; ".join(f"session={value}" for value in values))
    assert answer.body == b"{}"
    assert read(new_token(answer)) == {"user": 42}
    # Anyone can send so many.
    (record,) = caplog.records
    assert (record.levelno, "too_many" in record.getMessage()) == (logging.INFO, True)


@pytest.mark.parametrize("position", [0, 7])
def test_eight_are_tried(position):
    values = forged(7)
    values.insert(position, AUTHENTIC[0])
    answer = visit(guarded(page(login)), cookie="; ".join(f"session={value}" for value in values))
    assert (answer.body, len(answer.cookies)) == (b"{'n': 0}", 1)


def test_no_more_than_eight_tokens_are_verified(monkeypatch):
    tried: list[str] = []
    decode = SignedCodec.decode
    monkeypatch.setattr(SignedCodec, "decode", lambda self, token: [tried.append(token), decode(self, token)][1])
    answer = visit(guarded(page(dict)), cookie="; ".join(f"session={value}" for value in forged(1000)))
    assert answer.body == b"{}"
    assert len(tried) <= 8


@pytest.mark.parametrize("position", [0, 8])
def test_where_more_ids_came_than_are_tried_none_is_trusted(client, position, store: Recording):
    planted = [letter * 43 for letter in "ABCDEFGH"]
    planted.insert(position, client.token)
    header = "; ".join(f"session={value}" for value in planted)
    app = guarded(page(dict), sessions=client.sessions)
    assert visit(app, cookie=header).body == b"{}"
    assert len(store.calls) <= 8


@pytest.mark.parametrize("count", [100, 500])
def test_what_has_not_a_tokens_shape_is_not_counted(count):
    values = [*(f"junk{n}" for n in range(count)), AUTHENTIC[0]]
    header = "; ".join(f"session={value}" for value in values)
    assert visit(guarded(page(dict)), cookie=header).body == b"{'n': 0}"


# How the visitor gets out of it


def test_when_the_app_writes_the_new_cookie_stands_alone():
    answer = visit(guarded(page(login)), "/shop/cart", TWO, HTTP_HOST="www.example.com")
    assert answer.body == b"{}"
    assert read(new_token(answer)) == {"user": 42}
    everywhere = {
        (domain, path)
        for domain in (None, "www.example.com", "example.com")
        for path in ("/", "/shop", "/shop/", "/shop/cart")
    }
    assert set(scopes(answer)) == everywhere - {(None, "/")}
    assert answer.vary == ["Cookie"]


def test_the_deletions_stand_before_the_new_cookie_with_its_attributes(any_sessions, tokens):
    header = "; ".join(f"session={token}" for token in tokens)
    app = guarded(page(login), sessions=any_sessions)
    answer = visit(app, cookie=header, HTTP_HOST="example.com")
    deletion = "session=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Domain=example.com; Path=/"
    new = f"session={new_token(answer)}; Path=/; HttpOnly; SameSite=Lax"
    attributes = "; HttpOnly; SameSite=Lax"
    assert added(answer) == [VARY, ("Set-Cookie", deletion + attributes), ("Set-Cookie", new)]
    assert new_token(answer) not in tokens
    second = visit(app, cookie=f"session={new_token(answer)}")
    assert (second.body, len(second.cookies)) == (b"{'user': 42}", any_sessions.store is None)


def test_an_attackers_own_authentic_cookie_logs_nobody_in_and_nobody_out_for_good():
    planted, mine = token_of({"user": "attacker"}), token_of({"user": "me"})
    app = guarded(page(lambda s: (s.get("user"), s.update(user="again"))))
    answer = visit(app, "/", f"session={planted}; session={mine}", HTTP_HOST="www.example.com")
    assert answer.body == b"(None, None)"
    assert (("example.com", "/") in scopes(answer), read(new_token(answer))) == (True, {"user": "again"})


def test_there_are_at_most_sixteen_deletions():
    path = "/" + "/".join("abcdefghijkl")
    answer = visit(guarded(page(login)), path, TWO, HTTP_HOST="a.b.c.d.example.com")
    assert len(scopes(answer)) == len(set(scopes(answer))) == 16


def test_a_deletion_with_our_own_domain_and_path_is_left_out():
    app = guarded(page(login), cookie_domain="example.com", cookie_path="/shop")
    found = scopes(visit(app, "/shop/cart", TWO, HTTP_HOST="www.example.com"))
    assert ("example.com", "/shop") not in found
    assert {("example.com", "/"), (None, "/shop"), (None, "/"), ("example.com", "/shop/")} <= set(found)


def test_a_domain_that_is_written_with_a_dot_is_our_own_too():
    app = guarded(page(login), cookie_domain=".Example.com")
    assert ("example.com", "/") not in scopes(visit(app, "/", TWO, HTTP_HOST="www.example.com"))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8080", "[::1]", "[::1]:8080", "10.0.0.256", "::1"])
def test_an_ip_address_has_no_domain(host):
    found = scopes(visit(guarded(page(login)), "/a", TWO, HTTP_HOST=host))
    assert all(domain is None for domain, _ in found)


def test_a_port_is_no_part_of_the_domain():
    found = scopes(visit(guarded(page(login)), "/", TWO, HTTP_HOST="example.com:8080"))
    assert ("example.com", "/") in found
    assert not any(domain and ":" in domain for domain, _ in found)


def test_a_host_of_one_label_has_no_parent():
    found = scopes(visit(guarded(page(login)), "/", TWO, HTTP_HOST="localhost"))
    assert {domain for domain, _ in found} <= {None, "localhost"}


HOSTILE = [
    "evil.com; HttpOnly",
    "a b.com",
    "x\r\nSet-Cookie: a=b",
    "é.com",
    "a..b",
    "-a.com",
    ".",
    "",
    "," * 9,
    "a\x00b",
    "x" * 300,
]


@pytest.mark.parametrize("host", HOSTILE)
def test_a_hostile_host_is_in_no_header(host):
    answer = visit(guarded(page(login)), "/", TWO, HTTP_HOST=host)
    assert all(domain is None for domain, _ in scopes(answer))
    assert all(value.isascii() and value.isprintable() for _, value in answer.headers)


@pytest.mark.parametrize(
    "path", ["/a; Domain=evil", "/a b", "/\r\nX: 1", "/é", "/a\x00", "/日".encode().decode("latin-1")]
)
def test_a_hostile_path_is_in_no_header(path):
    answer = visit(guarded(page(login)), path, TWO, HTTP_HOST="example.com")
    assert {path for _, path in scopes(answer)} <= {"/"}
    assert all(value.isascii() and value.isprintable() for _, value in answer.headers)


def test_the_path_is_that_of_the_visitor_where_the_app_is_mounted():
    found = scopes(visit(guarded(page(login)), "/cart", TWO, SCRIPT_NAME="/shop", HTTP_HOST="localhost"))
    assert {path for _, path in found} == {"/", "/shop", "/shop/", "/shop/cart"}


@pytest.mark.parametrize("path", ["", "//", "/a//b", "/" * 3000, "/" + "a" * 5000])
def test_odd_paths_cost_little_and_break_nothing(path):
    answer = visit(guarded(page(login)), path, TWO, HTTP_HOST="localhost")
    assert len(scopes(answer)) <= 16
    assert sum(len(cookie) for cookie in answer.cookies) < 16 * 4096 + 4096


def test_over_https_deletions_are_secure():
    answer = visit(guarded(page(login)), cookie=TWO, https=True, HTTP_HOST="example.com")
    assert all("Secure" in cookie.split("; ") for cookie in answer.cookies)


def test_a_host_prefix_allows_no_second_cookie():
    header = f"__Host-session={AUTHENTIC[0]}; __Host-session={AUTHENTIC[1]}"
    answer = visit(guarded(page(login), cookie_name="__Host-session"), cookie=header, https=True)
    assert answer.body == b"{}"
    attributes = "Path=/; Secure; HttpOnly; SameSite=Lax"
    partitioned = f"__Host-session=; {GONE}; {attributes}; Partitioned"
    assert added(answer) == [
        VARY,
        ("Set-Cookie", partitioned),
        ("Set-Cookie", f"__Host-session={new_token(answer)}; {attributes}"),
    ]


def test_without_a_host_header_the_servers_name_counts():
    environ = {"SERVER_NAME": "www.example.com"}
    answer = visit(guarded(page(login)), "/", TWO, HTTP_HOST="", **environ)
    assert ("example.com", "/") in scopes(answer)


def test_a_cookie_header_alone_is_enough_to_write_a_session_anew():
    sessions = SessionManager(KEY)
    session = sessions.open({"HTTP_COOKIE": TWO})
    session["b"] = 1
    (vary, cookie) = sessions.commit(session)
    assert (vary, read(cookie[1].partition("=")[2].partition(";")[0])) == (VARY, {"b": 1})


# Twins: cookies of the name that another setting, a proxy or a browser keeps apart


class Browser:
    """Keeps cookies as browsers do: by name, Domain, Path, and whether they are partitioned (RFC 6265bis, CHIPS).

    Args:
        host: What it believes to speak with.
        hides: What a proxy takes away from the path before the application sees it.
        seen_as: The Host that a proxy shows to the application.
        https: Whether the server knows that the browser speaks https.
        more: What a proxy adds to the environ.
    """

    def __init__(self, host="www.example.com", *, hides="", seen_as=None, https=True, more=None):
        self.host, self.hides, self.seen_as, self.https = host, hides, seen_as or host, https
        self.more = more or {}
        self.jar = {}

    def get(self, app, path="/", more=""):
        pairs = [f"{name}={value}" for (name, _, place, _), value in self.jar.items() if self.is_sent(path, place)]
        cookie = "; ".join([*pairs, *([more] if more else [])]) or None
        inner = path.removeprefix(self.hides) or "/"
        answer = visit(app, inner, cookie, https=self.https, HTTP_HOST=self.seen_as, **self.more)
        for text in answer.cookies:
            self.keep(text)
        return answer

    @staticmethod
    def is_sent(path, place):
        return path == place or path.startswith(place if place.endswith("/") else f"{place}/")

    def keep(self, text):
        pair, *attributes = text.split("; ")
        named = dict(attribute.partition("=")[::2] for attribute in attributes)
        domain = named.get("Domain", "").lstrip(".").lower()
        if domain and not f".{self.host}".endswith(f".{domain}"):
            return
        if "Partitioned" in named and "Secure" not in named:
            return
        key = (pair.partition("=")[0], domain or None, named["Path"], "Partitioned" in named)
        if named.get("Max-Age") == "0":
            self.jar.pop(key, None)
        else:
            self.jar[key] = pair.partition("=")[2]


CHANGED = {
    "Partitioned switched on": ({}, {"cookie_partitioned": True}),
    "Partitioned switched off": ({"cookie_partitioned": True}, {}),
    "under __Host-": ({"cookie_name": "__Host-s"}, {"cookie_name": "__Host-s", "cookie_partitioned": True}),
    "Domain set": ({}, {"cookie_domain": "example.com"}),
    "Domain taken away": ({"cookie_domain": "example.com"}, {}),
    "Domain moved": ({"cookie_domain": "www.example.com"}, {"cookie_domain": "example.com"}),
    "Path set": ({}, {"cookie_path": "/shop"}),
    "Path taken away": ({"cookie_path": "/shop"}, {}),
    "a final slash": ({"cookie_path": "/shop/"}, {"cookie_path": "/shop"}),
    "Domain and Path": ({}, {"cookie_domain": "example.com", "cookie_path": "/shop"}),
    "Path and Partitioned": ({}, {"cookie_path": "/shop", "cookie_partitioned": True}),
    "Domain and Partitioned": ({"cookie_domain": "example.com"}, {"cookie_partitioned": True}),
    "all at once": ({}, {"cookie_domain": "example.com", "cookie_path": "/shop", "cookie_partitioned": True}),
    "all taken away": ({"cookie_domain": "example.com", "cookie_path": "/shop", "cookie_partitioned": True}, {}),
}
PLACES = {
    "straight": {},
    "behind a proxy that rewrites the path": {"hides": "/shop"},
    "underscores": {"host": "my_app.example.com"},
    "behind a proxy that ends TLS": {"https": False, "more": {"HTTP_X_FORWARDED_PROTO": "https"}},
}


def browser_at(place, before, after):
    """A browser at a place, for which settings are changed; skipped where nobody could know of the former cookie."""
    if place.get("host") and "www" in str(before):
        pytest.skip("that Domain is of another host")
    if place.get("hides") and "/shop" in str(before) and "/shop" not in str(after):
        pytest.skip("nobody tells the application of the path that the proxy hides")
    return Browser(**place)


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize(("before", "after"), CHANGED.values(), ids=CHANGED)
def test_a_log_out_leaves_no_cookie_whatever_setting_was_changed(any_settings, place, before, after):
    old, new = SessionManager(**any_settings, **before), SessionManager(**any_settings, **after)
    browser = browser_at(place, before, after)
    browser.get(guarded(page(lambda s: s.update(n=0)), sessions=old), "/shop/")
    browser.get(guarded(page(lambda s: s.update(n=1)), sessions=new), "/shop/")
    assert browser.jar
    browser.get(guarded(page(lambda s: s.invalidate()), sessions=new), "/shop/")
    assert browser.jar == {}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize(("before", "after"), CHANGED.values(), ids=CHANGED)
def test_a_log_out_that_leaves_a_message_leaves_one_cookie(any_settings, place, before, after):
    old, new = SessionManager(**any_settings, **before), SessionManager(**any_settings, **after)
    browser = browser_at(place, before, after)
    browser.get(guarded(page(lambda s: s.update(user=42)), sessions=old), "/shop/")
    browser.get(guarded(page(lambda s: (s.clear(), s.update(message="bye"))), sessions=new), "/shop/")
    assert len(browser.jar) == 1
    assert browser.get(guarded(page(dict), sessions=new), "/shop/").body == b"{'message': 'bye'}"


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize(("before", "after"), CHANGED.values(), ids=CHANGED)
def test_of_two_that_nobody_can_tell_apart_one_write_leaves_one(any_settings, place, before, after):
    old, new = SessionManager(**any_settings, **before), SessionManager(**any_settings, **after)
    browser = browser_at(place, before, after)
    # each was begun while the other was not there
    browser.get(guarded(page(lambda s: s.update(n=0)), sessions=old), "/shop/")
    kept, browser.jar = browser.jar, {}
    browser.get(guarded(page(lambda s: s.update(n=1)), sessions=new), "/shop/")
    browser.jar = {**kept, **browser.jar}
    assert len(browser.jar) == 2
    answer = browser.get(guarded(page(login), sessions=new), "/shop/")
    assert (answer.body, len(browser.jar)) == (b"{}", 1)
    assert browser.get(guarded(page(dict), sessions=new), "/shop/").body == b"{'user': 42}"


def test_a_proxy_that_rewrites_the_host_hides_no_cookie_of_the_settings_domain(any_settings):
    old = SessionManager(**any_settings, cookie_domain="shop.example.com")
    new = SessionManager(**any_settings, cookie_domain="example.com")
    browser = Browser("shop.example.com", seen_as="backend:8000", https=False)
    browser.get(guarded(page(lambda s: s.update(n=0)), sessions=old))
    browser.get(guarded(page(lambda s: s.update(n=1)), sessions=new))
    browser.get(guarded(page(lambda s: s.clear()), sessions=new))
    assert {domain for _, domain, _, _ in browser.jar} <= {"shop.example.com"}
    reverse = Browser("shop.example.com", seen_as="backend:8000", https=False)
    reverse.get(guarded(page(lambda s: s.update(n=0)), sessions=new))
    reverse.get(guarded(page(lambda s: s.clear()), sessions=old))
    assert reverse.jar == {}


@pytest.mark.parametrize("end", [lambda s: s.clear(), lambda s: (s.invalidate(), s.update(b=1))])
def test_a_log_out_ends_every_authentic_session_that_came(sessions, store: Recording, end):
    clients = [Client(sessions) for _ in range(3)]
    for n, client in enumerate(clients):
        client.do(lambda s, n=n: s.update(n=n))
    header = "; ".join(client.cookie for client in clients)
    session = sessions.open({"HTTP_COOKIE": f"session=junk; {header}; session={'A' * 43}"})
    end(session)
    sessions.commit(session)
    assert [client.data() for client in clients] == [{}, {}, {}]
    assert [store.inner.load(client.key) for client in clients] == [None, None, None]


def test_a_log_out_that_failed_half_way_ends_the_others_when_it_is_done_again(sessions, store: Recording):
    clients = [Client(sessions) for _ in range(2)]
    for n, client in enumerate(clients):
        client.do(lambda s, n=n: s.update(n=n))
    session = sessions.open({"HTTP_COOKIE": "; ".join(client.cookie for client in clients)})
    session.invalidate()
    store.once("delete", lambda: store.fail("delete"))
    with pytest.raises(StoreError, match="the store is down"):
        sessions.commit(session)
    store.before.clear()
    assert sessions.commit(session)[-1] == ("Set-Cookie", f"session=; {GONE}; {ATTRIBUTES}")
    assert [client.data() for client in clients] == [{}, {}]


def test_a_new_id_where_two_came_leaves_those_alone_and_stands_alone(sessions):
    clients = [Client(sessions) for _ in range(2)]
    for n, client in enumerate(clients):
        client.do(lambda s, n=n: s.update(n=n))
    header = "; ".join(client.cookie for client in clients)
    app = guarded(page(lambda s: (s.regenerate_id(), s.update(user=42))), sessions=sessions)
    answer = visit(app, "/", header, HTTP_HOST="example.com")
    assert scopes(answer) == [("example.com", "/")]
    assert Client(sessions, new_token(answer)).data() == {"user": 42}
    assert [client.data() for client in clients] == [{"n": 0}, {"n": 1}]
