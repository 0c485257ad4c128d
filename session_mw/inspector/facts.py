"""When a session began and ends, what it is, and what its cookie is told."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element

from session_mw.backends.build import cookie_of
from session_mw.backends.explanation import ENCRYPTED, SIGNED, STORED, Candidate
from session_mw.backends.revocations.entries import public_id
from session_mw.inspector.figures import Point, glyph, time_line
from session_mw.inspector.html import Child, element, plural, quoted, shown
from session_mw.inspector.layout import Request, card, code, duration, from_now, moment, row, table
from session_mw.state import LABEL, LIFETIME, PRINCIPAL, is_bound

_WRITTEN = {SIGNED: "Signed", ENCRYPTED: "Encrypted"}
_HASHES = {"sha1": "HMAC with SHA-1, as Flask", "sha256": "HMAC with SHA-256", "sha512": "HMAC with SHA-512"}


def time_card(one: Candidate, request: Request, level: int, suffix: str) -> Element | None:
    """The session's time line; None where no key, and no record, says anything of its times."""
    contents = one.contents
    if contents is None or contents.created is None or (contents.key is None and one.form != STORED):
        return None
    named = [("Began", Point("past", contents.created))]
    if contents.written is not None:
        named.append((_WRITTEN.get(one.form, "Written"), Point("past", contents.written)))
    if one.info is not None:
        named.append(("Last used", Point("past", one.info.last_used)))
    named.append(("Now", Point("now", request.now)))
    if one.idle_end is not None:
        named.append(("Ends if unused", Point("end", one.idle_end)))
    if one.absolute_end is not None:
        named.append(("Ends anyway", Point("end", one.absolute_end)))
    named.sort(key=lambda pair: pair[1].at)
    return card(
        "Its time",
        time_line([point for _, point in named], request.now),
        table(
            "The times of the session",
            ("What", "When, in UTC", "From now"),
            [
                row(element("span", glyph(point.mark), name), moment(point.at), from_now(point.at, request.now))
                for name, point in named
            ],
            "times",
        ),
        name=f"time{suffix}",
        level=level,
    )


def session_card(one: Candidate, request: Request, level: int, suffix: str) -> Element | None:
    """What the session is: where it lives, whose it is, which key opens it, and whether it can be ended."""
    if not one.form and one.setting is None:
        return None
    facts = [row(name, value) for name, value in (*_place(one, request), *_owner(one), *_endings(one, request))]
    table_of_facts = table("What the session is", ("What", "Value"), facts, "facts")
    return card("The session", table_of_facts, name=f"session{suffix}", level=level)


def _place(one: Candidate, request: Request) -> Iterator[tuple[str, Child]]:
    settings, contents, record = request.sessions.settings, one.contents, one.record
    if one.form == SIGNED:
        yield "Kept in", f"a signed cookie ({_HASHES[settings.digest]})"
    elif one.form == ENCRYPTED:
        yield "Kept in", "an encrypted cookie (AES-256-GCM)"
    elif one.form == STORED:
        sealed = ", encrypted (AES-256-GCM)" if settings.store_encryption else ""
        yield "Kept in", f"a store, {type(request.sessions.store).__name__}{sealed}"
    if one.setting is not None:
        yield "Key", f"one of this application's, but it is authentic only {one.setting}"
    elif contents is not None and contents.key is not None:
        yield "Key", key_in_words(contents.key)
    elif one.form == STORED:
        yield "Key", "none: the token cannot be guessed"
    else:
        yield "Key", "none of this application's"
    if one.key:
        yield "Record", code(one.key)
    if record is not None:
        yield "Version", code(shown(str(record.version), 80))
        yield "Size of the record", plural(len(record.data), "byte")


def _owner(one: Candidate) -> Iterator[tuple[str, Child]]:
    if one.contents is None or one.contents.data is None:
        return
    metadata = one.contents.metadata
    principal, label, own = metadata.get(PRINCIPAL), metadata.get(LABEL), metadata.get(LIFETIME)
    yield "Principal", "nobody's" if principal is None else code(quoted(principal))
    yield "Label", "none" if label is None else code(quoted(label))
    is_permanent = one.contents.data.get("_permanent") is True
    yield "Permanent", "yes: the cookie outlives the browser" if is_permanent else "no: until the browser is closed"
    if own is not None:
        yield "Lifetime of its own", duration(own)
    session_id = public_id(metadata)
    if session_id is not None:
        yield "Id", code(shown(session_id))
    if one.info is not None or is_bound(metadata):
        yield "Bound to a device", "yes: a copied cookie is not enough" if is_bound(metadata) else "no"


def _endings(one: Candidate, request: Request) -> Iterator[tuple[str, Child]]:
    if one.form == STORED:
        yield "Can be ended", "yes: its record is deleted"
    elif request.sessions.revocations is not None:
        yield "Can be ended", "yes: revocations remembers which have ended"
    elif one.form:
        yield "Can be ended", "no: a copy of the cookie stays good. Set revocations, or store"


def key_in_words(number: int) -> str:
    """Which key it is, never the key."""
    if number == 0:
        return "the current key (secret_key)"
    return f"an old key (number {number} of secret_key_fallbacks)"


def cookie_card(request: Request) -> Element:
    """The attributes with which a response to this request would set the cookie."""
    settings, https = request.sessions.settings, request.https
    cookie, domain = cookie_of(settings), settings.cookie_domain
    is_secure = "; Secure" in cookie.set("", https)
    why = f"this page came over {'https' if https else 'http'}" if settings.cookie_secure == "auto" else "as it is set"
    expires = _expires(request.explanation.accepted)
    attributes = [
        ("Name", code(settings.cookie_name), ""),
        ("Domain", code(domain) if domain else "none", f"sent to this host {'and all below it' if domain else 'only'}"),
        ("Path", code(settings.cookie_path), "sent to this path and below"),
        ("Secure", _yes(is_secure), f"sent over {'https only' if is_secure else 'http too'}; {why}"),
        ("HttpOnly", _yes(settings.cookie_httponly), _HTTPONLY[settings.cookie_httponly]),
        ("SameSite", settings.cookie_samesite or "none", _SAMESITE[settings.cookie_samesite]),
        ("Partitioned", _yes(settings.cookie_partitioned), _PARTITIONED[settings.cookie_partitioned]),
        ("Expires", moment(expires) if expires else "none", "UTC" if expires else "kept until the browser is closed"),
    ]
    rows = [
        row(name, element("div", value, " ", element("span", meaning, class_="note") if meaning else None))
        for name, value, meaning in attributes
    ]
    return card(
        "The cookie's attributes",
        table("The attributes of the cookie", ("Attribute", "Value"), rows, "facts"),
        element("p", code(f"Set-Cookie: {cookie.set('…', https, expires)}"), class_="line-of-code"),
        name="cookie",
        level=2,
        note="As a response to this request would set it. A browser does not say with which it has kept one.",
    )


def _expires(accepted: Candidate | None) -> int | None:
    """Unix time up to which browsers keep the cookie of a permanent session."""
    if accepted is None or accepted.contents is None or accepted.idle_end is None:
        return None
    if (accepted.contents.data or {}).get("_permanent") is not True:
        return None
    return accepted.idle_end if accepted.absolute_end is None else min(accepted.idle_end, accepted.absolute_end)


def _yes(on: bool) -> str:
    return "yes" if on else "no"


_HTTPONLY = {True: "out of reach of scripts", False: "scripts can read it"}
_PARTITIONED = {True: "kept in a jar for each site that embeds this one", False: "kept in one jar"}
_SAMESITE = {
    "Lax": "sent from other sites when a link is followed",
    "Strict": "never sent from other sites",
    "None": "sent from all sites",
    None: "each browser does as it likes, mostly as with Lax",
}
