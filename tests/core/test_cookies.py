"""The Cookie header, read; Set-Cookie, written."""

from __future__ import annotations

import locale
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_mw.cookies import MAX_DELETIONS, MAX_HEADER, SessionCookie

DELETED = "session=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0"
PLAIN = "; HttpOnly; SameSite=Lax"


def cookie(name: str = "session", **changed: Any) -> SessionCookie:
    options = {"domain": None, "path": "/", "secure": "auto", "httponly": True, "samesite": "Lax", "partitioned": False}
    return SessionCookie(name, **{**options, **changed})


COOKIE = cookie()
GONE = "Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0"


# Reading


@pytest.mark.parametrize(
    ("header", "values"),
    [
        ("", []),
        (";;; ;=;", []),
        ("session", [""]),
        ("session=", [""]),
        ("a=1;session=G", ["G"]),
        (" session = G ; b=2", ["G"]),
        ("\tsession\t=\tG\t;b=2", ["G"]),
        ('session="G"', ["G"]),
        ('session= "G" ', ["G"]),
        ('session="', ['"']),
        ('session=""', [""]),
        ('session=""G""', ['"G"']),
        ('session="G', ['"G']),
        ('session=G"', ['G"']),
        ('session=" G "', [" G "]),
        ("session=G=H", ["G=H"]),
        ("session=a; session=b; session=a", ["a", "b"]),
        ("session=garbage; session=G", ["garbage", "G"]),
        ('a="x; session=G; b=y"', ["G"]),
        ("=session=G", []),
        ("SESSION=G", []),
        ("Session=G", []),
        ("%73ession=G", []),
        ("xsession=G", []),
        ("sessionx=G", []),
        ("x=1,session=G", []),
        ("x=hello session=G", []),
        ("session[0]=G", []),
        ("$session=G", []),
        ("\u2000session=G", []),
        ("\xa0session=G", []),
        ("\x0bsession=G", []),
        ("\nsession=G", []),
        ("session\x00=G", []),
        ("session=\xa0G\xa0", ["\xa0G\xa0"]),
        ("session=G\\073", ["G\\073"]),
        ("session=%47", ["%47"]),
        ('path=/; expires=1; domain="x"; session=G', ["G"]),
        ('a[0]=1; {"x":1}; session=G', ["G"]),
        ("session=G, b=2", ["G, b=2"]),
        ("session=\xff\xfe", ["\xff\xfe"]),
        ("session=\ud800", ["\ud800"]),
    ],
)
def test_each_header_has_these_values(header, values):
    assert COOKIE.values(header) == values


def model(header: str, name: str) -> list[str]:
    """The same rules, one character after the other."""
    values: list[str] = []
    for pair in parts(header, ";", -1):
        key, *rest = parts(pair, "=", 1)
        value = trimmed("".join(rest))
        if value.startswith('"') and value.endswith('"') and len(value) >= 2:
            value = value[1 : len(value) - 1]
        if trimmed(key) == name and value not in values:
            values.append(value)
    return values


def parts(text: str, separator: str, times: int) -> list[str]:
    found = [""]
    for character in text:
        if character == separator and times != 0:
            found.append("")
            times -= 1
        else:
            found[-1] += character
    return found


def trimmed(text: str) -> str:
    while text and text[0] in " \t":
        text = text[1:]
    while text and text[-1] in " \t":
        text = text[:-1]
    return text


pieces = st.sampled_from(
    ["session", "Session", "=", ";", '"', "\\", " ", "\t", ",", "G", "x", "\xa0", "\u2003", "\n", "\x00", "é", "a=1"]
)
headers = st.lists(pieces | st.text(max_size=3), max_size=25).map("".join)


@given(headers)
def test_any_header_is_read_as_the_rules_say(header):
    assert COOKIE.values(header) == model(header, "session")


@given(headers, headers, st.text(alphabet="abcXYZ019-_.", min_size=1))
def test_a_cookie_is_found_whatever_stands_before_and_after_it(before, after, value):
    assert value in COOKIE.values(f"{before};session={value};{after}")


@given(headers)
def test_a_name_with_signs_in_it_is_a_text_and_no_pattern(header):
    assert cookie("s.*|$").values(f"{header};s.*|$=G;sxx=H") == [*model(header, "s.*|$"), "G"]


def test_a_header_of_64_kib_is_read_and_a_longer_one_is_not():
    filler = ";" * (MAX_HEADER - len("session=G"))
    assert COOKIE.values(filler + "session=G") == ["G"]
    assert COOKIE.values(filler + ";session=G") == []


class Counting(str):
    """Text that counts how often it is looked through."""

    def __new__(cls, text: str) -> Counting:
        made = super().__new__(cls, text)
        made.looked = 0
        return made

    def split(self, *separators: Any) -> Any:
        self.looked += 1
        return super().split(*separators)


@pytest.mark.parametrize("filler", ["\\" * 60_000, '"' * 60_000, "a=1;" * 15_000, "session=x;" * 6000, " " * 60_000])
def test_a_hostile_header_is_split_once(filler):
    header = Counting(f'a="{filler}"; session=G')
    assert "G" in COOKIE.values(header)
    assert header.looked <= 1


# Writing


@pytest.mark.parametrize(
    ("options", "http", "https"),
    [
        ({}, "; Path=/; HttpOnly; SameSite=Lax", "; Path=/; Secure; HttpOnly; SameSite=Lax"),
        ({"secure": True}, *["; Path=/; Secure; HttpOnly; SameSite=Lax"] * 2),
        ({"secure": False}, *["; Path=/; HttpOnly; SameSite=Lax"] * 2),
        ({"secure": False, "httponly": False, "samesite": None}, "; Path=/", "; Path=/"),
        ({"secure": True, "samesite": "Strict"}, *["; Path=/; Secure; HttpOnly; SameSite=Strict"] * 2),
        ({"secure": True, "samesite": "None"}, *["; Path=/; Secure; HttpOnly; SameSite=None"] * 2),
        (
            {"secure": True, "samesite": "None", "partitioned": True},
            *["; Path=/; Secure; HttpOnly; SameSite=None; Partitioned"] * 2,
        ),
        (
            {"secure": False, "domain": "example.com", "path": "/app"},
            *["; Domain=example.com; Path=/app; HttpOnly; SameSite=Lax"] * 2,
        ),
    ],
)
def test_the_attributes_are_those_of_the_settings_in_a_cookie_and_in_its_deletion(options, http, https):
    made = cookie(**options)
    for is_https, attributes in ((False, http), (True, https)):
        assert made.set("G", is_https) == f"session=G{attributes}"
        assert made.set("G", is_https, 1798140455) == f"session=G; Expires=Thu, 24 Dec 2026 19:27:35 GMT{attributes}"
        assert made.delete(is_https) == f"{DELETED}{attributes}"


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (1700000000, "Tue, 14 Nov 2023 22:13:20 GMT"),
        (951782400, "Tue, 29 Feb 2000 00:00:00 GMT"),
        (32503680000, "Wed, 01 Jan 3000 00:00:00 GMT"),
    ],
)
def test_dates_are_in_english_with_four_digits(at, text):
    assert COOKIE.set("G", False, at) == f"session=G; Expires={text}; Path=/{PLAIN}"
    assert COOKIE.set("G", False, at) == COOKIE.set("G", False, at)


def test_dates_do_not_follow_the_locale():
    before = locale.setlocale(locale.LC_ALL)
    names = [name for name in ("de_DE.UTF-8", "fr_FR.UTF-8", "ru_RU.UTF-8", "C.UTF-8") if has_locale(name)]
    try:
        for name in [*names, "C"]:
            locale.setlocale(locale.LC_ALL, name)
            assert "Tue, 14 Nov 2023 22:13:20 GMT" in COOKIE.set("G", False, 1700000000)
    finally:
        locale.setlocale(locale.LC_ALL, before)


def has_locale(name: str) -> bool:
    before = locale.setlocale(locale.LC_ALL)
    try:
        locale.setlocale(locale.LC_ALL, name)
    except locale.Error:
        return False
    locale.setlocale(locale.LC_ALL, before)
    return True


# Deletions elsewhere


def scopes(made: SessionCookie, host: str, path: str, https: bool = False) -> list[str]:
    """Where cookies of our own kind are deleted."""
    attributes = "; Secure" + PLAIN if https else PLAIN
    texts = [text for text in made.delete_elsewhere(host, path, https) if not text.endswith("; Partitioned")]
    assert all(text.startswith(f"{DELETED}; ") and text.endswith(attributes) for text in texts)
    return [text[len(DELETED) + 2 : -len(attributes)] for text in texts]


def test_the_cookie_is_deleted_for_the_host_its_parents_and_the_paths_above_except_our_own():
    assert scopes(COOKIE, "www.example.com:8080", "/a/b") == [
        "Domain=www.example.com; Path=/",
        "Domain=example.com; Path=/",
        *["Path=/a", "Path=/a/", "Path=/a/b"],
        *["Domain=www.example.com; Path=/a", "Domain=example.com; Path=/a"],
        *["Domain=www.example.com; Path=/a/", "Domain=example.com; Path=/a/"],
        *["Domain=www.example.com; Path=/a/b", "Domain=example.com; Path=/a/b"],
    ]


@pytest.mark.parametrize("domain", ["example.com", ".example.com", "EXAMPLE.com"])
def test_with_a_domain_the_cookie_of_the_host_alone_is_another_one(domain):
    made = cookie(domain=domain, path="/a")
    beside = ["Path=/a", "Domain=example.com; Path=/", "Domain=example.com; Path=/a/"]
    assert scopes(made, "example.com", "/a") == [*beside, "Path=/", "Path=/a/"]


@pytest.mark.parametrize(
    "host",
    [
        *[
            "",
            "127.0.0.1",
            "127.0.0.1:8000",
            "[::1]",
            "[::1]:8000",
            "::1",
            "1.2.3",
            "10.0.0.256",
            "a b",
            "é.com",
            "a;b",
        ],
        *["evil.com\r\nX: 1", "a..b", "-a.com", "a b.com", "a,b", ".", "a" * 64 + ".com", "a." * 150 + "com", "\x00"],
    ],
)
def test_an_address_or_a_host_that_no_cookie_can_hold_adds_no_domain(host):
    assert scopes(COOKIE, host, "/a") == ["Path=/a"]


@pytest.mark.parametrize("path", ["", "a", "/a b", "/a;b", "/é", "/a\r\nX:1", "/a\x00", "/\x7f", "*"])
def test_a_path_that_no_cookie_can_hold_adds_no_path(path):
    assert scopes(COOKIE, "example.com", path) == ["Domain=example.com; Path=/"]


def test_a_host_is_read_without_case_port_and_final_dot():
    assert scopes(COOKIE, "WWW.Example.COM.:443", "/", https=True) == [
        "Domain=www.example.com; Path=/",
        "Domain=example.com; Path=/",
    ]
    assert scopes(COOKIE, "localhost", "/") == ["Domain=localhost; Path=/"]


def test_there_are_sixteen_deletions_at_most():
    assert len(scopes(COOKIE, "a.b.c.d.example.com", "/1/2/3/4/5/6")) == MAX_DELETIONS == 16


def test_a_long_path_costs_no_more_than_its_first_parts():
    tracemalloc.start()
    try:
        texts = COOKIE.delete_elsewhere("example.com", "/" * 60_000, False)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(texts) == 16
    assert peak < 1024 * 1024
    assert scopes(COOKIE, "example.com", "/" + "a" * 2000) == ["Domain=example.com; Path=/"]


def test_a_host_with_an_underscore_holds_cookies_as_others_do():
    assert scopes(COOKIE, "my_app.example.com", "/") == [
        "Domain=my_app.example.com; Path=/",
        "Domain=example.com; Path=/",
    ]


@pytest.mark.parametrize("name", ["__Host-s", "__host-s", "__HOST-session"])
def test_a_cookie_with_the_host_prefix_has_no_namesake_but_the_partitioned_one(name):
    partitioned = f"{name}=; {GONE}; Path=/; Secure; HttpOnly; SameSite=Lax; Partitioned"
    assert cookie(name, secure=True).delete_elsewhere("www.example.com", "/a/b", True) == [partitioned]


@pytest.mark.parametrize(("partitioned", "other"), [(False, "; Partitioned"), (True, "")])
def test_over_https_the_cookie_of_the_other_kind_is_deleted_too_first_at_our_own_place(partitioned, other):
    made = cookie(secure=True, partitioned=partitioned)
    texts = made.delete_elsewhere("example.com", "/", True)
    assert texts == [
        f"session=; {GONE}; Path=/; Secure; HttpOnly; SameSite=Lax{other}",
        f"session=; {GONE}; Domain=example.com; Path=/; Secure; HttpOnly; SameSite=Lax"
        + ("; Partitioned" if partitioned else ""),
        f"session=; {GONE}; Domain=example.com; Path=/; Secure; HttpOnly; SameSite=Lax{other}",
    ]


def test_places_are_those_of_the_request_and_those_of_the_settings():
    """A proxy may have rewritten the request's host and path."""
    made = cookie(domain="shop.example.com", path="/app/v2")
    found = scopes(made, "backend:8000", "/v2")
    for scope in ("Path=/", "Path=/app", "Path=/app/v2", "Path=/v2", "Domain=backend; Path=/"):
        assert scope in found
    assert "Domain=example.com; Path=/" in found
    assert "Domain=shop.example.com; Path=/app/v2" not in found


def test_where_there_is_no_place_for_all_those_go_that_differ_from_our_own_in_one_attribute():
    made = cookie(domain="shop.example.com", path="/app")
    found = scopes(made, "a.b.c.d.e.example.com", "/1/2/3/4/5/6/7")
    assert len(found) == MAX_DELETIONS
    assert {"Path=/app", "Domain=example.com; Path=/app", "Domain=shop.example.com; Path=/"} <= set(found)
    assert all("shop" in scope or "Path=/app" in scope for scope in found)


def test_a_cookie_of_our_own_path_with_a_final_slash_is_another_one_wherever_the_app_is():
    assert "Path=/app/" in scopes(cookie(path="/app"), "localhost", "/")
    assert "Path=/app" in scopes(cookie(path="/app/"), "localhost", "/")


@given(st.text(max_size=30), st.text(max_size=30), st.booleans())
def test_whatever_the_host_and_the_path_are_a_header_holds_printable_ascii_only(host, path, https):
    own = COOKIE.delete(https)
    texts = COOKIE.delete_elsewhere(host, path, https)
    assert all(text.isascii() and text.isprintable() for text in texts)
    assert all(5 + https <= text.count(";") <= 6 + 2 * https for text in texts)
    assert own not in texts
    assert len(set(texts)) == len(texts) <= 16
