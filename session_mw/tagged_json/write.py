"""From values to tagged JSON."""

from __future__ import annotations

import dataclasses
import json
from base64 import b64encode
from collections import deque
from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from email.utils import format_datetime
from json.encoder import c_make_encoder, encode_basestring_ascii  # type: ignore[attr-defined]
from numbers import Integral, Real
from typing import Any
from uuid import UUID

from session_mw.exceptions import type_name
from session_mw.tagged_json.limits import Refused, check_limits
from session_mw.tagged_json.plain import is_plain, may_hold_tags, write_plain
from session_mw.tagged_json.read import READERS

_SCALARS = frozenset({str, int, float, bool, type(None)})
_STR = frozenset({str})


def write(value: Any) -> bytes:
    """ASCII JSON without spaces, its keys sorted.

    Raises:
        Refused: It holds a type that a session cannot hold, or more than a reader would take. JSON's own errors
            come through.
    """
    payload = _encode(value) if is_plain(value) else None
    if payload is None or may_hold_tags(payload):
        tagged = _tag(value)
        payload = _encode(tagged) if is_plain(tagged) else _encode_by_json(tagged)
    check_limits(payload)
    return payload


def _tag(value: Any) -> Any:
    if type(value) in _SCALARS:
        return value
    if type(value) is list:
        return [item if type(item) in _SCALARS else _tag(item) for item in value]
    if not isinstance(value, dict):
        return _tag_other(value)
    if not _STR.issuperset(map(type, value)):
        _check_keys(value)
    if len(value) == 1:
        key = next(iter(value))
        if key in READERS:
            return {" di": {key + "__": _tag(value[key])}}
    return {key: item if type(item) in _SCALARS else _tag(item) for key, item in value.items()}


def _tag_other(value: Any) -> Any:
    if isinstance(value, tuple):
        return {" t": [_tag(item) for item in value]}
    if isinstance(value, list):
        return [_tag(item) for item in value]
    if isinstance(value, bytes):
        return {" b": b64encode(value).decode()}
    if callable(getattr(value, "__html__", None)):
        return {" m": str(value.__html__())}
    if isinstance(value, UUID):
        return {" u": value.hex}
    if isinstance(value, datetime):
        return {" d": _http_date(value)}
    return value


def _check_keys(keys: Iterable[Any]) -> None:
    """Check keys of which some are not str: JSON must be able to hold them, and their texts must differ."""
    by_text: dict[str, Any] = {}
    for key in keys:
        if not isinstance(key, (str, int, float, type(None))):
            raise Refused(f"its key {key!r} is not a str, and JSON has no other keys")
        text = key if isinstance(key, str) else _encode_by_json({key: 0})[2:-4].decode()
        if text in by_text:
            raise Refused(f"its keys {by_text[text]!r} and {key!r} are the same as JSON text; write str keys")
        by_text[text] = key
    try:
        sorted(by_text.values())
    except TypeError:
        raise Refused("its keys are of types that do not sort together; write str keys") from None


def _http_date(value: datetime) -> str:
    aware = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return format_datetime(aware, usegmt=True)


def _default(value: Any) -> Any:
    """What Flask's JSON provider makes of a type that has no tag, and of everything in a dataclass."""
    if isinstance(value, date):
        return _http_date(value if isinstance(value, datetime) else datetime.combine(value, time()))
    if isinstance(value, (Decimal, UUID)):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _escape(dataclasses.asdict(value))
    if callable(getattr(value, "__html__", None)):
        return str(value.__html__())
    raise Refused(f"{type_name(value)} is no type that a session can hold; write {_instead_of(value)}")


def _instead_of(value: Any) -> str:
    if type(value).__name__.rstrip("_") == "bool":
        return "bool(value)"
    if isinstance(value, Real):
        return "int(value)" if isinstance(value, Integral) else "float(value)"
    if isinstance(value, (bytearray, memoryview)):
        return "bytes(value)"
    if isinstance(value, (set, frozenset, deque)):
        return "list(value)"
    # arrays of numpy and of others
    return "value.tolist()" if callable(getattr(value, "tolist", None)) else "a list, a dict, a str or a number"


def _escape(value: Any) -> Any:
    """Write plain data so that no part of it is read as a tagged value."""
    if isinstance(value, (list, tuple)):
        return [_escape(item) for item in value]
    if not isinstance(value, dict):
        return value
    _check_keys(value)
    for key in value.keys() & READERS.keys() if len(value) == 1 else ():
        return {" di": {f"{key}__": _escape(value[key])}}
    return {key: _escape(item) for key, item in value.items()}


_encoder = json.JSONEncoder(sort_keys=True, separators=(",", ":"), check_circular=False, default=_default)
# JSONEncoder.encode makes a new C encoder at each call, which is a third of its time for a small session.
_chunks = c_make_encoder and c_make_encoder(None, _default, encode_basestring_ascii, None, ":", ",", True, False, True)


def _encode(value: Any) -> bytes:
    return write_plain(value) or _encode_by_json(value)


def _encode_by_json(value: Any) -> bytes:
    text = "".join(_chunks(value, 0)) if _chunks else _encoder.encode(value)
    return text.encode("ascii")
