"""JSON of plain data, in which nothing gets a tag, by msgspec: the standard library's bytes in a third of its time."""

from __future__ import annotations

import codecs
import sys
from json.encoder import encode_basestring_ascii
from typing import Any

try:
    # On 3.12 a second interpreter reads foreign memory and crashes before any except (docs/decisions/002).
    if sys.version_info[:2] == (3, 12):
        raise ImportError("CPython 3.12 may crash where a second interpreter loads msgspec (mod_wsgi)")
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        raise ImportError("without a GIL, another thread could change the data under msgspec's hands")
    from msgspec.json import Decoder, Encoder
except (ImportError, SystemError):
    # PyPy has no msgspec, and some interpreters cannot load it.
    _encode_sorted = _encode_in_order = _decode = None
else:
    _encode_sorted = Encoder(order="sorted").encode
    _encode_in_order = Encoder().encode
    _decode = Decoder().decode

_STR = frozenset({str})
_SIMPLE = frozenset({str, int, bool, type(None)})
_MOST_KEYS = 256
"""How many keys msgspec may sort: its quicksort is recursive, and a hostile order of many keys overflows the stack."""
_MOST_BYTES = 64 * 1024
"""Bytes of a payload that is written again to be compared: a longer one would take too much memory."""
_FEW = 32
"""Bytes of UTF-8 beyond one for each character; with more, the standard library is faster than escaping run by run."""
_BACKSLASH = ord("\\")
_ESCAPE = "session_mw.escape"


def is_plain(value: Any) -> bool:
    """Whether it is a dict, a list or a float that msgspec writes as the standard library does, but for text."""
    if type(value) is dict:
        if len(value) > _MOST_KEYS or not _STR.issuperset(map(type, value)):
            return False
        value = value.values()
    elif type(value) is float:
        # Outside of this range both writers use an exponent, each in its own spelling, and msgspec writes NaN as null.
        return 1e-4 <= abs(value) < 1e16 or value == 0
    elif type(value) is not list:
        return False
    for item in value:  # noqa: SIM110 (a generator would take twice the time)
        if type(item) not in _SIMPLE and not is_plain(item):
            return False
    return True


def may_hold_tags(payload: bytes) -> bool:
    """Whether in JSON without spaces an object's first key begins with one, as that of a tagged value does."""
    # rfind() of one byte is much faster than find() of three; "in" is slow, since it first tries bytes as an int.
    return payload.startswith(b'{" ') or (payload.rfind(b"{") > 0 and payload.find(b'{" ') > 0)


def write_plain(value: Any) -> bytes | None:
    """ASCII JSON without spaces, its keys sorted, of a plain value; None where the standard library has to write it."""
    if _encode_sorted is None:
        return None
    try:
        payload = _encode_sorted(value)
    except UnicodeEncodeError:
        return None
    if not payload.isascii():
        text = payload.decode()
        if len(payload) - len(text) > _FEW:
            return None
        payload = text.encode("ascii", _ESCAPE)
    return payload.replace(b"\x7f", rb"\u007f")


def _escape_run(error: Any) -> tuple[str, int]:
    return encode_basestring_ascii(error.object[error.start : error.end])[1:-1], error.end


codecs.register_error(_ESCAPE, _escape_run)


def read_plain(payload: bytes) -> dict[str, Any] | None:
    """What is in a payload of plain data without a backslash, if msgspec would write it again as it is; else None.

    msgspec is more lenient than a session may be: it takes a key that stands twice, for example. Such a payload is
    found because msgspec writes its data as other bytes.
    """
    if _decode is None or _encode_in_order is None:
        return None
    if len(payload) > _MOST_BYTES or _BACKSLASH in payload or may_hold_tags(payload):
        return None
    try:
        data = _decode(payload)
        # The keys stay in the order in which they were read, for msgspec is slow at sorting.
        return data if type(data) is dict and _encode_in_order(data) == payload else None
    except Exception:  # noqa: BLE001 (the standard library says what is wrong)
        return None
