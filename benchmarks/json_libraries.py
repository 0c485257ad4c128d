"""Whether a C library for JSON pays: msgspec and orjson beside the standard library.

    python benchmarks/json_libraries.py

A library is worth a dependency that wins at least 1.5 times at 1 KB in a whole encoding and
decoding, tags and limits included, with Flask's bytes in every case. Neither has them by
itself; session_mw lets msgspec do what it does alike, and the standard library the rest.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import msgspec
import orjson

from reports import Report, Table, micro, times
from scenarios import SIZES, payload, sized
from session_mw.tagged_json import TaggedJSON, plain
from timing import Work, by_turns, call_timer, ratio, typical

ENOUGH = 1.5
STANDARD = "json"
HARD_CASES: dict[str, Any] = {
    "plain": {"a": 1, "b": [True, None, "x"]},
    "text beyond ASCII": {"name": "Zoë"},
    "small floats": {"f": 1e-07},
    "large floats": {"f": 1e22},
    "NaN": {"f": float("nan")},
    "integers over 64 bits": {"n": 2**70},
    "control characters": {"c": "\x01\x7f\u2028"},
    "lone surrogates": {"s": "\ud800"},
    "keys that are no text": {1: 2},
    "unsorted keys": {"b": {"d": 1, "c": 2}, "a": 3},
}


class Library(NamedTuple):
    """One library's two directions."""

    dumps: Callable[[Any], bytes]
    loads: Callable[[bytes], Any]


def _standard_dumps(data: Any) -> bytes:
    return json.dumps(data, sort_keys=True, separators=(",", ":")).encode()


LIBRARIES = {
    STANDARD: Library(_standard_dumps, json.loads),
    "msgspec": Library(msgspec.json.Encoder(order="sorted").encode, msgspec.json.Decoder().decode),
    "orjson": Library(lambda data: orjson.dumps(data, option=orjson.OPT_SORT_KEYS), orjson.loads),
}


def _without_msgspec(call: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The same call where msgspec could not be loaded."""

    def without(argument: Any) -> Any:
        kept = plain._encode_sorted, plain._decode
        plain._encode_sorted = plain._decode = None
        try:
            return call(argument)
        finally:
            plain._encode_sorted, plain._decode = kept

    return without


_OURS = TaggedJSON()
WHOLE = "TaggedJSON"
WITHOUT = "TaggedJSON without msgspec"
SERIALIZERS = {
    WHOLE: Library(_OURS.dumps, _OURS.loads),
    WITHOUT: Library(_without_msgspec(_OURS.dumps), _without_msgspec(_OURS.loads)),
}
EVERYONE = LIBRARIES | SERIALIZERS


def run(quick: bool) -> Report:
    """Measure the bare libraries, and our serializer with and without the one that it uses."""
    report = Report("json_libraries", "JSON libraries")
    report.tables = [_times(quick), Table("Flask's bytes", ["", *EVERYONE], [_bytes_row(n) for n in HARD_CASES])]
    report.notes.append(
        "µs per call, in brackets times as fast as the standard library's. TaggedJSON is our serializer with tags, "
        "limits and refused repetitions of keys, which neither library reports. A library is worth a dependency that "
        f"makes it {ENOUGH} times as fast at 1 KB. Neither has Flask's bytes by itself: TaggedJSON gives msgspec what "
        "it writes alike, takes of what it reads only what it writes as the same bytes again, and leaves the rest to "
        "the standard library; orjson, which is faster at writing, may crash a process with several interpreters "
        "(mod_wsgi), in Python 3.13."
    )
    report.figures = {row[0]: row[1:] for row in report.tables[0].rows}
    return report


def _times(quick: bool) -> Table:
    rows = []
    for size, number in SIZES.items():
        data = sized(number)
        text = payload(data)
        if any(library.loads(text) != data for library in EVERYONE.values()):
            raise AssertionError("a library reads other data")
        rows.append([f"write {size}", *_row({n: partial(one.dumps, data) for n, one in EVERYONE.items()}, quick)])
        rows.append([f"read {size}", *_row({n: partial(one.loads, text) for n, one in EVERYONE.items()}, quick)])
    return Table("µs per call", ["", *EVERYONE], rows)


def _row(works: dict[str, Work], quick: bool) -> list[str]:
    found = by_turns({name: call_timer(work) for name, work in works.items()}, rounds=9 if quick else 41, turn_us=1500)
    return [f"{micro(typical(found, name))} [{times(ratio(found, STANDARD, name))}]" for name in works]


def _bytes_row(case: str) -> list[str]:
    data = HARD_CASES[case]
    wanted = _standard_dumps(data)
    return [case, *(_verdict(library, data, wanted) for library in EVERYONE.values())]


def _verdict(library: Library, data: Any, wanted: bytes) -> str:
    try:
        return "same" if library.dumps(data) == wanted else "other"
    except (TypeError, ValueError) as error:
        return type(error).__name__


if __name__ == "__main__":
    print(run(quick=False).text())
