"""Several cookies of the name in one header: which is trusted, and how a visitor gets out of it."""

from __future__ import annotations

import logging

import pytest

from session_mw import MemoryStore, SessionManager
from support.wsgi import KEY, OTHER_KEY, PLAIN, guarded, page, read, token_of, visit

FORGED = "eyJhIjoxfQ.ZVPxAA.AAAAAAAAAAAAAAAAAAAAAAAAAAA"


def login(session):
    shown = dict(session)
    session["user"] = 42
    return shown


GENUINE = [token_of({"n": n}) for n in range(9)]
TWO = f"session={GENUINE[0]}; session={GENUINE[1]}"


def scopes(answer):
    """(Domain, Path) of each deletion; the last cookie is the new one."""
    found = []
    for cookie in answer.cookies[:-1]:
        pair, *attributes = cookie.split("; ")
        assert pair == "session="
        assert {"Expires=Thu, 01 Jan 1970 00:00:00 GMT", "Max-Age=0", "HttpOnly", "SameSite=Lax"} <= set(attributes)
        given = dict(attribute.split("=", 1) for attribute in attributes if "=" in attribute)
        found.append((given.get("Domain"), given["Path"]))
    return found


# Which is trusted


@pytest.mark.parametrize(
    "bad",
    ["garbage", FORGED, "", '"', token_of({"evil": 1}, OTHER_KEY), "x" * 5000],
    ids=["garbage", "forged", "empty", "quote", "another key", "long"],
)
def test_a_genuine_cookie_beside_a_refused_one_is_the_session(bad):
    for header in (f"session={bad}; session={GENUINE[0]}", f"session={GENUINE[0]}; session={bad}"):
        assert visit(guarded(page(dict)), cookie=header).body == b"{'n': 0}"


def test_the_same_cookie_twice_is_one():
    header = f"session={GENUINE[0]}; session={GENUINE[0]}"
    answer = visit(guarded(page(login)), cookie=header)
    assert answer.body == b"{'n': 0}"
    assert len(answer.cookies) == 1


def test_an_expired_cookie_beside_a_genuine_one_does_not_count(clock):
    old = token_of({"old": 1})
    clock.advance(32 * 86400)
    fresh = token_of({"fresh": 1})
    answer = visit(guarded(page(login)), cookie=f"session={old}; session={fresh}")
    assert (answer.body, len(answer.cookies)) == (b"{'fresh': 1}", 1)


@pytest.mark.parametrize(
    "header",
    [TWO, f"session={GENUINE[1]}; session={GENUINE[0]}", f"a=1; {TWO}; b=2"],
    ids=["alone", "the other way round", "among others"],
)
def test_of_two_genuine_cookies_neither_is_trusted(header, caplog):
    answer = visit(guarded(page(lambda s: (dict(s), s.new))), cookie=header)
    assert (answer.body, answer.headers) == (b"({}, True)", [PLAIN, ("Vary", "Cookie")])
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert not any(token in record.getMessage() for token in GENUINE)


def test_two_genuine_cookies_of_an_app_that_does_not_look_are_left_alone(caplog):
    assert visit(guarded(page()), cookie=TWO).headers == [PLAIN]


def test_two_genuine_permanent_cookies_are_not_refreshed():
    tokens = [token_of({"_permanent": True, "n": n}) for n in range(2)]
    assert visit(guarded(page()), cookie="; ".join(f"session={t}" for t in tokens)).cookies == []


@pytest.mark.parametrize("position", [0, 8])
def test_where_more_came_than_are_tried_none_is_trusted(position, caplog):
    values = [f"{FORGED[:-2]}{n}A" for n in range(8)]
    values.insert(position, GENUINE[0])
    answer = visit(guarded(page(login)), cookie="; ".join(f"session={value}" for value in values))
    assert answer.body == b"{}"
    assert read(answer.cookies[-1].partition("=")[2].partition(";")[0]) == {"user": 42}
    assert any(record.levelno == logging.WARNING for record in caplog.records)


def test_eight_are_tried():
    values = [f"{FORGED[:-2]}{n}A" for n in range(7)]
    answer = visit(guarded(page(login)), cookie="; ".join(f"session={v}" for v in [*values, GENUINE[0]]))
    assert (answer.body, len(answer.cookies)) == (b"{'n': 0}", 1)


def test_what_has_not_a_tokens_shape_is_not_counted():
    values = [f"junk{n}" for n in range(100)]
    header = "; ".join(f"session={value}" for value in [*values, GENUINE[0]])
    assert visit(guarded(page(dict)), cookie=header).body == b"{'n': 0}"


# How the visitor gets out of it


def test_when_the_app_writes_the_new_cookie_stands_alone():
    answer = visit(guarded(page(login)), "/shop/cart", TWO, HTTP_HOST="www.example.com")
    assert answer.body == b"{}"
    assert read(answer.cookies[-1].partition("=")[2].partition(";")[0]) == {"user": 42}
    everywhere = {
        (domain, path)
        for domain in (None, "www.example.com", "example.com")
        for path in ("/", "/shop", "/shop/", "/shop/cart")
    }
    assert set(scopes(answer)) == everywhere - {(None, "/")}
    assert answer.vary == ["Cookie"]


def test_a_second_visit_with_the_new_cookie_alone_deletes_nothing():
    first = visit(guarded(page(login)), cookie=TWO)
    token = first.cookies[-1].partition("=")[2].partition(";")[0]
    second = visit(guarded(page(login)), cookie=f"session={token}")
    assert (second.body, len(second.cookies)) == (b"{'user': 42}", 1)


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
    header = f"__Host-session={GENUINE[0]}; __Host-session={GENUINE[1]}"
    answer = visit(guarded(page(login), cookie_name="__Host-session"), cookie=header, https=True)
    assert answer.body == b"{}"
    assert len(answer.cookies) == 1


def test_a_session_that_is_emptied_deletes_nothing():
    assert visit(guarded(page(lambda s: s.clear())), cookie=TWO).cookies == []


def test_without_a_host_header_the_servers_name_counts():
    environ = {"SERVER_NAME": "www.example.com"}
    answer = visit(guarded(page(login)), "/", TWO, HTTP_HOST="", **environ)
    assert ("example.com", "/") in scopes(answer)


# Stored sessions


def stored_tokens(store, number):
    sessions = SessionManager(KEY, store=store)
    for n in range(number):
        session = sessions.open({})
        session["n"] = n
        yield sessions.commit(session)[1][1].partition(";")[0].partition("=")[2]


def test_of_two_known_ids_neither_is_trusted(caplog):
    store = MemoryStore()
    one, two = stored_tokens(store, 2)
    app = guarded(page(login), store=store)
    answer = visit(app, cookie=f"session={one}; session={two}", HTTP_HOST="example.com")
    assert answer.body == b"{}"
    assert scopes(answer) == [("example.com", "/")]
    new = answer.cookies[-1].partition(";")[0]
    assert new.partition("=")[2] not in (one, two)
    assert visit(app, cookie=new).body == b"{'user': 42}"
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_a_known_id_beside_unknown_ones_is_the_session():
    store = MemoryStore()
    (one,) = stored_tokens(store, 1)
    header = f"session={'A' * 43}; session={one}; session={'B' * 43}"
    assert visit(guarded(page(dict), store=store), cookie=header).body == b"{'n': 0}"


def test_where_more_ids_came_than_are_tried_none_is_trusted():
    store = MemoryStore()
    (one,) = stored_tokens(store, 1)
    planted = "; ".join(f"session={letter * 43}" for letter in "ABCDEFGH")
    assert visit(guarded(page(dict), store=store), cookie=f"session={one}; {planted}").body == b"{}"
