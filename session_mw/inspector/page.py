"""The inspector's page, from top to bottom."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from hashlib import sha256
from importlib.resources import files
from typing import Any
from urllib.parse import quote
from xml.etree.ElementTree import Element

from session_mw.backends.explanation import Candidate
from session_mw.cookies import MAX_CANDIDATES
from session_mw.inspector.data import data_cards
from session_mw.inspector.facts import cookie_card, session_card, time_card
from session_mw.inspector.html import Child, document, element, plural, shown
from session_mw.inspector.layout import Request, code, moment, row, table
from session_mw.inspector.reasons import NOTICED, REFUSED
from session_mw.inspector.token import token_card
from session_mw.inspector.verdict import reason_block, verdict_of, verdict_section
from session_mw.manager import SessionManager

_STYLE = files("session_mw.inspector").joinpath("style.css").read_text(encoding="utf-8")
CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
"""Nothing but the page's own stylesheet (CSP3); a page of the same origin may show it in a frame."""

_MOST_NAMES = 20


def page(sessions: SessionManager, environ: Mapping[str, Any], address: str) -> str:
    """The page about the session cookies of a request.

    Args:
        sessions: The manager that judges them.
        environ: The request's.
        address: The page's own path.
    """
    request = Request(sessions, environ, sessions.explain(environ), int(time.time()))
    found, verdict = request.explanation.candidates, verdict_of(request)
    main = element(
        "main",
        verdict_section(verdict, request),
        *(_about(found[0], request) if len(found) == 1 else [*_about_each(request), cookie_card(request)]),
        _other_cookies(request),
        _every_reason(),
        id="main",
    )
    return document(
        element(
            "html",
            element(
                "head",
                element("meta", charset="utf-8"),
                element("meta", name="viewport", content="width=device-width, initial-scale=1"),
                element("meta", name="color-scheme", content="light dark"),
                element("title", f"{verdict.title} – Session inspector"),
                element("style", _STYLE),
            ),
            element("body", _header(request, address), main, _footer(request)),
            lang="en",
        )
    )


def _header(request: Request, address: str) -> Element:
    bars = [
        element("rect", class_=name, x=x, y=y, width=5, height=20 - y, rx="2.5")
        for name, x, y in (("payload", 1, 2), ("timestamp", 8, 9), ("signature", 15, 5))
    ]
    host = request.environ.get("HTTP_HOST") or request.environ.get("SERVER_NAME", "")
    return element(
        "header",
        element("a", "To the verdict", href="#main", class_="skip"),
        element("svg", *bars, class_="brand", width=22, height=22, focusable="false", aria_hidden="true"),
        element("h1", "Session inspector"),
        element("p", shown(host, 60), class_="host"),
        element("a", "Look again", href=_link(address), class_="again"),
    )


def _link(address: str) -> str:
    """A path as a link: one that begins with two slashes would lead to another host (RFC 3986 §4.2)."""
    return quote("/" + address.lstrip("/"), encoding="latin-1", errors="replace")


def _about(one: Candidate, request: Request, number: int = 0) -> Iterator[Element]:
    """The sections about one cookie; where it is one of several, its number."""
    level, suffix = (3, f"-{number}") if number else (2, "")
    yield token_card(one, request, level, suffix)
    left = list(data_cards(one, level, suffix))
    times = time_card(one, request, level, suffix)
    right = [] if times is None else [times]
    for card in (session_card(one, request, level, suffix), None if number else cookie_card(request)):
        if card is not None:
            min(left, right, key=_length).append(card)
    yield element("div", *(element("div", *side) for side in (left, right) if side), class_="sides")


def _length(cards: list[Element]) -> int:
    """About how long cards are, one below the other: in rows, and a heading is as high as four.

    A purpose stands below its value, on two lines of its own.
    """
    return sum(
        4 + sum(1 for _ in card.iter("tr")) + sum(2 for one in card.iter("span") if one.get("class") == "purpose")
        for card in cards
    )


def _about_each(request: Request) -> Iterator[Element]:
    """A section for each of several cookies, and why it is refused where that is not said of all of them above."""
    found = request.explanation.candidates
    tells = len({one.reason for one in found}) > 1
    for number, one in enumerate(found[:MAX_CANDIDATES], 1):
        reason = REFUSED.get(one.reason)
        title = "accepted" if reason is None else f"refused ({one.reason})"
        name = f"cookie-{number}"
        yield element(
            "section",
            element("h2", f"Cookie {number} of {len(found):,}: {title}", id=name),
            reason_block(reason) if reason and tells else None,
            *_about(one, request, number),
            class_="one",
            aria_labelledby=name,
        )
    if len(found) > MAX_CANDIDATES:
        yield element("p", f"And {plural(len(found) - MAX_CANDIDATES, 'more cookie')} of this name.", class_="note")


def _other_cookies(request: Request) -> Element | None:
    """The names of the request's other cookies: one may be meant to be the session's."""
    own = request.sessions.cookie_name
    if request.explanation.is_too_long:
        return None
    names = [pair.partition("=")[0].strip(" \t") for pair in request.explanation.header.split(";")]
    others = [name for name in dict.fromkeys(names) if name not in ("", own)]
    if not others:
        return None
    children: list[Child] = []
    for name in others[:_MOST_NAMES]:
        children += [", " if children else None, code(shown(name, 60))]
    more = len(others) - _MOST_NAMES
    alike = [name for name in others if name.lower() == own.lower()]
    hint = " Upper and lower case make different names." if alike else ""
    return element(
        "section",
        element("h2", "Other cookies of this request", id="others"),
        element("p", *children, f" and {more:,} more." if more > 0 else ".", f" Their values are not shown.{hint}"),
        class_="card",
        aria_labelledby="others",
    )


def _every_reason() -> Element:
    """Every reason that there is, for those who look for another one than that of this request."""
    heads = ("Word", "What it means", "What to do")
    refused, noticed = (
        table(
            caption,
            heads,
            [
                row(code(word), element("div", element("strong", f"{one.title}."), f" {one.cause}"), one.remedy)
                for word, one in reasons.items()
            ],
            "reasons",
        )
        for caption, reasons in (("Why a cookie is refused", REFUSED), ("Why a cookie does not come back", NOTICED))
    )
    return element(
        "section",
        element("h2", "Every reason there is", id="reasons"),
        element("details", element("summary", "Why a cookie that came is refused"), refused),
        element("details", element("summary", "Why a cookie does not come back, or not as it was sent"), noticed),
        class_="card",
        aria_labelledby="reasons",
    )


def _footer(request: Request) -> Element:
    return element(
        "footer",
        element(
            "p",
            "This page is about the cookie that came with the request for it, at ",
            moment(request.now),
            " UTC. Looking changed nothing: the session was neither written nor refreshed. For development only.",
        ),
    )
