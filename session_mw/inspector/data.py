"""What is in a session: the application's data, and what is kept beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from xml.etree.ElementTree import Element

from session_mw.backends.explanation import STORED, Candidate
from session_mw.csrf import CSRF_KEY
from session_mw.flash import FLASHES_KEY
from session_mw.inspector.html import Child, element, quoted
from session_mw.inspector.layout import card, code, row, table
from session_mw.inspector.values import MOST_ROWS, Row, costs, rows, size_of_item
from session_mw.login.facts import AGENT, AT, UNTIL, VERSION
from session_mw.login.flask_login import CLIENT, FRESH, USER_ID
from session_mw.state import COMPANION, CREATED, LABEL, LIFETIME, PRINCIPAL, SID, SIGNER, SINCE

KEPT: Mapping[str, str] = {
    "_permanent": "session.permanent: the cookie outlives the browser",
    FLASHES_KEY: "flash: messages for the next page that shows them",
    CSRF_KEY: "csrf_token: the secret of this session's forms",
    USER_ID: "log-in: whose it is, in Flask-Login's words",
    FRESH: "log-in: whether the password was given in this session",
    CLIENT: "log-in: a hash of address and User-Agent, Flask-Login's",
    AT: "log-in: when the password was given last",
    VERSION: "log-in: a digest of the user's session_version",
    AGENT: "log-in: a digest of the User-Agent",
    UNTIL: "log-in: until when the device is remembered",
    CREATED: "session.created: when it began",
    PRINCIPAL: "session.principal: whose it is",
    LABEL: "session.label: what a list of sessions calls it",
    LIFETIME: "session.lifetime: a lifetime of its own, in seconds",
    SID: "session.id, or what that begins with: by which it can be ended",
    SIGNER: "session.device_bound: a name to bind it by and, once it is bound, the device's public key",
    SINCE: "since when it is, for endings of all sessions",
    COMPANION: "log-in: the record of the device, which ends with it",
}
"""The keys that the package and Flask's extensions keep in a session, and what for."""

_SHORT = 24
"""Characters of key and value that have room beside each other on a narrow screen."""
_MOST_TOLD = 4
"""Keys above a row that it tells those who do not see how far it is moved in."""
_MOST_DEPTH = 8
"""Steps by which a row is moved in at most; below that it only says where it stands."""


def data_cards(one: Candidate, level: int, suffix: str) -> Iterator[Element]:
    """The data as a tree; then what is kept beside them, if there is anything."""
    contents = one.contents
    if contents is None:
        return
    if contents.data is None:
        content = element("pre", code(quoted(contents.payload.decode("latin-1"))))
        note = "This is not a session. It begins with:"
        yield card("What is in it", content, name=f"data{suffix}", level=level, note=note)
        return
    saved = costs(one, contents)
    place = "Record" if one.form == STORED else "Cookie"
    own = {key: value for key, value in contents.data.items() if key not in KEPT}
    beside = {**contents.data, **contents.metadata}
    beside = {key: beside[key] for key in sorted(beside) if key not in own}
    is_claim = one.form != STORED and contents.key is None and one.setting is None
    notes = ["No key stands behind this: anybody can have written it."] if is_claim else []
    if saved:
        notes.append(
            f"JSON: its bytes as text. {place}: bytes by which the {place.lower()} would be shorter without it."
        )
    yield card(
        "What it claims to hold" if is_claim else "What is in it",
        _tree("The data of the session", own, saved, place) if own else element("p", "Nothing of the application's."),
        name=f"data{suffix}",
        level=level,
        note=" ".join(notes),
    )
    if beside:
        yield card(
            "Kept beside it",
            _tree("What is kept beside the data", beside, saved, place),
            name=f"beside{suffix}",
            level=level,
            note="By this package, and by extensions of Flask.",
        )


def _tree(caption: str, data: Mapping[str, Any], saved: Mapping[str, int], place: str) -> Element:
    body: list[Element] = []
    for key, value in data.items():
        for number, one in enumerate(rows(key, value)):
            if len(body) >= MOST_ROWS:
                more = row("…", "and more, which would make this page too long", "", "")
                return table(caption, ("Key", "Value", "JSON", place), [*body, more], "tree")
            if number:
                body.append(_row(one, _number(one.size), "", None))
            else:
                cost = saved.get(key)
                body.append(_row(one, _number(size_of_item(key, value)), _number(cost), KEPT.get(key)))
    return table(caption, ("Key", "Value", "JSON", place), body, "tree")


def _row(one: Row, size: str, cost: str, purpose: str | None) -> Element:
    depth = len(one.path) - 1
    around = one.path[max(0, depth - _MOST_TOLD) : depth]
    where = element("span", f" in {', '.join(around)}", class_="unseen") if around else None
    key: Child = element("span", code(one.path[-1]), where, class_=f"key d{min(depth, _MOST_DEPTH)}")
    value = element(
        "div",
        element("bdi", one.value, class_="value" if not one.is_container else "value container"),
        element("span", f" {one.kind}", class_="kind") if one.kind else None,
        element("span", purpose, class_="purpose") if purpose else None,
    )
    is_short = len(one.path[-1]) + len(one.value) <= _SHORT and not purpose
    return row(key, value, size, cost, class_=f"{'' if depth else 'top '}{'short' if is_short else 'long'}")


def _number(size: int | None) -> str:
    return "" if size is None else f"{size:,}"
