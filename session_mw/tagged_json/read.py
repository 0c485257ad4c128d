"""From tagged JSON to values."""

from __future__ import annotations

import binascii
import json
import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from json.scanner import make_scanner
from typing import Any
from uuid import UUID

from session_mw.tagged_json.limits import Refused

try:
    from markupsafe import Markup
except ImportError:
    Markup = str  # type: ignore[assignment,misc]

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_HTTP_DATE = re.compile(r"[A-Z][a-z]{2}, ([0-9]{2}) ([A-Z][a-z]{2}) ([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT")


def _object(pairs: list[tuple[str, Any]]) -> Any:
    if len(pairs) == 1:
        key, value = pairs[0]
        reader = READERS.get(key)
        return {key: value} if reader is None else reader(value)
    data = dict(pairs)
    if len(data) != len(pairs):
        raise Refused("a key stands twice in one object")
    return data


def _expect(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise Refused("a tagged value of the wrong type")
    return value


def _read_bytes(value: Any) -> bytes:
    data = binascii.a2b_base64(_expect(str, value))
    if b64encode(data).decode() != value:
        raise Refused("base64 that is not canonical")
    return data


def _read_uuid(value: Any) -> UUID:
    if re.fullmatch("[0-9a-fA-F]{32}", _expect(str, value)) is None:
        raise Refused("not 32 hexadecimal digits")
    return UUID(hex=value)


def _read_datetime(value: Any) -> datetime:
    match = _HTTP_DATE.fullmatch(_expect(str, value))
    if match is None:
        found = parsedate_to_datetime(value)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    day, month, year, *clock = match.groups()
    hour, minute, second = map(int, clock)
    return datetime(int(year), 1 + _MONTHS.index(month), int(day), hour, minute, second, tzinfo=UTC)


def _read_dict(value: Any) -> dict[str, Any]:
    ((key, item),) = _expect(dict, value).items()
    if not key.endswith("__"):
        raise Refused("a tagged object whose key is not marked")
    return {key[:-2]: item}


READERS: Mapping[str, Callable[[Any], Any]] = {
    " t": lambda value: tuple(_expect(list, value)),
    " b": _read_bytes,
    " m": lambda value: Markup(_expect(str, value)),
    " u": _read_uuid,
    " d": _read_datetime,
    " di": _read_dict,
}
# typeshed does not know that a scanner is made from a decoder.
decode = make_scanner(json.JSONDecoder(object_pairs_hook=_object))  # type: ignore[arg-type]
