"""What msgspec takes over from the standard library: the same bytes, and as strict a reader."""

from __future__ import annotations

import importlib
import json
import platform
import subprocess
import sys
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import session_mw
from session_mw.exceptions import BadToken, NotSerializable
from session_mw.tagged_json import TaggedJSON

JSON = TaggedJSON()
TAGS = [" t", " b", " m", " u", " d", " di"]

IS_USED = (
    platform.python_implementation() == "CPython"
    and sys.version_info[:2] != (3, 12)
    and getattr(sys, "_is_gil_enabled", lambda: True)()
)
needs_msgspec = pytest.mark.skipif(not IS_USED, reason="msgspec is not used here")

texts = st.text() | st.text(alphabet='aé€😀\x7f\x00"\\/ :{}[],\ud800', max_size=12)
numbers = st.integers() | st.integers(-(2**70), 2**70) | st.floats()
keys = texts | st.sampled_from([*TAGS, " ", " x"])
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda items: (
        st.lists(items, max_size=3) | st.lists(items, max_size=2).map(tuple) | st.dictionaries(keys, items, max_size=3)
    ),
    max_leaves=10,
)


class Noting:
    """Stands for ``msgspec.json``, and notes what is asked of it."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._real: Any = importlib.import_module("msgspec.json") if IS_USED else None

    def Encoder(self, **options: Any) -> Any:
        encode = self._real.Encoder(**options).encode
        return SimpleNamespace(encode=lambda data: [self.calls.append("encode"), encode(data)][1])

    def Decoder(self) -> Any:
        decode = self._real.Decoder().decode
        return SimpleNamespace(decode=lambda payload: [self.calls.append("decode"), decode(payload)][1])


def loaded_with(**modules: Any) -> TaggedJSON:
    """A serializer of modules that were loaded anew where these stand in the place of msgspec's."""
    with mock.patch.dict(sys.modules):
        for name in [name for name in sys.modules if name.startswith("session_mw.tagged_json")]:
            del sys.modules[name]
        sys.modules.update(modules)
        made: TaggedJSON = importlib.import_module("session_mw.tagged_json").TaggedJSON()
    # the import has put the new module there, and others look for it there
    session_mw.tagged_json = sys.modules["session_mw.tagged_json"]  # type: ignore[attr-defined]
    return made


WITHOUT = loaded_with(**{"msgspec": None, "msgspec.json": None})


@pytest.fixture
def noted() -> tuple[TaggedJSON, list[str]]:
    """A serializer, and what it asks of msgspec: "encode" and "decode"."""
    asked = Noting()
    return loaded_with(**{"msgspec.json": asked}), asked.calls


def outcome(call: Any, argument: Any) -> str:
    """What comes of a call, in a text that tells 1 from 1.0 and True."""
    try:
        return repr(call(argument))
    except (BadToken, NotSerializable) as error:
        return f"{type(error).__name__}: {error}"


@settings(max_examples=400)
@given(st.dictionaries(keys, values, max_size=4))
@example({"a": 1e16, "b": -1e-5, "c": 0.0001, "d": -0.0, "e": float("nan"), "f": float("inf")})
@example({"\x7f": "\x7f", "é": "é" * 16, "ü": "ü" * 40})
@example({"a": 10**5000})
@example({" t": 1})
@example({"a": [{" di": {}}]})
def test_it_is_written_as_without_msgspec(data):
    assert outcome(JSON.dumps, data) == outcome(WITHOUT.dumps, data)


@settings(max_examples=400)
@given(st.dictionaries(keys, values, max_size=4), st.data())
def test_it_is_read_as_without_msgspec(data, draw):
    """Also where a byte of the text is another one, or a part of it stands there twice."""
    try:
        payload = JSON.dumps(data)
    except NotSerializable:
        return
    where, end = sorted(draw.draw(st.lists(st.integers(0, len(payload)), min_size=2, max_size=2)))
    put = draw.draw(st.sampled_from([b"", payload[where:end], b" ", b",", b"0", b"e5", b'"', b"\\", b":", b"\xe9"]))
    for text in (payload, payload[:where] + put + payload[where:], payload[:where] + put + payload[end:]):
        assert outcome(JSON.loads, text) == outcome(WITHOUT.loads, text)


@pytest.mark.parametrize(
    "payload",
    [
        b'{"a":1,"a":2}',
        b'{"a":{"b":1,"b":1}}',
        b'{"a" :1,"a":1}',
        b'[{"a":1}]',
        b'"a"',
        b"{}",
        b'{"a":{}}',
        b'{"a":-0}',
        b'{"a":18446744073709551616}',
        b'{"a":1' + b"0" * 5000 + b"}",
        b'{"a":1e400}',
        b'{"a":1e16}',
        b'{"a":1.00000000000000011}',
        b'{"a":NaN}',
        b'{"a":"\\ud800"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\xc3\xa9"}',
        b'{"a":"\xff"}',
        b'{"a":"\x7f"}',
        b'{"a":"\x1f"}',
        b'{"a":1}{"b":2}',
        b'{"b":1,"a":2}',
        b' {"a":1}\n',
        b'\xef\xbb\xbf{"a":1}',
        b'{" t":[1]}',
        b'{"\\u0020t":[1]}',
        b'{"a":{ " t":[1]}}',
        b'{"a":' + b"[" * 63 + b"]" * 63 + b"}",
        b'{"a":' + b"[" * 64 + b"]" * 64 + b"}",
        b"",
    ],
)
def test_the_reader_is_as_strict_as_without_msgspec(payload):
    assert outcome(JSON.loads, payload) == outcome(WITHOUT.loads, payload)


@settings(max_examples=400)
@given(st.floats(1e-4, 1e16, exclude_max=True) | st.floats(-1e16, -1e-4, exclude_min=True))
def test_a_float_is_plain_where_both_write_it_alike(number):
    assert JSON.dumps({"a": number}) == json.dumps({"a": number}, separators=(",", ":")).encode()


@needs_msgspec
@pytest.mark.parametrize(
    "data",
    [
        {"a": 1, "b": [True, None, "x", 1.5, {"c": {}}]},
        {"name": "Zoë", "path": "/a/b", "text": 'a "quoted" \\ line\n'},
        {"del": "\x7f", "smile": "😀"},
        {},
    ],
)
def test_plain_data_are_written_by_msgspec(data, noted):
    serializer, calls = noted
    assert serializer.dumps(data) == json.dumps(data, separators=(",", ":")).encode()
    assert calls == ["encode"]


@needs_msgspec
def test_plain_data_are_read_by_msgspec(noted):
    serializer, calls = noted
    data = {"a": 1, "b": [True, None, "x", 1.5, {"c": {}}]}
    assert serializer.loads(JSON.dumps(data)) == data
    assert calls == ["decode", "encode"]


@needs_msgspec
def test_what_is_mostly_not_ascii_is_written_as_by_the_standard_library():
    data = {"a": "é" * 33}
    assert JSON.dumps(data) == WITHOUT.dumps(data) == json.dumps(data, separators=(",", ":")).encode()


def test_msgspec_is_used_where_it_can_be(noted):
    serializer, calls = noted
    assert serializer.loads(serializer.dumps({"a": 1})) == {"a": 1}
    assert bool(calls) == IS_USED


@needs_msgspec
@pytest.mark.parametrize(("count", "asked"), [(256, ["encode"]), (257, [])])
def test_many_keys_are_left_to_the_standard_library(noted, count, asked):
    serializer, calls = noted
    data = {"a": [dict.fromkeys(map(str, range(count)))]}
    assert serializer.dumps(data) == WITHOUT.dumps(data)
    assert calls == asked


def test_a_hostile_order_of_keys_does_no_harm():
    """Every partition of a median-of-three quicksort takes two keys off; recursive, it overflows a small stack."""
    script = """
import threading
from session_mw.tagged_json import TaggedJSON

order = list(range(16))
for largest in range(16, 2000, 2):
    middle = (len(order) + 1) // 2
    order += [order[middle], order[0]]
    order[0], order[middle] = largest, largest + 1
form = {f"{number:06}": 0 for number in order}

def write():
    print(TaggedJSON().loads(TaggedJSON().dumps({"form": form})) == {"form": form})

threading.stack_size(128 * 1024)
thread = threading.Thread(target=write)
thread.start()
thread.join()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "True\n")


def test_a_list_that_holds_itself_is_refused():
    data: dict[str, Any] = {"a": []}
    data["a"].append(data)
    with pytest.raises(NotSerializable, match="nested deeper than 64 levels"):
        JSON.dumps(data)


@pytest.mark.parametrize("error", ["ImportError", "SystemError"])
def test_where_msgspec_cannot_be_loaded_the_bytes_are_the_same(error):
    script = f"""
import sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "msgspec":
            raise {error}(name)

sys.meta_path.insert(0, Finder())
from session_mw.tagged_json import TaggedJSON
assert "msgspec" not in sys.modules
payload = TaggedJSON().dumps({{"b": [1, (2,)], "a": "\\xe9"}})
print(payload.decode(), TaggedJSON().loads(payload) == {{"b": [1, (2,)], "a": "\\xe9"}})
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == r'{"a":"\u00e9","b":[1,{" t":[2]}]} True' + "\n"
