"""``session-mw inspect``: what stands in a session cookie, and whether it can be trusted."""

from __future__ import annotations

import json
import os
import re
import time
from datetime import UTC, datetime
from typing import Any

from session_mw.codecs.signed import DIGESTS, SignedCodec, read_unverified
from session_mw.commands.findings import UNITS
from session_mw.exceptions import BadToken, SessionError
from session_mw.secret_keys import key_bytes
from session_mw.tagged_json import TaggedJSON

KEY_VARIABLE = "SESSION_MW_SECRET_KEY"
ITSDANGEROUS_EPOCH = 1293840000
"""itsdangerous before 1.0 counted seconds from 2011-01-01, as Unix time 1293840000."""

_BETWEEN_WORDS = re.compile(r"[;\s]+")
_TOKEN = re.compile(r"\.?[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{1,11}\.[A-Za-z0-9_-]+")


def find_tokens(text: str) -> list[str]:
    """The tokens in a text: itself, or those of a ``Cookie`` or ``Set-Cookie`` line, a whole response or a cookie jar.

    Where one can be decoded, those that cannot are left out: a host's name has a token's form too.

    Raises:
        SessionError: Nothing in the text looks like a token.
    """
    values = [word.rpartition("=")[2].strip('"') for word in _BETWEEN_WORDS.split(text)]
    tokens = [*dict.fromkeys(value for value in values if _TOKEN.fullmatch(value))]
    if tokens:
        return [token for token in tokens if _can_be_decoded(token)] or tokens
    raise SessionError(
        "nothing there looks like a signed token (payload.timestamp.signature); the cookie of a stored session "
        "holds only an id, and an encrypted one cannot be looked into"
    )


def inspect(token: str, *, salt: str = "cookie-session") -> dict[str, Any]:
    """Everything that can be told of a token.

    Args:
        token: ``payload.timestamp.signature``.
        salt: The salt that it was signed with.

    Returns:
        A dict that JSON can hold: ``payload``, ``timestamp``, ``signature``, ``data``, ``signed_at``,
        ``age_seconds``, ``epoch``, ``compressed``, ``verified`` (None without a key).

    Raises:
        SessionError: It is damaged.
    """
    payload, timestamp, signature = token.rsplit(".", 2)
    data, seconds = _decoded(token)
    at, epoch = _unix_time(seconds)
    return {
        "payload": payload,
        "timestamp": timestamp,
        "signature": signature,
        "compressed": payload.startswith("."),
        "data": _readable(data),
        "signed_at": _date(at),
        "age_seconds": int(time.time()) - at,
        "epoch": epoch,
        "verified": _verified(token, salt),
    }


def as_text(report: dict[str, Any]) -> str:
    """The report for a person to read."""
    verdicts = {
        None: f"not checked: set {KEY_VARIABLE}",
        True: "yes",
        False: "NO: made with another key or salt (--salt), or changed",
    }
    old = ", by itsdangerous's clock before 1.0 (from 2011)" if report["epoch"] == 2011 else ""
    lines = {
        "payload": report["payload"] + (" (compressed)" if report["compressed"] else ""),
        "timestamp": report["timestamp"],
        "signature": report["signature"],
        "signed": f"{report['signed_at']}, {_ago(report['age_seconds'])}{old}",
        "verified": verdicts[report["verified"]],
    }
    shown = [f"{name + ':':11}{value}" for name, value in lines.items()]
    return "\n".join([*shown, json.dumps(report["data"], indent=2, ensure_ascii=True)])


def _decoded(token: str) -> tuple[dict[str, Any], int]:
    try:
        payload, seconds = read_unverified(token)
        return TaggedJSON().loads(payload), seconds
    except BadToken as error:
        raise SessionError("the token cannot be decoded; is a part of it missing, or changed?") from error


def _can_be_decoded(token: str) -> bool:
    try:
        _decoded(token)
    except SessionError:
        return False
    return True


def _unix_time(seconds: int) -> tuple[int, int]:
    if seconds < ITSDANGEROUS_EPOCH:
        return seconds + ITSDANGEROUS_EPOCH, 2011
    return seconds, 1970


def _verified(token: str, salt: str) -> bool | None:
    key = os.environ.get(KEY_VARIABLE)
    if key is None:
        return None
    key_bytes(KEY_VARIABLE, key)
    for digest in DIGESTS:
        codec = SignedCodec(key, salt=salt, digest=digest)
        if codec.shape.fullmatch(token):
            return _opens(codec, token)
    return False


def _opens(codec: SignedCodec, token: str) -> bool:
    try:
        codec.decode(token)
    except SessionError:
        return False
    return True


def _date(at: int) -> str:
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return f"{at} seconds after 1970, which no calendar holds"


def _ago(seconds: int) -> str:
    size, unit = next((unit for unit in UNITS if abs(seconds) >= unit[0]), UNITS[-1])
    count = abs(seconds) // size
    return f"{count} {unit}{'' if count == 1 else 's'} {'ago' if seconds >= 0 else 'in the future'}"


def _readable(value: Any) -> Any:
    """Tagged values as text; what JSON holds stays as it is."""
    if isinstance(value, dict):
        return {key: _readable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_readable(item) for item in value]
    return value if value is None or type(value) in (str, int, float, bool) else str(value)
