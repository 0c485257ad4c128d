"""What anyone can send as a Cookie header: it never raises, never gets a cookie or a deletion, and costs little."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from session_mw import SessionManager
from support.hostile import AUTHENTIC as G
from support.hostile import EVIL, assert_empty, assert_session, memory_of, served
from support.tokens import KEY, NOW, OTHER_KEY, deflated, signed, token_of
from support.wsgi import PLAIN, VARY, guarded, page, visit

pytestmark = pytest.mark.usefixtures("now")

LIFETIME = 31 * 86400


@pytest.mark.parametrize(
    "header",
    [
        *["", ";;; ;=;", "session", "session=", 'session=""', "=", ";", " ", "session=;session=", "session;session"],
        *[f"=session={G}", f"SESSION={G}", f"%73ession={G}", f"xsession={G}", f"x=1,session={EVIL}"],
        *[f"x=hello session={EVIL}", f"\u2000session={G}", f"\xa0session={G}", f"session\xa0={G}", f"session =\xa0{G}"],
        *[
            f"session='{G}'",
            f'session="{G}',
            f'session={G}"',
            f'session=""{G}""',
            f"session=%22{G}%22",
            f"session={G},",
        ],
        *["session=\xff\xfe", "session=\ud800", "session=\x00", f"session={G[:5]}\x00{G[5:]}", f"session={G}\udcff"],
        *[
            f"session={G}\r\n",
            f"session={G}\n",
            f"session={G}\x0b",
            f"session={G} x",
            f"session[]={G}",
            "session=é.é.é",
        ],
        *["session=" + "x" * 5000, "session=" + "." * 4000, "session=" + "A" * 4096, f"session={'A' * 60000}.ZVPxAA.x"],
    ],
)
def test_a_header_without_an_acceptable_cookie_gives_an_empty_session(header):
    assert_empty(header)


@pytest.mark.parametrize(
    "header",
    [
        *[f"a=1;session={G}", f" session = {G} ; b=2", f'session="{G}"', f"\tsession\t=\t{G}\t", f"session={G};"],
        *[f"session=garbage; session={G}", f"session={G}; session=garbage", f"session=; session={G}"],
        *[
            f"session={G}; session={G}",
            f'session={G}; session="{G}"',
            f'a="x; session={G}; b=y"',
            f"session;session={G}",
        ],
        *[f"path=/; expires=1; session={G}", f'a[0]=1; {{"x":1}}; session={G}', f"\xff\xfe=\x00; session={G}"],
        *[f"session={G[:-1]}A; session={G}", f"session={'x' * 5000}; session={G}", f"session={G}; xsession={EVIL}"],
        f"session={signed(b'{}', NOW - LIFETIME - 1)}; session={G}",
    ],
)
def test_the_session_is_found_among_whatever_else_was_sent(header):
    assert_session(header)


def test_a_forged_cookie_from_a_sibling_domain_logs_nobody_out():
    forged = token_of({"evil": 1}, OTHER_KEY)
    for header in (f"session={forged}; session={G}", f"session={G}; session={forged}"):
        assert_session(header)


def test_a_header_of_64_kib_is_read_and_a_longer_one_is_ignored():
    assert_session(";" * (65536 - len(f"session={G}")) + f"session={G}")
    assert_empty(";" * (65537 - len(f"session={G}")) + f"session={G}")
    assert_empty(f"session={G}" + ";" * 260_000)


@pytest.mark.parametrize(
    "filler",
    ["\\" * 60_000, '\\"' * 30_000, '"' * 60_000, "=" * 60_000, "a=b;" * 15_000, " " * 60_000, "session" * 8000],
)
def test_a_hostile_header_of_60_kb_hides_no_session(filler):
    assert_session(f'a="{filler}"; session={G}')


@pytest.mark.parametrize(
    "header",
    [
        ";" * 260_000,
        ";" * 65_000,
        "session=x;" * 6500,
        "".join(f"session={n};" for n in range(4500)),
        f"session={'A' * 65_000}",
        f"session={deflated(b'x' * 3_000_000)}",
        f"session={deflated(b'[' * 1_000_000)}",
        f"session={deflated(b' ' * 1_000_000)}",
        f"session={deflated(b'{' + b' ' * 1_000_000)}",
        f"session={'.' * 4000}",
    ],
)
def test_a_hostile_header_takes_less_than_four_megabytes(header):
    assert memory_of(header) < 4_000_000


hostile = st.lists(
    st.sampled_from(
        ["session", "=", ";", '"', " ", G, EVIL[:-1], ".", "..", "\\", "\xa0", "\x00", "é", "session=", "e30"]
    )
    | st.text(max_size=4),
    max_size=12,
).map("".join)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(hostile)
def test_no_header_ever_raises_or_is_answered_with_a_cookie(header):
    for touch in (dict, lambda _: None):
        response = served(header, touch)
        assert response.status == "200 OK"
        assert "Set-Cookie" not in dict(response.headers)
        assert response.seen in ({}, {"a": 1})


@pytest.mark.parametrize("space", ["\u2000", "\xa0", "\x85", "\x1f", "\x0b", "\x0c", "\u3000", "\x00"])
def test_only_space_and_tab_are_stripped_from_a_cookies_name(space):
    token = token_of({"a": 1})
    name = "__Host-session"
    app = guarded(page(dict), cookie_name=name)
    as_server = space.encode("utf-8").decode("latin-1")
    for pair in (f"{space}{name}={token}", f"{name}{space}={token}", f"{as_server}{name}={token}"):
        assert visit(app, cookie=pair).body == b"{}"
    assert visit(app, cookie=f" \t{name}\t ={token}").body == b"{'a': 1}"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(hostile)
def test_no_header_ever_raises_where_cookies_are_encrypted(header):
    pytest.importorskip("cryptography")
    assert served(header, dict, SessionManager(KEY, encrypt=True)) == ("200 OK", [PLAIN, VARY], {})
