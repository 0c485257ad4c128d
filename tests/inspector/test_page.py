"""What the inspector's page says about a cookie."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest

from session_mw import MemoryStore, Session, SessionManager, SessionMiddleware, notices
from session_mw.backends.explanation import REASONS
from session_mw.backends.payload import METADATA
from session_mw.csrf import csrf_token
from session_mw.flash import flash
from session_mw.inspector import SessionInspector
from session_mw.inspector.data import KEPT
from session_mw.inspector.reasons import NOTICED, REFUSED
from support.logins import Site
from support.pages import Page
from support.refusals import REFUSALS
from support.tokens import KEY, NOW, OTHER_KEY, noise, signed, token_of
from support.visitors import Client
from support.wsgi import page, visit

DAY = 86400


def shown(sessions: SessionManager, header: str | None = None, **environ: Any) -> Page:
    """The page about a request with this Cookie header."""
    app = SessionMiddleware(SessionInspector(page(), debug=True), sessions=sessions)
    return Page(visit(app, "/_session", header, REMOTE_ADDR="127.0.0.1", **environ).body)


def begun(sessions: SessionManager, do: Callable[[Session], object]) -> Page:
    """The page for one who has a session."""
    client = Client(sessions)
    client.do(do)
    return shown(sessions, client.cookie)


def rows(page: Page, name: str = "data") -> dict[str, list[str]]:
    """The rows of a tree, by their keys."""
    return {row[0]: row[1:] for row in page.table(name)}


def tiles(page: Page) -> dict[str, str]:
    """What the verdict shows in large type, by its name."""
    section = page.section("verdict")
    return {
        name.text: " ".join(value.text.split())
        for name, value in zip(section.all("dt"), section.all("dd"), strict=True)
    }


# The verdict


def test_without_a_cookie_it_says_that_none_came() -> None:
    found = shown(SessionManager(KEY), "theme=dark; SESSION=a")
    assert found.by_id("verdict").text == "No session cookie came"
    assert "theme, SESSION. Their values are not shown. Upper and lower case" in found.text
    assert "dark" not in found.section("others").text


def test_an_accepted_cookie_is_summed_up(now: Any) -> None:
    found = shown(SessionManager(KEY), f"session={token_of({'user': 'ann', 'cart': ['apple']})}")
    assert found.by_id("verdict").text == "Accepted"
    assert "The cookie session was signed with the current key (secret_key)." in found.text
    assert tiles(found) == {
        "In it": "2 keyscart, user",
        "Size": "84 bytes2% of what a browser keeps",
        "Ends": "in 31 days2023-12-15 22:13:20 UTC",
    }


@pytest.mark.parametrize("reason", REFUSALS)
def test_a_refused_cookie_is_explained_with_cause_and_remedy(reason: str) -> None:
    found = shown(*REFUSALS[reason]())
    told = REFUSED[reason]
    verdict = {"unavailable": "Not known", "no_key": "Nothing is kept"}.get(reason, "Refused")
    assert found.by_id("verdict").text == verdict
    for text in (told.title, told.cause, told.remedy):
        assert " ".join(text.split()) in " ".join(found.section("verdict").text.split())


def test_every_reason_is_explained_and_stands_in_the_table_of_all() -> None:
    assert list(REFUSED) == list(REASONS)
    assert set(NOTICED) == set(notices.REASONS)
    listed = [row[0] for table in shown(SessionManager(KEY)).section("reasons").all("table") for row in table.rows]
    assert listed == [*REFUSED, *NOTICED]


def test_every_key_that_the_package_keeps_is_explained() -> None:
    assert KEPT.keys() >= METADATA.keys()


@pytest.mark.parametrize(
    ("token", "words"),
    [
        (signed(b"{}", NOW - 40 * DAY), "It ended 9 days ago."),
        (signed(b"{}", NOW + 3600), "By this server's clock that is in 1 hour."),
        (token_of({"a": 1}, digest="sha256"), "But it is authentic with digest='sha256'."),
    ],
    # tokens have the time in them: workers would not see the same tests
    ids=["expired", "future", "another digest"],
)
def test_the_refusal_says_what_it_comes_down_to(token: str, words: str, now: Any) -> None:
    assert words in shown(SessionManager(KEY), f"session={token}").section("verdict").text


def test_several_cookies_are_told_one_by_one() -> None:
    header = f"session=junk; session={token_of({'a': 1})}; session={token_of({'b': 2}, OTHER_KEY)}"
    found = shown(SessionManager(KEY), header)
    assert found.by_id("verdict").text == "Accepted"
    assert "2 other cookies of the name came beside it" in found.text
    titles = [found.by_id(f"cookie-{number}").text for number in (1, 2, 3)]
    assert titles == [
        "Cookie 1 of 3: refused (malformed)",
        "Cookie 2 of 3: accepted",
        "Cookie 3 of 3: refused (bad_signature)",
    ]
    assert REFUSED["malformed"].cause in " ".join(found.section("cookie-1").text.split())
    assert rows(found, "data-2")["a"][0] == "1 int"
    assert found.by_id("data-3").text == "What it claims to hold"


def test_more_cookies_than_are_tried_are_counted() -> None:
    header = "; ".join(f"session={token_of({'n': n})}" for n in range(12))
    assert "And 4 more cookies of this name." in shown(SessionManager(KEY), header).text


def test_a_header_that_is_too_long_is_told() -> None:
    found = shown(SessionManager(KEY), f"session={token_of({'a': 1})}; x=" + "x" * 70000)
    assert "The Cookie header is too long: 70,0" in found.section("verdict").text


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"cookie_domain": "example.com"},
            "Its Domain is not that of the page. The session cookie has Domain=example.com",
        ),
        ({"cookie_path": "/app"}, "The page is outside of its Path. The session cookie has Path=/app"),
    ],
)
def test_what_keeps_the_cookie_from_coming_is_told(settings: dict[str, Any], words: str) -> None:
    assert words in shown(SessionManager(KEY, **settings)).section("verdict").text


# The token


def test_a_signed_token_stands_there_as_it_travelled_in_three_parts(now: Any) -> None:
    token = token_of({"a": "x" * 200, "b": [1]})
    found = shown(SessionManager(KEY), f"session={token}")
    code = found.section("token").all("code")[0]
    assert code.text == token
    parts = [tag for tag in code.children if tag.attributes["class"] != "dot"]
    assert ".".join(part.text for part in parts) == token
    assert [tag.attributes["class"] for tag in parts] == ["part payload", "part timestamp", "part signature"]
    assert [row[:2] for row in found.table("token")] == [
        ["payload", f"{len(parts[0].text)} characters"],
        ["timestamp", "6 characters"],
        ["signature", "27 characters"],
    ]
    assert "compressed by zlib" in found.section("token").text
    assert "2023-11-14 22:13:20 UTC" in found.section("token").text


def test_an_encrypted_token_has_parts_of_its_own() -> None:
    token = token_of({"a": 1}, encrypt=True)
    found = shown(SessionManager(KEY, encrypt=True), f"session={token}")
    code = found.section("token").all("code")[0]
    assert code.text == token
    assert [tag.attributes["class"] for tag in code.children] == [
        "part head",
        "part salt",
        "part payload",
        "part signature",
    ]
    assert [len(tag.text) for tag in code.children][:2] == [7, 21]
    assert rows(found)["a"][0] == "1 int"
    assert found.facts("session")["Kept in"] == "an encrypted cookie (AES-256-GCM)"


def test_the_bar_has_the_parts_the_mark_and_the_limit() -> None:
    token = token_of({"a": noise(2000)})
    found = shown(SessionManager(KEY), f"session={token}")
    size = len("session") + len(token)
    section = found.section("token")
    assert f"{size:,} of 4,096 bytes" in section.text
    bar, scale = section.all("svg")
    widths = [float(rectangle.attributes["width"].rstrip("%")) for rectangle in bar.all("rect")]
    assert sum(widths) == pytest.approx(size / 4096 * 100, abs=0.05)
    assert bar.all("line")[0].attributes["x1"] == "85.45%"
    assert [text.text for text in scale.all("text")] == ["0", "3.5 kB", "4096"]


def test_a_large_cookie_is_told() -> None:
    found = shown(SessionManager(KEY, encrypt=True), f"session={token_of({'a': noise(2700)}, encrypt=True)}")
    assert "more than some proxies let through" in found.text
    assert NOTICED["size"].title in found.section("verdict").text


# The data


def test_the_data_are_a_tree_with_types_and_sizes() -> None:
    seen = datetime(2026, 1, 2, tzinfo=UTC)
    data = {"cart": [{"id": 7, "tags": ("a",)}], "name": "Zoë", "on": True, "seen": seen, "raw": b"\xff", "none": None}
    found = begun(SessionManager(KEY), lambda s: s.update(data))
    assert {key: row[0] for key, row in rows(found).items()} == {
        "cart": "list of 1 item",
        "0 in cart": "dict of 2 keys",
        "id in cart, 0": "7 int",
        "tags in cart, 0": "tuple of 1 item",
        "0 in cart, 0, tags": '"a" str',
        "name": '"Zoë" str',
        "on": "True bool",
        "seen": "2026-01-02 00:00:00+00:00 datetime",
        "raw": '"ÿ" bytes',
        "none": "None NoneType",
    }
    assert rows(found)["on"][1] == str(len('"on":true'))
    assert rows(found)["id in cart, 0"][1:] == ["1", ""]


@pytest.mark.parametrize("settings", [{}, {"encrypt": True}, {"store": MemoryStore()}])
def test_a_key_costs_what_the_cookie_or_record_would_be_shorter(settings: dict[str, Any]) -> None:
    sessions = SessionManager(KEY, **settings)
    sizes = []
    for data in ({"big": noise(600), "small": 1}, {"small": 1}):
        client = Client(sessions)
        client.do(lambda s, data=data: s.update(data))
        found = shown(sessions, client.cookie)
        record = None if sessions.store is None else sessions.store.load(client.key)
        sizes.append((len(client.token) if record is None else len(record.data), rows(found)))
    cost = int(sizes[0][1]["big"][2].replace(",", ""))
    assert abs(cost - (sizes[0][0] - sizes[1][0])) <= 1


def test_costs_are_left_out_where_it_would_take_long_to_learn_them() -> None:
    sessions = SessionManager(store=MemoryStore())
    for count, is_told in ((40, True), (50, False)):
        client = Client(sessions)
        client.do(lambda session, count=count: session.update({f"k{number}": "x" * 1000 for number in range(count)}))
        found = rows(shown(sessions, client.cookie))
        assert found["k0"][1:] == ["1,007", "1,008" if is_told else ""]


def test_secrets_are_masked_and_what_libraries_keep_stands_apart() -> None:
    def fill(session: Session) -> None:
        csrf_token(session)
        flash(session, "saved", "success")
        session.update(user="ann", wtf={"csrf_token": "hunter2"}, XSRF={"keys": ["hunter2"]})
        session.permanent, session.principal, session.label = True, "42", "Firefox"

    client = Client(SessionManager(KEY))
    client.do(fill)
    found = shown(client.sessions, client.cookie)
    secret = client.data()["_csrf_token"]
    assert secret not in found.text
    assert "hunter2" not in found.text
    assert list(rows(found)) == ["XSRF", "keys in XSRF", "0 in XSRF, keys", "user", "wtf", "csrf_token in wtf"]
    beside = rows(found, "beside")
    assert {"_csrf_token", "_flashes", "_permanent", "_principal", "_label"} <= beside.keys()
    assert beside["_csrf_token"][0].startswith("•••••• 44 characters, not shown")
    assert beside["1 in _flashes, 0"][0] == '"saved" str'
    assert found.facts("session")["Principal"] == '"42"'
    assert found.facts("session")["Label"] == '"Firefox"'


def test_no_key_is_ever_shown() -> None:
    store = SessionManager(KEY, secret_key_fallbacks=[OTHER_KEY], store=MemoryStore(), store_encryption=True)
    client = Client(store)
    client.do(lambda s: s.update(a=1))
    for sessions, header in [(store, client.cookie), *(build() for build in REFUSALS.values())]:
        text = visit(
            SessionMiddleware(SessionInspector(page(), debug=True), sessions=sessions),
            "/_session",
            header,
            REMOTE_ADDR="127.0.0.1",
        ).body.decode()
        assert KEY not in text
        assert OTHER_KEY not in text


def test_what_nobody_has_verified_is_called_a_claim() -> None:
    found = shown(SessionManager(KEY), f"session={token_of({'admin': True}, OTHER_KEY)}")
    assert found.by_id("data").text == "What it claims to hold"
    assert "anybody can have written it" in found.section("data").text
    assert found.facts("session")["Key"] == "none of this application's"
    assert not [tag for tag in found.tags if tag.attributes.get("id") == "time"]


def test_authentic_content_that_is_no_session_is_shown() -> None:
    found = shown(SessionManager(KEY), f"session={signed(b'[1,2]', int(time.time()))}")
    assert "This is not a session. It begins with:" in found.section("data").text
    assert '"[1,2]"' in found.section("data").text


def test_a_page_about_much_data_is_no_longer_than_it_has_to_be() -> None:
    found = begun(SessionManager(KEY), lambda s: s.update(many=[0] * 20000, text="x" * 90000))
    assert "and more, which would make this page too long" in found.text
    assert len(found.text) < 40_000


# Its time, and what it is


def test_the_time_line_has_beginning_signing_now_and_ends(now: Any) -> None:
    client = Client(SessionManager(KEY, lifetime=10 * DAY, absolute_lifetime=30 * DAY))
    client.do(lambda s: s.update(a=1))
    now.advance(2 * DAY)
    client.do(lambda s: s.update(a=2))
    now.advance(3600)
    found = shown(client.sessions, client.cookie)
    assert found.table("time") == [
        ["Began", "2023-11-14 22:13:20", "2 days 1 hour ago"],
        ["Signed", "2023-11-16 22:13:20", "1 hour ago"],
        ["Now", "2023-11-16 23:13:20", "now"],
        ["Ends if unused", "2023-11-26 22:13:20", "in 9 days 23 hours"],
        ["Ends anyway", "2023-12-14 22:13:20", "in 27 days 23 hours"],
    ]
    line = found.section("time").all("svg")[0]
    places = [float(mark.attributes["cx"].rstrip("%")) for mark in line.all("circle")]
    assert places == sorted(places)
    assert (places[0], places[-1]) == (2, 98)


def test_a_stored_session_shows_its_record(now: Any) -> None:
    def fill(session: Session) -> None:
        session.update(a=1)
        session.principal, session.label = "42", "Firefox"

    store = MemoryStore()
    client = Client(SessionManager(store=store))
    client.do(fill)
    found = shown(client.sessions, client.cookie)
    record = store.load(client.key)
    assert record is not None
    assert found.facts("session") == {
        "Kept in": "a store, MemoryStore",
        "Key": "none: the token cannot be guessed",
        "Record": client.key,
        "Version": str(record.version),
        "Size of the record": f"{len(record.data)} bytes",
        "Principal": '"42"',
        "Label": '"Firefox"',
        "Permanent": "no: until the browser is closed",
        "Bound to a device": "no",
        "Can be ended": "yes: its record is deleted",
    }
    assert [row[0] for row in found.table("time")] == ["Began", "Last used", "Now", "Ends if unused"]
    assert client.token in found.text


def test_revocations_are_told_with_the_id() -> None:
    client = Client(SessionManager(KEY, revocations=MemoryStore()))
    client.do(lambda s: s.update(a=1))
    facts = shown(client.sessions, client.cookie).facts("session")
    assert facts["Can be ended"] == "yes: revocations remembers which have ended"
    assert facts["Id"] == client.open().id


def test_the_id_of_a_remembered_session_is_whole() -> None:
    site = Site(settings={"revocations": MemoryStore()})
    browser = site.browser()
    browser.get("/in-remember")
    facts = shown(site.sessions, f"session={browser.jar['session']}").facts("session")
    assert facts["Id"] == site.session_id(browser)


def test_the_attributes_are_those_of_the_cookie_that_is_set(now: Any) -> None:
    sessions = SessionManager(KEY, cookie_name="__Host-s", cookie_samesite="None", cookie_partitioned=True)
    client = Client(sessions)
    client.do(lambda s: s.update(a=1, _permanent=True))
    found = shown(sessions, client.cookie, **{"wsgi.url_scheme": "https"})
    line = found.section("cookie").all("p")[-1].text
    assert line == (
        "Set-Cookie: __Host-s=…; Expires=Fri, 15 Dec 2023 22:13:20 GMT; Path=/; Secure; HttpOnly; SameSite=None; "
        "Partitioned"
    )
    facts = found.facts("cookie")
    assert facts["Secure"].startswith("yes sent over https only")
    assert facts["Expires"] == "2023-12-15 22:13:20 UTC"
    assert (facts["SameSite"], facts["HttpOnly"]) == ("None sent from all sites", "yes out of reach of scripts")


# For everybody


def test_headings_are_in_order_and_landmarks_are_there() -> None:
    for found in (shown(SessionManager(KEY)), shown(*REFUSALS["ambiguous"]())):
        levels = [int(tag.name[1]) for tag in found.tags if tag.name in ("h1", "h2", "h3", "h4")]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(later <= earlier + 1 for earlier, later in pairwise(levels))
        assert [tag.name for tag in found.tags if tag.name in ("header", "main", "footer")] == [
            "header",
            "main",
            "footer",
        ]
        for table in found.all("table"):
            assert table.all("caption")[0].text
            assert {head.attributes["scope"] for head in table.all("th")} == {"col", "row"}
        labels = [tag.attributes["aria-labelledby"] for tag in found.all("section")]
        assert all(found.by_id(label or "").text for label in labels)


def test_nothing_comes_from_elsewhere_and_nothing_is_run() -> None:
    found = shown(*REFUSALS["ambiguous"]())
    assert not {"script", "link", "img", "form", "iframe", "object", "base"} & {tag.name for tag in found.tags}
    names = {name for tag in found.tags for name in tag.attributes}
    assert not names & {"style", "src", "srcset", "action", "xlink:href"}
    assert not [name for name in names if name.startswith("on")]
    assert "url(" not in found.all("style")[0].text
    assert "@import" not in found.all("style")[0].text
