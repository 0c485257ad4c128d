"""The first thing on the page: whether the cookie is accepted; if not, why, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple
from xml.etree.ElementTree import Element

from session_mw.backends.explanation import NOWHERE, STORED, Candidate
from session_mw.cookies import MAX_COOKIE, MAX_HEADER
from session_mw.inspector.data import KEPT
from session_mw.inspector.facts import key_in_words
from session_mw.inspector.html import Child, element, plural, shown
from session_mw.inspector.layout import Request, code, from_now, moment
from session_mw.inspector.reasons import NOTICED, REFUSED, Reason

_TOO_LONG = Reason(
    "The Cookie header is too long",
    f"It has more than {MAX_HEADER:,} bytes, and nothing is looked for in it. Many servers refuse it even before.",
    "Delete this site's cookies in the browser, and find out who sets so many.",
)
_ABSENT = Reason(
    "No session cookie came",
    "Nothing has been written to the session yet, so that there is no cookie; or it ended with the browser, or its "
    "time; or the browser did not keep it.",
    "Open a page that writes to the session, and look again. If there is none then, look at the Set-Cookie of that "
    "page's response in the browser's developer tools.",
)


_SHORT = 24
"""Characters of a key that are shown in a list of keys."""


class Verdict(NamedTuple):
    """What the page says first."""

    state: str
    """``accepted``, ``refused`` or ``absent``."""
    title: str
    sentence: Child
    reason: Reason | None = None
    """Why nothing is accepted."""


def verdict_of(request: Request) -> Verdict:
    """The verdict on a request."""
    explained, name = request.explanation, request.sessions.cookie_name
    found, accepted = explained.candidates, explained.accepted
    if explained.kind == NOWHERE:
        return _refused("no_key", "The application sees an empty session.")
    if explained.is_too_long:
        sentence = f"{_TOO_LONG.title}: {len(explained.header):,} bytes. The application sees an empty session."
        return Verdict("refused", "Refused", sentence, _TOO_LONG)
    if not found:
        return Verdict("absent", _ABSENT.title, _named("The request has no cookie named ", name), _ABSENT)
    if accepted is not None:
        others = len(found) - 1
        beside = f" {plural(others, 'other cookie')} of the name came beside it." if others else ""
        how = _named("The cookie ", name, f" {_opened(accepted, explained.kind)}.{beside}")
        return Verdict("accepted", "Accepted", how)
    if explained.failure is not None:
        return _refused("unavailable", f"It said: {shown(str(explained.failure))}")
    reasons = {one.reason for one in found}
    if len(reasons) == 1:
        said = _in_this_case(found[0], request) if len(found) == 1 else ""
        return _refused(reasons.pop(), f"{said}The application sees an empty session.")
    how = _named(f"{len(found):,} cookies named ", name, " came, each refused for a reason of its own, which is below.")
    return Verdict("refused", "Refused", how)


def _refused(word: str, then: str) -> Verdict:
    reason = REFUSED[word]
    title = {"unavailable": "Not known", "no_key": "Nothing is kept"}.get(word, "Refused")
    return Verdict("refused", title, element("span", f"{reason.title} (", code(word), f"). {then}"), reason)


def _in_this_case(one: Candidate, request: Request) -> str:
    """What the reason comes down to for one cookie."""
    contents = one.contents
    if one.setting is not None:
        return f"But it is authentic {one.setting}. "
    if one.reason == "expired" and one.idle_end is not None:
        end = one.idle_end if one.absolute_end is None else min(one.idle_end, one.absolute_end)
        return f"It ended {from_now(end, request.now)}. "
    if one.reason == "future" and contents is not None and contents.written is not None:
        return f"By this server's clock that is {from_now(contents.written, request.now)}. "
    return ""


def verdict_section(verdict: Verdict, request: Request) -> Element:
    """The verdict, with what matters most of an accepted session."""
    accepted = request.explanation.accepted
    return element(
        "section",
        _sign(verdict.state),
        element("h2", verdict.title, id="verdict"),
        element("p", verdict.sentence, class_="lead"),
        *_warnings(request),
        reason_block(verdict.reason) if verdict.reason else None,
        element("dl", *_tiles(accepted, request), class_="tiles") if accepted else None,
        class_=f"verdict {verdict.state}",
        aria_labelledby="verdict",
    )


def reason_block(reason: Reason) -> Element:
    """Why, and what to do."""
    return element(
        "dl",
        element("div", element("dt", "Why"), element("dd", reason.cause)),
        element("div", element("dt", "What to do"), element("dd", reason.remedy)),
        class_="reason",
    )


def _named(before: str, name: str, after: str = ".") -> Element:
    return element("span", before, code(name), after)


def _opened(one: Candidate, kind: str) -> str:
    if one.contents is None or one.contents.key is None:
        return "is the id of a session that the store has"
    if kind == STORED:
        return f"is the id of a session that the store has, encrypted with {key_in_words(one.contents.key)}"
    return f"was {kind} with {key_in_words(one.contents.key)}"


def _tiles(one: Candidate, request: Request) -> Iterator[Element]:
    contents = one.contents
    keys = [] if contents is None or contents.data is None else [key for key in contents.data if key not in KEPT]
    names = [shown(key[:_SHORT]) + "…" * (len(key) > _SHORT) for key in keys[:4]] + ["…"] * (len(keys) > 4)
    yield _tile("In it", plural(len(keys), "key"), ", ".join(names) or "nothing of the application's")
    size = len(request.sessions.cookie_name) + len(one.value)
    if one.record is None:
        yield _tile("Size", plural(size, "byte"), f"{size / MAX_COOKIE:.0%} of what a browser keeps")
    else:
        yield _tile("Size", plural(len(one.record.data), "byte"), f"in the store; the cookie has {size}")
    if one.idle_end is not None:
        end = one.idle_end if one.absolute_end is None else min(one.idle_end, one.absolute_end)
        yield _tile("Ends", from_now(end, request.now), element("span", moment(end), " UTC"))


def _tile(name: str, value: str, below: Child) -> Element:
    return element(
        "div", element("dt", name), element("dd", element("strong", value), element("span", below, class_="below"))
    )


def _warnings(request: Request) -> Iterator[Element]:
    for notice in request.explanation.notices:
        title = NOTICED[notice.reason].title
        text = shown(f" {notice.text[0].upper()}{notice.text[1:]}.", 1000)
        yield element("p", element("strong", f"{title}."), text, class_="warning")


_SIGNS = {
    "accepted": "M7 12.5l3.2 3.2L17 9",
    "refused": "M8.5 8.5l7 7M15.5 8.5l-7 7",
    "absent": "M7.5 12h9",
}


def _sign(state: str) -> Element:
    """A tick, a cross or a dash in a disc; the words beside it say the same."""
    return element(
        "svg",
        element("circle", cx=12, cy=12, r=12),
        element("path", d=_SIGNS[state]),
        class_="sign",
        viewBox="0 0 24 24",
        width=44,
        height=44,
        focusable="false",
        aria_hidden="true",
    )
