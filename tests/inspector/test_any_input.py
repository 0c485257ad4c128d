"""Whatever a session holds and whatever a client sends, the page is well-formed and shows it as text."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from session_mw import CookieTooLarge, MemoryStore, NotSerializable, SessionManager, SessionMiddleware
from session_mw.inspector import SessionInspector
from session_mw.inspector.html import quoted, shown
from session_mw.inspector.values import shown_key
from support.pages import Page
from support.tokens import KEY, signed, token_of
from support.visitors import Client
from support.wsgi import page, visit

TAGS = set(
    "html head meta title style body header main footer section div a p h1 h2 h3 dl dt dd code bdi pre span strong "
    "time table caption thead tbody tr th td details summary svg rect line text circle path".split()
)
HOSTILE = [
    "</style><script>alert(1)</script>",
    "</code></td><img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "<!--",
    "]]>",
    "&lt;b&gt;&amp;",
    "\u202egnp.exe",
    "a\u200bb\ufeffc",
    "\x00\x1b[31m\r\n",
    "\ud800",
    "{{7*7}}${7*7}",
    "x" * 3000,
    "א" * 40,
    "e" + "\u0301" * 60,
]
TEXTS = st.text(max_size=40) | st.sampled_from(HOSTILE)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | TEXTS
    | st.binary(max_size=20)
    | st.just(datetime(2026, 1, 2, tzinfo=UTC))
    | st.uuids()
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
MANAGERS = [SessionManager(KEY), SessionManager(store=MemoryStore()), SessionManager(KEY, revocations=MemoryStore())]
COOKIES = [
    "session",
    f"session={token_of({'a': 1})}",
    f"session={token_of({'<b>': '</td>'}, 'some other key of nobody, 0123')}",
    f"session={signed(b'</pre>')}",
    f"session={signed(b'{}', 2**62)}",
    "session=eyJhIjoxfQ.gAAAAAAAAAA.x",
    f"session={'A' * 43}",
    *(f"session={text}" for text in HOSTILE),
    *(f"{text}=1" for text in HOSTILE),
]


def read(sessions: SessionManager, header: str, **environ: str) -> Page:
    app = SessionMiddleware(SessionInspector(page(), debug=True), sessions=sessions)
    environ = {"REMOTE_ADDR": "127.0.0.1", **environ}
    answer = visit(app, "/_session", header, **environ)
    assert answer.status == "200 OK"
    found = Page(answer.body)
    assert {tag.name for tag in found.tags} <= TAGS
    names = {name for tag in found.tags for name in tag.attributes}
    assert not [name for name in names if name.startswith("on") or name in ("style", "src")]
    assert [tag.attributes["href"] for tag in found.all("a")] == ["#main", "/_session"]
    assert found.text.isprintable()
    return found


@given(st.dictionaries(TEXTS, VALUES, max_size=6), st.sampled_from(MANAGERS))
@settings(max_examples=50, deadline=None)
def test_any_session_data_are_shown_as_text(data: dict[str, Any], sessions: SessionManager) -> None:
    client = Client(sessions)
    try:
        client.do(lambda session: session.update(data))
    except (NotSerializable, CookieTooLarge):
        assume(False)
    found = read(sessions, client.cookie)
    heads = {" ".join(row[0].split()) for table in found.all("table") for row in table.rows}
    assert {" ".join(shown_key(key).split()) for key in client.data()} <= heads


@given(st.lists(st.sampled_from(COOKIES) | st.text(max_size=60), max_size=6).map("; ".join), st.sampled_from(MANAGERS))
@settings(max_examples=50, deadline=None)
def test_any_cookie_header_gives_a_page(header: str, sessions: SessionManager) -> None:
    read(sessions, header)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_principal_and_a_label_are_shown_as_text(text: str) -> None:
    assume_bytes = text.encode("utf-8", "replace").decode()
    client = Client(MANAGERS[1])
    client.do(
        lambda session: (setattr(session, "principal", assume_bytes), setattr(session, "label", assume_bytes[:200]))
    )
    assert read(MANAGERS[1], client.cookie).facts("session")["Label"] == " ".join(quoted(assume_bytes[:200]).split())


@pytest.mark.parametrize("script", ["", "/<b>", "/\xff", "/\udc80", '/"onclick="x', "//evil.example", "/\\a.example"])
def test_any_mount_point_is_quoted(script: str) -> None:
    app = SessionMiddleware(SessionInspector(page(), debug=True), KEY)
    environ = {"REMOTE_ADDR": "127.0.0.1", "SCRIPT_NAME": script}
    link = Page(visit(app, "/_session", **environ).body).all("a")[-1].attributes["href"]
    assert link is not None
    assert link.isascii()
    assert not set('<>"\\') & set(link)
    assert not link.startswith("//")
    assert visit(app, "/_session/x", **environ).status == "404 Not Found"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain Zoë 漢字 😀", "plain Zoë 漢字 😀"),
        ("a\nb\tc\x00", r"a\nb\tc\x00"),
        ("\u202eabc\u2066", r"\u202eabc\u2066"),
        ("a\u200bb\u00a0c\ufeff", r"a\u200bb\xa0c\ufeff"),
        ("\ud800", r"\ud800"),
        ("\U000e0001", r"\U000e0001"),
        ("x" * 300, "x" * 240 + "… and 60 more characters"),
    ],
)
def test_every_character_can_be_seen(text: str, seen: str) -> None:
    assert shown(text) == seen


@pytest.mark.parametrize(
    ("key", "seen"), [("a", "a"), ("a b", "a b"), ("", '""'), (" ", '" "'), ("a ", '"a "'), ("a  b", '"a  b"')]
)
def test_a_key_of_blanks_is_seen(key: str, seen: str) -> None:
    assert shown_key(key) == seen


@pytest.mark.parametrize(
    ("text", "seen"),
    [("a", '"a"'), ('"\\n', r'"\"\\n"'), ("\n", r'"\n"'), ("x" * 241, '"' + "x" * 240 + '…" and 1 more character')],
)
def test_a_literal_tells_a_backslash_from_an_escape(text: str, seen: str) -> None:
    assert quoted(text) == seen
