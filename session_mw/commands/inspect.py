"""``session-mw inspect``: what stands in a session cookie, and whether it can be trusted."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from session_mw.backends.explanation import ENCRYPTED, SIGNED, STORED, Contents, look_into
from session_mw.codecs.signed import DIGESTS, SignedCodec, parts_of
from session_mw.commands import stored
from session_mw.commands.report import ago, date
from session_mw.commands.stored import KEY_VARIABLE, Format
from session_mw.exceptions import BadToken, SessionError, not_loaded
from session_mw.protocols import Codec, Store
from session_mw.secret_keys import key_bytes
from session_mw.tagged_json import TaggedJSON

ITSDANGEROUS_EPOCH = 1293840000
"""itsdangerous before 1.0 counted seconds from 2011-01-01, as Unix time 1293840000."""

_BETWEEN_WORDS = re.compile(r"[;\s]+")
_SIGNED = re.compile(r"\.?[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{1,11}\.[A-Za-z0-9_-]+")
_ENCRYPTED = re.compile(r"A[Q-v][A-Za-z0-9_-]{58,4094}")
"""The first byte is the format's version, 1 or 2 (docs/encrypted-format.md)."""
_ID = re.compile(r"[A-Za-z0-9_-]{43}")
_OTHERS = (
    (re.compile(r"ey[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]*){2,4}"), "a JSON Web Token"),
    (re.compile(r"\.?[A-Za-z0-9_-]+:[A-Za-z0-9]{6}:[A-Za-z0-9_-]{27,43}"), "signed by Django"),
    (re.compile(r"gAAAA[A-Za-z0-9_-]{90,}=*"), "a Fernet token"),
    (re.compile(r"\.?[A-Za-z0-9_-]{2,}\.[A-Za-z0-9_-]{27}"), "signed by itsdangerous without a time"),
    (re.compile(r"[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}|[a-z0-9]{32}"), "an id of another session library"),
    (_ID, "a stored session's id, or something else as long; --store URL shows the session"),
)
"""Other libraries' tokens, which the error message names."""


class Found(NamedTuple):
    """A text that has the form of a session's token."""

    kind: str
    """:data:`SIGNED`, :data:`ENCRYPTED` or :data:`STORED`."""
    token: str
    name: str
    """The cookie's name; empty where the text does not tell it."""


def find_tokens(text: str, *, stored: bool = False, cookie_name: str | None = None) -> list[Found]:
    """The tokens in a text: itself, or those of a ``Cookie`` or ``Set-Cookie`` line, a whole response or a cookie jar.

    Where some signed ones can be decoded, the others are left out: a host name has the form of a token too.

    Args:
        text: The text.
        stored: Look for ids of stored sessions; other tokens are passed over then.
        cookie_name: Look only at a cookie of this name, and at what has no name.

    Raises:
        SessionError: Nothing in the text looks like a token; the message says what is there, where it is known.
    """
    words = _BETWEEN_WORDS.split(text)
    values = []
    for number, word in enumerate(words):
        head, sign, value = word.partition("=")
        if not sign or (value and not value.strip("=")):
            # Without an equals sign, or with those of base64's padding only, the whole word is the value.
            head, value = "", word
        # In a cookie jar (curl's, with tabs) the name stands in the column before the value.
        name = head.rpartition(":")[2] or (words[number - 1] if number and "\t" in text else "")
        if cookie_name is None or not name or name == cookie_name:
            values.append((value.strip('"'), name))
    kinds = ((STORED, _ID),) if stored else ((SIGNED, _SIGNED), (ENCRYPTED, _ENCRYPTED))
    for kind, shape in kinds:
        found = {value: Found(kind, value, name) for value, name in values if shape.fullmatch(value)}
        if found:
            tokens = list(found.values())
            return [one for one in tokens if kind != SIGNED or _can_be_decoded(one.token)] or tokens
    if stored:
        raise SessionError("nothing there looks like a stored session's token, which has 43 letters, digits, - and _")
    known = next((what for shape, what in _OTHERS for value, _ in values if shape.fullmatch(value)), None)
    raise SessionError(
        "nothing there looks like a signed token (payload.timestamp.signature) or an encrypted one"
        + (f"; what is there has the form of {known}" if known else "")
    )


def inspect(found: Found, format_: Format, store: Store | None = None) -> dict[str, Any]:
    """Everything that can be told of a token.

    Args:
        found: What :func:`find_tokens` found.
        format_: The site's cookie name and salt.
        store: Where the session is, if the token is only its id.

    Returns:
        A dict that JSON can hold: ``kind``; ``data``, None where it could not be read; ``verified``, None where
        no key was there to tell; what else is known of that kind; and ``problem``, why it could not be read.

    Raises:
        SessionError: It is damaged, or the store has no such session.
        StoreError: The store failed.
    """
    if store is None:
        inspect_token = _inspect_encrypted if found.kind == ENCRYPTED else _inspect_signed
        return inspect_token(found.token, format_)
    session = stored.find(store, found.token, format_)
    return {
        "kind": STORED,
        "id": session.id,
        "principal": session.principal,
        "created_at": date(session.created),
        "age_seconds": int(time.time()) - session.created,
        "expires_at": date(session.expires),
        "encrypted": session.encrypted,
        "data": _readable(session.data),
        "verified": True,
    }


def as_text(report: dict[str, Any]) -> str:
    """The report for a person to read."""
    if report["kind"] == SIGNED:
        verdicts = {
            None: f"not checked: set {KEY_VARIABLE}",
            True: "yes",
            False: "NO: made with another key or salt (--salt), or changed",
        }
        old = ", by itsdangerous's clock before 1.0 (from 2011)" if report["epoch"] == 2011 else ""
        lines = [
            ("payload", report["payload"] + (" (compressed)" if report["compressed"] else "")),
            ("timestamp", report["timestamp"]),
            ("signature", report["signature"]),
            ("signed", f"{report['signed_at']}, {ago(report['age_seconds'])}{old}"),
            ("verified", verdicts[report["verified"]]),
        ]
    elif report["kind"] == STORED:
        lines = [
            ("kind", f"stored{', encrypted' if report['encrypted'] else ''}"),
            ("id", report["id"]),
            ("principal", "nobody's" if report["principal"] is None else ascii(report["principal"])),
            ("created", f"{report['created_at']}, {ago(report['age_seconds'])}"),
            ("expires", report["expires_at"]),
        ]
    else:
        lines = [("kind", f"encrypted (AES-256-GCM), {report['bytes']} bytes")]
        if report["data"] is None:
            opened = f"{'not tried' if report['verified'] is None else 'NO'}: {report['problem']}"
        else:
            opened = "yes"
            lines += [
                ("created", report["created_at"]),
                ("written", f"{report['written_at']}, {ago(report['age_seconds'])}"),
            ]
        lines.append(("opened", opened))
    shown = [f"{name + ':':11}{value}" for name, value in lines]
    if report["data"] is not None:
        shown.append(json.dumps(report["data"], indent=2, ensure_ascii=True))
    return "\n".join(shown)


def _inspect_signed(token: str, format_: Format) -> dict[str, Any]:
    payload, timestamp, signature = parts_of(token)
    key, codecs = os.environ.get(KEY_VARIABLE), []
    if key is not None:
        secret = key_bytes(KEY_VARIABLE, key)
        codecs = [SignedCodec(secret, salt=format_.salt, digest=digest) for digest in DIGESTS]
    contents, data = _decoded(token, codecs)
    seconds = contents.written or 0
    at, epoch = (seconds + ITSDANGEROUS_EPOCH, 2011) if seconds < ITSDANGEROUS_EPOCH else (seconds, 1970)
    return {
        "kind": SIGNED,
        "payload": payload,
        "timestamp": timestamp,
        "signature": signature,
        "compressed": payload.startswith("."),
        "data": _readable(data),
        "signed_at": date(at),
        "age_seconds": int(time.time()) - at,
        "epoch": epoch,
        "verified": None if key is None else contents.key is not None,
    }


def _inspect_encrypted(token: str, format_: Format) -> dict[str, Any]:
    report: dict[str, Any] = {"kind": ENCRYPTED, "bytes": len(token) * 3 // 4, "data": None, "verified": None}
    key = os.environ.get(KEY_VARIABLE)
    if key is None:
        return {**report, "problem": f"set {KEY_VARIABLE} to the key that encrypts"}
    try:
        from session_mw.codecs.encrypted import EncryptedCodec
    except Exception as error:
        raise not_loaded(error, "cryptography", "encrypted") from error
    codec = EncryptedCodec(key_bytes(KEY_VARIABLE, key), cookie_name=format_.cookie_name, salt=format_.salt)
    try:
        contents, data = _decoded(token, [codec])
    except SessionError:
        problem = (
            "made with another key, salt (--salt) or cookie name (--cookie-name, "
            f"{format_.cookie_name!r} was tried), or changed, or no token of session_mw"
        )
        return {**report, "verified": False, "problem": problem}
    written, created = contents.written or 0, contents.created or 0
    return {
        **report,
        "data": _readable(data),
        "verified": True,
        "written_at": date(written),
        "age_seconds": int(time.time()) - written,
        "created_at": date(created),
    }


def _decoded(token: str, codecs: Sequence[Codec]) -> tuple[Contents, dict[str, Any]]:
    """What is in a token, and all of its data: what the dict hides, too."""
    contents = look_into(token, codecs)
    if contents is not None:
        with contextlib.suppress(BadToken):
            return contents, TaggedJSON().loads(contents.payload)
    raise SessionError("the token cannot be decoded; is a part of it missing, or changed?")


def _can_be_decoded(token: str) -> bool:
    try:
        _decoded(token, [])
    except SessionError:
        return False
    return True


def _readable(value: Any) -> Any:
    """Tagged values as text; what JSON holds stays as it is."""
    if isinstance(value, dict):
        return {key: _readable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_readable(item) for item in value]
    return value if value is None or type(value) in (str, int, float, bool) else str(value)
