"""The token as it travelled, and how full its cookie is."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from session_mw.backends.explanation import ENCRYPTED, SIGNED, STORED, Candidate
from session_mw.codecs.signed import parts_of
from session_mw.commands.report import date
from session_mw.cookies import MAX_COOKIE
from session_mw.inspector.figures import fill_bar
from session_mw.inspector.html import Child, element, plural, shown
from session_mw.inspector.layout import Request, card, row, table
from session_mw.notices import LARGE_COOKIE

_SEALS = ("signature", "tag")


def token_card(one: Candidate, request: Request, level: int, suffix: str) -> Element:
    """The value, its parts in colours, with what each of them is and how many of the 4096 bytes they take."""
    parts = _parts(one)
    spans: list[Child] = []
    for number, (name, text, _) in enumerate(parts):
        spans += [element("span", ".", class_="dot")] if number and one.form == SIGNED else []
        spans.append(element("span", shown(text, MAX_COOKIE), class_=f"part {name}"))
    legend = [
        row(
            element("span", element("span", class_=f"swatch {name}", aria_hidden="true"), name),
            plural(len(text), "character"),
            meaning,
        )
        for name, text, meaning in parts
    ]
    cookie_name = request.sessions.cookie_name
    size = len(cookie_name) + len(one.value)
    large = ", more than some proxies let through" if size > LARGE_COOKIE else ""
    dots = 2 if one.form == SIGNED else 0
    return card(
        f"The {'token' if one.form else 'value'}, as it travelled",
        element(
            "div",
            element("code", *spans, class_="token"),
            class_="scroll",
            role="region",
            aria_label=f"The whole token{suffix.replace('-', ' ')}",
            tabindex=0,
        ),
        table("The parts of the token", ("Part", "Length", "What it is"), legend, "legend"),
        element(
            "p",
            element("strong", f"{size:,} of {MAX_COOKIE:,} bytes"),
            f" that a browser keeps, with the cookie's name{large}.",
            class_="size",
        ),
        fill_bar([("name", len(cookie_name)), *((name, len(text)) for name, text, _ in parts), ("dots", dots)]),
        name=f"token{suffix}",
        level=level,
    )


def _parts(one: Candidate) -> list[tuple[str, str, str]]:
    """Name, text and meaning of each part of a value."""
    value, contents = one.value, one.contents
    if one.form == SIGNED:
        payload, timestamp, signature = parts_of(value)
        packed = ", compressed by zlib" if payload.startswith(".") else ""
        at = "" if contents is None or contents.written is None else f": {date(contents.written)}"
        return [
            ("payload", payload, f"the session as JSON{packed}, in base64. Anybody can read it"),
            ("timestamp", timestamp, f"when it was signed{at}"),
            ("signature", signature, "only who has the key can make it"),
        ]
    if one.form == ENCRYPTED:
        from session_mw.codecs import encrypted  # needs a package that is there where sessions are encrypted

        head, salt, ciphertext, tag = encrypted.parts_of(value)
        return [
            ("head", head, "the format's version, and which key it is"),
            ("salt", salt, "random: each token has a key of its own"),
            ("payload", ciphertext, "the session as JSON and its times, encrypted with AES-256-GCM"),
            ("signature", tag, "the tag: only who has the key can make it"),
        ]
    if one.form == STORED:
        return [("random", value, "an id that nobody can guess. The session itself is in the store")]
    return [("value", value, "nothing that this application has made")]
