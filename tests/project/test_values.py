"""docs/values.md: what it says of each value is what happens, in a cookie and in a store."""

from __future__ import annotations

import re
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from session_mw import NotSerializable, SessionManager
from support.tokens import KEY

PAGE = (Path(__file__).parents[2] / "docs" / "values.md").read_text(encoding="utf-8")


@dataclass
class Point:
    x: int
    at: tuple[int, int]


@dataclass
class Visit:
    at: datetime
    who: UUID


class Pair(NamedTuple):
    x: int
    y: int


class Level(IntEnum):
    HIGH = 3


class Color(StrEnum):
    RED = "red"


class Plain(Enum):
    ONE = 1


same = [1]
NAMES = {
    **{found.__name__: found for found in (Counter, OrderedDict, defaultdict, deque, date, datetime, time, timedelta)},
    **{found.__name__: found for found in (timezone, Decimal, Fraction, Path, UUID, Point, Visit, Pair, Level, Color)},
    **{"Plain": Plain, "UTC": UTC, "same": same},
}


def rows(head: str) -> list[tuple[str, str]]:
    """The code in the two columns of the table with this head."""
    table = PAGE.partition(f"| {head} |\n|---|---|\n")[2].partition("\n\n")[0]
    return [tuple(re.findall(r"`([^`]+)`", cell)[0] for cell in row.split(" | ")) for row in table.splitlines()]


def value_of(code: str) -> Any:
    names = NAMES | ({"numpy": pytest.importorskip("numpy")} if "numpy" in code else {})
    return eval(code, names)


def came_back(value: Any, **settings: Any) -> Any:
    sessions = SessionManager(KEY, **settings)
    session = sessions.open({})
    session["value"] = value
    headers = dict(sessions.commit(session))
    return sessions.open({"HTTP_COOKIE": headers["Set-Cookie"].partition(";")[0]})["value"]


SETTINGS: list[dict[str, Any]] = [{}, {"encrypt": True}, {"store": "memory://"}]


@pytest.mark.parametrize("settings", SETTINGS, ids=repr)
@pytest.mark.parametrize(("written", "read"), rows("written | read"))
def test_each_value_comes_back_as_the_page_says(written: str, read: str, settings: dict[str, Any]) -> None:
    if "encrypt" in settings:
        pytest.importorskip("cryptography")
    value, expected = came_back(value_of(written), **settings), value_of(read)
    assert repr(value) == repr(expected)
    assert type(value) is type(expected)


@pytest.mark.parametrize(("refused", "instead"), rows("not written | write instead"))
def test_each_value_that_is_refused_can_be_written_as_the_page_says(refused: str, instead: str) -> None:
    value = value_of(refused)
    with pytest.raises(NotSerializable, match=r"^session\['value'\]"):
        came_back(value)
    plain = eval(instead, {"value": value})
    assert came_back(plain) == plain


@pytest.mark.parametrize(
    "refused", ["{1, 2}", "deque([1])", 'bytearray(b"a")', "Fraction(1, 3)", "numpy.array([1, 2])"]
)
def test_the_error_says_what_the_page_says(refused: str) -> None:
    with pytest.raises(
        NotSerializable, match=re.escape(f"; write {dict(rows('not written | write instead'))[refused]}")
    ):
        came_back(value_of(refused))


@pytest.mark.parametrize(
    ("name", "instead"), [("bool_", "bool(value)"), ("int64", "int(value)"), ("float32", "float(value)")]
)
def test_a_scalar_of_numpy_is_refused_by_a_name_that_tells_it_from_pythons(name: str, instead: str) -> None:
    numpy = pytest.importorskip("numpy")
    with pytest.raises(NotSerializable, match=rf"(numpy\.bool_?|{name}) is no type.*; write {re.escape(instead)}$"):
        came_back(numpy.dtype(name.rstrip("_")).type(1))


@pytest.mark.parametrize(
    "value",
    [
        *[None, True, 1, 10**30, 1.5, float("inf"), "é", b"\0\xff", [1, [2]], (1, (2,)), UUID(int=5), {"a": {"b": ()}}],
        *[datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), {" t": 1}],
    ],
    ids=repr,
)
def test_what_the_page_says_stays_stays(value: Any) -> None:
    assert repr(came_back(value)) == repr(value)


def test_one_list_that_is_kept_twice_comes_back_as_two() -> None:
    one, other = came_back([same, same])
    assert one is not other
