"""Session data that real Flask releases have signed, under the names by which data/flask_cookies.json calls it.

Runs on every Python that a Flask release needs (3.8 and newer), and imports no Flask.
"""

from __future__ import annotations

import datetime as dt
import math
import uuid
from decimal import Decimal
from typing import Any, NamedTuple

KEY = "test-secret-key-0123456789abcdef"
SIGNED_AT = 1700000000

UTC = dt.timezone.utc  # noqa: UP017 (runs on Python 3.8 too)
UUID = uuid.UUID("12345678-1234-5678-1234-567812345678")


class Html(str):
    """What markupsafe.Markup is to a serializer, without needing markupsafe."""

    def __html__(self) -> str:
        return str(self)


class Golden(NamedTuple):
    """What was given to a release, and what is to be read from its token."""

    given: dict[Any, Any]
    read: dict[str, Any]


def same(data: dict[str, Any]) -> Golden:
    return Golden(data, data)


GOLDENS: dict[str, Golden] = {
    "empty": same({}),
    "one int": same({"a": 1}),
    "key order": same({"b": 1, "a": 2, "B": 3, "_": 4}),
    "log-in": same({"user_id": 42, "name": "Zoë", "_fresh": True, "_permanent": True}),
    "permanent": same({"_permanent": True}),
    "not permanent": same({"_permanent": False}),
    "unicode": same({"ключ": "значение", "emoji": "🍎\U0010ffff", "latin": "\xe9\xff", "line": "\u2028\u2029"}),
    "controls": same({"": "\0\x01\x1f\x7f\b\f\n\r\t", "quotes": "\"'\\/<>&"}),
    "constants": same({"t": True, "f": False, "n": None}),
    "ints": same({"i": [0, -1, 2**31, -(2**31), 2**53, 2**53 + 1, 2**63, -(2**64), 10**40]}),
    "floats": same({"f": [0.0, -0.0, 0.1, 1e-07, 1e16, 1e22, 1.5e300, 5e-324, 123456789.125, 1.0]}),
    "not finite": same({"f": [math.nan, math.inf, -math.inf]}),
    "empty inside": same({"d": {}, "l": [], "t": (), "s": "", "b": b""}),
    "nested": same({"cart": [{"id": 1, "tags": ["a", ["b", []]]}, {"id": 2, "price": {"eur": 1.5}}]}),
    "tuple": same({"t": (1, "a", None)}),
    "tuples": same({"t": ((1, (2, [3, (4,)])), [(), ({"x": (5,)},)])}),
    "flashes": same({"_flashes": [("message", "Hello"), ("error", "Nö")]}),
    "bytes": same({"b": b"\x00\xff\xfe", "l": [b"a", b"ab", b"abc", bytes(range(64))]}),
    "uuid": same({"u": UUID, "l": [uuid.UUID(int=0), (uuid.UUID(int=2**128 - 1),)]}),
    "datetime aware": same({"d": dt.datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)}),
    "datetime naive": Golden(
        {"d": dt.datetime(2024, 12, 31, 23, 59, 59)},
        {"d": dt.datetime(2024, 12, 31, 23, 59, 59, tzinfo=UTC)},
    ),
    "datetime microseconds": Golden(
        {"d": [dt.datetime(1999, 2, 3, 4, 5, 6, 999999)]},
        {"d": [dt.datetime(1999, 2, 3, 4, 5, 6, tzinfo=UTC)]},
    ),
    "datetime elsewhere": Golden(
        {"d": dt.datetime(2024, 3, 1, 1, 30, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=30)))},
        {"d": dt.datetime(2024, 2, 29, 20, 0, tzinfo=UTC)},
    ),
    "date": Golden({"d": dt.date(2024, 2, 29)}, {"d": "Thu, 29 Feb 2024 00:00:00 GMT"}),
    "decimal": Golden({"d": [Decimal("1.10"), Decimal("-0")]}, {"d": ["1.10", "-0"]}),
    "markup": Golden({"m": Html("<b>é</b>"), "l": [(Html(""),)]}, {"m": "<b>é</b>", "l": [("",)]}),
    "dict as tuple": same({"d": {" t": [1, 2]}}),
    "dict as bytes": same({"d": {" b": b"x"}}),
    "dict as markup": same({"d": {" m": "<i>"}}),
    "dict as uuid": same({"d": {" u": UUID}}),
    "dict as datetime": same({"d": {" d": None}}),
    "dict as dict": same({"d": {" di": {" t": (1,)}}}),
    "dicts in dicts": same({"d": {" di": {" di": {" di": {}}}}}),
    "session as tuple": same({" t": "x"}),
    "session as dict": same({" di": {" di": 1}}),
    "nearly tags": same(
        {"d": [{" t": 1, "b": 2}, {"t": 1}, {" t ": 1}, {" t__": 1}, {" x": 1}, {"": 1}, {" di__": 1}]}
    ),
    "int keys": Golden({"d": {10: "a", 9: "b"}}, {"d": {"10": "a", "9": "b"}}),
    "other keys": Golden(
        {"a": {True: 1}, "b": {None: 2}, "c": {1.5: 3}}, {"a": {"true": 1}, "b": {"null": 2}, "c": {"1.5": 3}}
    ),
    "compressed": same({"x": "A" * 200}),
    "compressed long": same({"text": "the quick brown fox é " * 60, "n": list(range(60)), "t": (b"\0" * 300,)}),
}
