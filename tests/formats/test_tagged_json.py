"""Flask's tagged JSON: round trips, strictness in reading, and a writer that writes nothing unreadable."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import re
import tracemalloc
import uuid
from collections import OrderedDict, namedtuple
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from session_mw.exceptions import BadToken, NotSerializable
from session_mw.protocols import MAX_PAYLOAD
from session_mw.tagged_json import TaggedJSON
from session_mw.tagged_json.limits import MAX_DEPTH

JSON = TaggedJSON()
TAGS = [" t", " b", " m", " u", " d", " di"]

whole_seconds = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)).map(
    lambda at: at.replace(microsecond=0)
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.uuids()
    | whole_seconds
)
keys = st.text() | st.sampled_from([*TAGS, *(f"{tag}__" for tag in TAGS)])


def containers(items: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(items, max_size=4)
    return lists | lists.map(tuple) | st.dictionaries(keys, items, max_size=3)


values = st.recursive(scalars, containers, max_leaves=10)
sessions = st.dictionaries(keys, values, max_size=4)
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda items: st.lists(items, max_size=3) | st.dictionaries(keys, items, max_size=2),
    max_leaves=8,
)


def written(data: Any) -> str:
    return JSON.dumps(data).decode()


def nested(levels: int) -> Any:
    data: Any = 1
    for _ in range(levels):
        data = [data]
    return data


# Round trips


@given(sessions)
def test_whatever_is_written_is_read_as_the_same(data):
    assert JSON.loads(JSON.dumps(data)) == data
    assert repr(JSON.loads(JSON.dumps(dict(sorted(data.items()))))) == repr(JSON.loads(JSON.dumps(data)))


@given(sessions)
def test_the_text_is_ascii_json_with_sorted_keys_and_without_spaces(data):
    text = JSON.dumps(data)
    parsed = json.loads(text)
    assert text == json.dumps(parsed, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


@given(any_json)
def test_any_json_is_read_as_a_session_that_can_be_written_or_refused(data):
    with contextlib.suppress(BadToken):
        session = JSON.loads(json.dumps(data).encode())
        assert JSON.dumps(JSON.loads(JSON.dumps(session))) == JSON.dumps(session)


@given(st.binary(max_size=60))
def test_bytes_that_are_no_session_are_a_bad_token(payload):
    with contextlib.suppress(BadToken):
        assert isinstance(JSON.loads(payload), dict)


@given(data=sessions, indent=st.sampled_from([None, 1]), ascii_only=st.booleans())
def test_another_writers_order_spaces_and_raw_utf8_make_no_difference(data, indent, ascii_only):
    parsed = json.loads(JSON.dumps(data))
    text = json.dumps(dict(reversed(parsed.items())), indent=indent, ensure_ascii=ascii_only)
    assume(not re.search("[\ud800-\udfff]", text))
    assert JSON.loads(f" \t\r\n{text}\n".encode()) == data


def test_nan_and_infinity_are_kept_as_in_flask():
    assert written({"f": [math.nan, math.inf, -math.inf]}) == '{"f":[NaN,Infinity,-Infinity]}'
    nan, *infinite = JSON.loads(b'{"f":[NaN,Infinity,-Infinity]}')["f"]
    assert math.isnan(nan)
    assert infinite == [math.inf, -math.inf]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ((1, "a"), '{" t":[1,"a"]}'),
        (b"\x00\xff\xfe", '{" b":"AP/+"}'),
        (uuid.UUID(int=10), '{" u":"0000000000000000000000000000000a"}'),
        (datetime(2024, 1, 2, 3, 4, 5, 999), '{" d":"Tue, 02 Jan 2024 03:04:05 GMT"}'),
        (datetime(2024, 1, 2, 3, tzinfo=timezone(timedelta(hours=2))), '{" d":"Tue, 02 Jan 2024 01:00:00 GMT"}'),
        ({" t": "x"}, '{" di":{" t__":"x"}}'),
        ({" di": {" t": 1}}, '{" di":{" di__":{" di":{" t__":1}}}}'),
        ({" t": 1, "b": 2}, '{" t":1,"b":2}'),
        ({" x": 1}, '{" x":1}'),
        (date(2024, 1, 2), '"Tue, 02 Jan 2024 00:00:00 GMT"'),
        (Decimal("1.50"), '"1.50"'),
        (namedtuple("Point", "x y")(1, 2), '{" t":[1,2]}'),
        (OrderedDict(b=1, a=2), '{"a":2,"b":1}'),
        (IntEnum("Color", "RED").RED, "1"),
        ({1: "a", 2: "b"}, '{"1":"a","2":"b"}'),
        ({True: 1, False: 0}, '{"false":0,"true":1}'),
        ({None: 1}, '{"null":1}'),
    ],
)
def test_each_type_has_one_text(value, text):
    assert written({"v": value}) == f'{{"v":{text}}}'


def test_html_is_read_as_markup_where_markupsafe_is_installed():
    markupsafe = pytest.importorskip("markupsafe")
    assert written({"m": markupsafe.Markup("<b>")}) == '{"m":{" m":"<b>"}}'
    assert type(JSON.loads(b'{"m":{" m":"<b>"}}')["m"]) is markupsafe.Markup


def test_microseconds_are_dropped_and_naive_means_utc():
    read = JSON.loads(JSON.dumps({"d": datetime(2024, 1, 2, 3, 4, 5, 678)}))["d"]
    assert read == datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert read.tzinfo is UTC


@dataclasses.dataclass
class Visit:
    at: datetime
    by: uuid.UUID
    extra: Any


def test_a_dataclass_is_written_as_flasks_provider_does_with_the_time_of_its_datetimes():
    visit = Visit(datetime(2024, 1, 2, 3, 4, 5), uuid.UUID(int=1), (1, Decimal("2.5")))
    assert JSON.loads(JSON.dumps({"v": visit})) == {
        "v": {
            "at": "Tue, 02 Jan 2024 03:04:05 GMT",
            "by": "00000000-0000-0000-0000-000000000001",
            "extra": [1, "2.5"],
        }
    }


@pytest.mark.parametrize("extra", [{" t": "planted"}, {" t": [1]}, [{" u": 5}], {"x": {" di": {" d": "y"}}}])
def test_the_name_of_a_tag_inside_a_dataclass_is_data(extra):
    visit = Visit(datetime(2024, 1, 2), uuid.UUID(int=1), extra)
    assert JSON.loads(JSON.dumps({"v": visit}))["v"]["extra"] == extra


# Reading: whatever is not a session is refused


@pytest.mark.parametrize(
    "payload",
    [
        *[b"", b" ", b"[1]", b'"text"', b"null", b"1", b"true", b'{"a":1}x', b'{"a":1}{}', b'{"a":1', b"{'a':1}"],
        *[b'{"a":\xff}', b'{"a":"\xff"}', b'{"a":"\xed\xa0\x80"}', b'\xef\xbb\xbf{"a":1}', b'{"a":1}\x00'],
        *[b'{"a":1,}', b'{"a":01}', b'{"a":"\n"}', b'{"a":.5}', b'{"a":+1}', b'{"a":nan}', b"{1:2}", b'{"a":"\\x"}'],
        *[b'{" t":[1]}', b'{" m":"x"}', b'{" b":""}'],
    ],
)
def test_what_is_not_one_json_object_is_refused(payload):
    with pytest.raises(BadToken) as caught:
        JSON.loads(payload)
    assert caught.value.reason == "bad_payload"


WRONG = {
    " t": ["5", '"x"', "null", "{}", '{"a":1}', "true", '{" t":[]}'],
    " b": ["5", "null", "[]", '"A"', '"AA"', '"AA="', '"AB=="', '"AA==\\n"', '"A-_="', '"é"', '" AA=="', '"AA==AA=="'],
    " m": ["5", "null", "[]", "{}", "true"],
    " u": ["5", "null", '"zz"', '""', f'"{"0" * 31}"', f'"{"0" * 33}"', f'"{"٠" * 32}"', f'"{{{"0" * 32}}}"'],
    " d": [
        *["5", "null", "[]", '""', '"garbage"', '"2024-01-02"', '"Tue, 32 Jan 2024 03:04:05 GMT"'],
        *['"Tue, 02 Foo 2024 03:04:05 GMT"', '"Tue, 02 Jan 2024 25:04:05 GMT"', '"Tue, 02 Jan 0000 03:04:05 GMT"'],
        *['"Tue, 02 Jan 99999999999999999999 03:04:05 GMT"', '"Fri, 31 Dec 9999 23:59:59 -2300"'],
    ],
    " di": ["5", "null", "[]", '"x"', "{}", '{"a":1}', '{" t__":1,"b":2}', '{" t":[1]}', '{" t":1}'],
}


@pytest.mark.parametrize(("tag", "value"), [(tag, value) for tag in WRONG for value in WRONG[tag]])
@pytest.mark.parametrize("around", ["{}", '{{"v":{}}}', '{{"v":[1,{}]}}', '{{"v":{{" t":[{}]}}}}'])
def test_a_tagged_value_of_the_wrong_type_makes_the_whole_payload_bad(tag, value, around):
    with pytest.raises(BadToken):
        JSON.loads(around.format(f'{{"{tag}":{value}}}').encode())


@pytest.mark.parametrize("payload", [b'{"a":1,"a":1}', b'{"v":{"a":1,"\\u0061":2}}', b'{"v":[{" t":[1]," t":[2]}]}'])
def test_a_key_that_stands_twice_is_refused(payload):
    with pytest.raises(BadToken):
        JSON.loads(payload)


@pytest.mark.parametrize("opening", ["[", '{"a":', '{" t":['])
def test_sixty_four_levels_are_read_and_no_more(opening):
    closing = opening.replace('"a":', "").replace('" t":', "")[::-1].translate(str.maketrans("[{", "]}"))
    levels = (MAX_DEPTH - 1) // len(closing)
    fits = f'{{"v":{opening * levels}1{closing * levels}}}'
    assert JSON.loads(fits.encode())
    deeper = f'{{"v":{opening * (levels + 1)}1{closing * (levels + 1)}}}'
    with pytest.raises(BadToken):
        JSON.loads(deeper.encode())


def test_brackets_in_strings_and_in_breadth_are_no_nesting():
    data = {"s": '\\"[{' * 200, "\\": "[" * 99 + "\\", "wide": [[] for _ in range(200)], "q": '"' * 99, "d": [{}] * 99}
    assert JSON.loads(JSON.dumps(data)) == data


@pytest.mark.parametrize("levels", [1000, 100_000, 500_000])
def test_nesting_is_limited_whatever_the_interpreter_allows(levels):
    for payload in (b"[" * levels, b'{"a":' * levels, b'{"a":' + b"[" * levels + b"]" * levels + b"}"):
        with pytest.raises(BadToken):
            JSON.loads(payload)


def test_a_number_of_5000_digits_is_refused():
    with pytest.raises(BadToken):
        JSON.loads(b'{"n":' + b"9" * 5000 + b"}")


def test_one_mebibyte_is_read_and_no_more():
    payload = b'{"a":"' + b"x" * (MAX_PAYLOAD - 8) + b'"}'
    assert len(JSON.loads(payload)["a"]) == MAX_PAYLOAD - 8
    with pytest.raises(BadToken):
        JSON.loads(payload.replace(b"x", b"xx", 1))


def test_judging_the_nesting_takes_a_few_copies_of_the_text_at_most():
    payload = b'{"a":"' + b'\\"' * (MAX_PAYLOAD // 2 - 200) + b'","b":[' + b"[]," * 80 + b"1"
    tracemalloc.start()
    try:
        with pytest.raises(BadToken):
            JSON.loads(payload)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * MAX_PAYLOAD


# Writing: what the reader would refuse, the writer refuses


class Unprintable:
    def __html__(self) -> str:
        raise RuntimeError("secret data")


def circular() -> Any:
    data: Any = []
    data.append(data)
    return data


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ({"ok": 1, "cart": [1, object()]}, "['cart'][1]"),
        ({"a": {"b": (1, {"c": {1, 2}})}}, "['a']['b'][1]['c']"),
        ({"f": len}, "['f']"),
        ({"c": complex(1, 2)}, "['c']"),
        ({"v": {1: "a", "1": "b"}}, "['v']"),
        ({"v": {None: "a", "null": "b"}}, "['v']"),
        ({"v": {1: "a", "b": "c"}}, "['v']"),
        ({"v": {(1, 2): "a"}}, "['v']"),
        ({"v": {b"k": "a"}}, "['v']"),
        ({1: "a", "1": "b"}, ""),
        ({"n": 10**5000}, "['n']"),
        ({"u": Unprintable()}, "['u']"),
        ({"t": Visit}, "['t']"),
        ({"v": Visit(datetime(2024, 1, 2), uuid.UUID(int=0), b"x")}, "['v']"),
    ],
)
def test_a_value_that_cannot_be_written_is_named_by_its_path(data, path):
    with pytest.raises(NotSerializable) as caught:
        JSON.dumps(data)
    assert caught.value.path == path
    assert str(caught.value).startswith(f"session{path} cannot be saved: ")
    assert "secret data" not in str(caught.value)


@pytest.mark.parametrize("data", [{"a": nested(MAX_DEPTH)}, {"a": nested(5000)}, {"a": circular()}])
def test_data_that_are_nested_too_deep_or_in_circles_are_refused(data):
    with pytest.raises(NotSerializable, match="nested deeper than 64 levels"):
        JSON.dumps(data)


def test_sixty_four_levels_are_written_counting_those_of_tags():
    assert JSON.loads(JSON.dumps({"a": nested(MAX_DEPTH - 1)})) == {"a": nested(MAX_DEPTH - 1)}
    data: Any = 1
    for _ in range(MAX_DEPTH // 2):
        data = (data,)
    with pytest.raises(NotSerializable):
        JSON.dumps({"a": data})
    assert JSON.loads(JSON.dumps({"a": data[0]})) == {"a": data[0]}


def test_more_than_one_mebibyte_of_text_is_refused_with_the_sizes():
    fits = {"a": "x" * (MAX_PAYLOAD - 8)}
    assert len(JSON.dumps(fits)) == MAX_PAYLOAD
    with pytest.raises(NotSerializable, match=f"{MAX_PAYLOAD + 1} bytes of JSON are more than {MAX_PAYLOAD}"):
        JSON.dumps({"a": fits["a"] + "x"})


anything = st.recursive(
    scalars | st.floats() | st.dates() | st.decimals() | st.complex_numbers() | st.builds(object),
    lambda items: (
        st.lists(items, max_size=3)
        | st.dictionaries(
            keys | st.integers() | st.none() | st.booleans() | st.floats() | st.binary(), items, max_size=3
        )
    ),
    max_leaves=8,
)


@settings(max_examples=200)
@given(st.dictionaries(keys | st.integers(), anything, max_size=3))
def test_what_the_writer_writes_the_reader_reads_and_writes_the_same(data):
    with contextlib.suppress(NotSerializable):
        payload = JSON.dumps(data)
        again = JSON.loads(payload)
        assert JSON.loads(JSON.dumps(again)).keys() == again.keys()
        assert JSON.dumps(JSON.loads(JSON.dumps(again))) == JSON.dumps(again)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"cart": {"17": 1, 17: 2}}, r"\['cart'\] .*its keys '17' and 17 are the same as JSON text; write str keys"),
        ({True: 1, "true": 2}, "its keys True and 'true' are the same"),
        ({"a": {(1, 2): 3}}, r"\['a'\] .*its key \(1, 2\) is not a str"),
        ({"a": [{1: 1, "b": 2}]}, r"\['a'\]\[0\] .*do not sort together; write str keys"),
    ],
)
def test_a_key_that_json_cannot_hold_is_named(data, problem):
    with pytest.raises(NotSerializable, match=problem):
        TaggedJSON().dumps(data)


class Unprintable(str):
    __slots__ = ()

    def __repr__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("key", [10**5000, Unprintable("a")], ids=["int", "str"])
def test_a_key_that_cannot_be_printed_hides_no_problem(key):
    with pytest.raises(NotSerializable, match=r"\[an object of type (int|Unprintable)\] cannot be saved"):
        TaggedJSON().dumps({key: object()})
