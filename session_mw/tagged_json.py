"""Flask's tagged JSON: JSON that keeps tuples, bytes, Markup, UUIDs and datetimes.

The text is what Flask 1.1 to 3.1 writes for the same data, byte for byte. A tagged
value is an object of one item whose key is a tag: ``{" t":[1,2]}`` is ``(1, 2)``.
"""

from __future__ import annotations

import binascii
import dataclasses
import json
import re
from base64 import b64encode
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import date, datetime, time, timezone
from decimal import Decimal
from email.utils import format_datetime, parsedate_to_datetime
from itertools import chain
from json.encoder import c_make_encoder, encode_basestring_ascii  # type: ignore[attr-defined]
from json.scanner import make_scanner
from typing import Any
from uuid import UUID

from session_mw.exceptions import BadToken, NotSerializable
from session_mw.protocols import MAX_PAYLOAD

try:
    from markupsafe import Markup
except ImportError:
    Markup = str  # type: ignore[assignment,misc]

MAX_DEPTH = 64

_SCALARS = frozenset({str, int, float, bool, type(None)})
_STR = frozenset({str})
_DICT = frozenset({dict})
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_HTTP_DATE = re.compile(r"[A-Z][a-z]{2}, ([0-9]{2}) ([A-Z][a-z]{2}) ([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT")
_ONE_KIND_OF_BRACKET = bytes.maketrans(b"{}", b"[]")
_NO_STRUCTURE = bytes(set(range(256)) - set(b'[]{}"'))


class TaggedJSON:
    """The serializer of Flask's session cookie."""

    def dumps(self, data: dict[Any, Any]) -> bytes:
        """Write session data.

        Returns:
            ASCII JSON without spaces, its keys sorted.

        Raises:
            NotSerializable: A value has no form in tagged JSON, or :meth:`loads` would refuse
                the text: more than 64 levels, more than 1 MiB, two keys that are one as text.
        """
        try:
            return _write(data)
        except Exception as error:
            raise NotSerializable(_path_of_problem(data), _problem(error)) from error

    def loads(self, payload: bytes) -> dict[str, Any]:
        """Read session data from any valid JSON text in UTF-8, as other writers may order it otherwise.

        Raises:
            BadToken: ``bad_payload``: not a JSON object, a tagged value of the wrong type, a
                repeated key, more than 64 levels or 1 MiB.
        """
        try:
            _check_limits(payload)
            text = payload.decode().strip(" \t\r\n")
            data, end = _decode(text, 0)
        except (Exception, StopIteration) as error:
            raise BadToken("bad_payload") from error
        if type(data) is not dict or end != len(text):
            raise BadToken("bad_payload")
        return data


class _Refused(ValueError):
    """Says in our own words what is wrong; such a message holds no data."""


def _check_limits(payload: bytes) -> None:
    if len(payload) <= 2 * MAX_DEPTH:
        return
    if len(payload) > MAX_PAYLOAD:
        raise _Refused(f"{len(payload)} bytes of JSON are more than {MAX_PAYLOAD}")
    # replace() finds with memchr, count() looks at each byte.
    outside = len(payload.replace(b"{", b"")) + len(payload.replace(b"[", b""))
    if 2 * len(payload) - outside > MAX_DEPTH and _is_too_deep(payload):
        raise _Refused(f"it is nested deeper than {MAX_DEPTH} levels")


def _is_too_deep(payload: bytes) -> bool:
    """Whether brackets outside of strings are left when the innermost pairs were taken away 64 times."""
    quoted = payload.replace(rb"\\", b"").replace(rb"\"", b"").translate(_ONE_KIND_OF_BRACKET, _NO_STRUCTURE)
    # Taking two quotes away that stand side by side leaves the others inside or outside as they were.
    brackets = b"".join(quoted.replace(b'""', b"").split(b'"')[::2])
    for _ in range(MAX_DEPTH):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


# Writing


def _write(value: Any) -> bytes:
    payload = _encode(_tag(value)).encode("ascii")
    _check_limits(payload)
    return payload


def _tag(value: Any) -> Any:
    kind = type(value)
    if kind is list:
        return value if _are_plain(value) else [_tag(item) for item in value]
    if kind in _SCALARS:
        return value
    return _tag_dict(value) if isinstance(value, dict) else _tag_other(value)


def _are_plain(values: Collection[Any]) -> bool:
    """Whether they are scalars, or dicts of scalars like the rows of a cart: nothing in them gets a tag."""
    if _SCALARS.issuperset(map(type, values)):
        return True
    if not _DICT.issuperset(map(type, values)):
        return False
    keys = [*chain.from_iterable(values)]
    if not _STR.issuperset(map(type, keys)) or not _READERS.keys().isdisjoint(keys):
        return False
    return _SCALARS.issuperset(map(type, chain.from_iterable(map(dict.values, values))))


def _tag_dict(value: dict[Any, Any]) -> dict[Any, Any]:
    if not _STR.issuperset(map(type, value)):
        _check_keys(value)
    if len(value) == 1:
        key = next(iter(value))
        if key in _READERS:
            return {" di": {key + "__": _tag(value[key])}}
    if _are_plain(value.values()):
        return value
    tagged = {
        key: other for key, item in value.items() if type(item) not in _SCALARS and (other := _tag(item)) is not item
    }
    return {**value, **tagged} if tagged else value


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
    texts = [key if isinstance(key, str) else _encode({key: 0})[2:-4] for key in keys]
    if len(set(texts)) != len(texts):
        raise _Refused("two of its keys are the same as JSON text")


def _http_date(value: datetime) -> str:
    aware = value.replace(tzinfo=timezone.utc) if value.tzinfo is None else value.astimezone(timezone.utc)
    return format_datetime(aware, usegmt=True)


def _default(value: Any) -> Any:
    """Flask's JSON provider: what its encoder makes of types that have no tag, and of all in a dataclass."""
    if isinstance(value, date):
        return _http_date(value if isinstance(value, datetime) else datetime.combine(value, time()))
    if isinstance(value, (Decimal, UUID)):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _escape(dataclasses.asdict(value))
    if callable(getattr(value, "__html__", None)):
        return str(value.__html__())
    raise _Refused(f"{type(value).__name__} is not a type that JSON or a tag can hold")


def _escape(value: Any) -> Any:
    """Plain data, of which nothing is to be read as a tagged value."""
    if isinstance(value, (list, tuple)):
        return [_escape(item) for item in value]
    if not isinstance(value, dict):
        return value
    _check_keys(value)
    for key in value.keys() & _READERS.keys() if len(value) == 1 else ():
        return {" di": {f"{key}__": _escape(value[key])}}
    return {key: _escape(item) for key, item in value.items()}


_encoder = json.JSONEncoder(sort_keys=True, separators=(",", ":"), check_circular=False, default=_default)
# JSONEncoder.encode makes its C encoder anew at each call, a third of what a small session takes.
_chunks = c_make_encoder and c_make_encoder(None, _default, encode_basestring_ascii, None, ":", ",", True, False, True)


def _encode(value: Any) -> str:
    return "".join(_chunks(value, 0)) if _chunks else _encoder.encode(value)


def _problem(error: Exception) -> str:
    if isinstance(error, _Refused):
        return str(error)
    if isinstance(error, RecursionError):
        return f"it is nested deeper than {MAX_DEPTH} levels"
    return f"{type(error).__name__} while it was written as JSON; use plain types and keys that sort"


def _path_of_problem(value: Any, depth: int = MAX_DEPTH) -> str:
    if not isinstance(value, (dict, list, tuple)) or depth == 0:
        return ""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        if not _can_be_written(item):
            return f"[{key!r}]" + _path_of_problem(item, depth - 1)
    return ""


def _can_be_written(value: Any) -> bool:
    try:
        _write(value)
    except Exception:  # noqa: BLE001 (the application's own types may raise anything)
        return False
    return True


# Reading


def _object(pairs: list[tuple[str, Any]]) -> Any:
    if len(pairs) == 1:
        key, value = pairs[0]
        reader = _READERS.get(key)
        return {key: value} if reader is None else reader(value)
    data = dict(pairs)
    if len(data) != len(pairs):
        raise _Refused("a key stands twice in one object")
    return data


def _expect(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise _Refused("a tagged value of the wrong type")
    return value


def _read_bytes(value: Any) -> bytes:
    data = binascii.a2b_base64(_expect(str, value))
    if b64encode(data).decode() != value:
        raise _Refused("base64 that is not canonical")
    return data


def _read_uuid(value: Any) -> UUID:
    if re.fullmatch("[0-9a-fA-F]{32}", _expect(str, value)) is None:
        raise _Refused("not 32 hexadecimal digits")
    return UUID(hex=value)


def _read_datetime(value: Any) -> datetime:
    match = _HTTP_DATE.fullmatch(_expect(str, value))
    if match is None:
        found = parsedate_to_datetime(value)
        return found.replace(tzinfo=timezone.utc) if found.tzinfo is None else found.astimezone(timezone.utc)
    day, month, year, *clock = match.groups()
    hour, minute, second = map(int, clock)
    return datetime(int(year), 1 + _MONTHS.index(month), int(day), hour, minute, second, tzinfo=timezone.utc)


def _read_dict(value: Any) -> dict[str, Any]:
    ((key, item),) = _expect(dict, value).items()
    if not key.endswith("__"):
        raise _Refused("a tagged object whose key is not marked")
    return {key[:-2]: item}


_READERS: Mapping[str, Callable[[Any], Any]] = {
    " t": lambda value: tuple(_expect(list, value)),
    " b": _read_bytes,
    " m": lambda value: Markup(_expect(str, value)),
    " u": _read_uuid,
    " d": _read_datetime,
    " di": _read_dict,
}
# typeshed takes a scanner for what it is made from.
_decode = make_scanner(json.JSONDecoder(object_pairs_hook=_object))  # type: ignore[arg-type]
