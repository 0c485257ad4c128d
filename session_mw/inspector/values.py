"""The session's data as rows of a tree, and what each of them costs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from session_mw.backends.explanation import ENCRYPTED, SIGNED, Candidate, Contents
from session_mw.codecs.signed import SignedCodec
from session_mw.exceptions import NotSerializable
from session_mw.inspector.html import plural, quoted, shown
from session_mw.tagged_json import TaggedJSON

MOST_ROWS = 300
MOST_MEASURED = 2 * 1024 * 1024
"""Bytes that are written to learn what each key costs: for each key, all others."""

_JSON = TaggedJSON()
# The lengths of its tokens are those of any key's.
_RULER = SignedCodec("a key by which nothing is signed that anybody gets")


@dataclass(frozen=True)
class Row:
    """A value in a session, at its place in the tree."""

    path: tuple[str, ...]
    """Keys and indexes from the top, each as it is shown."""
    value: str
    kind: str
    """The value's type; empty where the value says it."""
    size: int | None
    """Bytes of JSON; None: it cannot be measured."""
    is_container: bool


def rows(key: str, value: Any) -> Iterator[Row]:
    """The row of a key and, below it, those of all that is in its value; some more than :data:`MOST_ROWS` at most."""
    yield from _rows((shown_key(key),), value)


def _rows(path: tuple[str, ...], value: Any) -> Iterator[Row]:
    text, kind = (_masked(value), "secret") if _is_secret(path, value) else _text(value)
    items: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        items = [(shown_key(key), item) for key, item in value.items()]
    elif isinstance(value, (list, tuple)):
        items = [(str(index), item) for index, item in enumerate(value)]
    yield Row(path, text, kind, _size(value), isinstance(value, (dict, list, tuple)))
    for key, item in items:
        yield from _rows((*path, key), item)


def shown_key(key: str) -> str:
    """How a key is shown: as a literal where white space would make it look like another one, or like nothing."""
    text = shown(key)
    return text if text and text == " ".join(text.split()) else quoted(key)


def _is_secret(path: tuple[str, ...], value: Any) -> bool:
    """Whether a value is a secret that a form's token is compared with, under the package's name or another's."""
    return isinstance(value, (str, bytes)) and any(re.search("[cx]srf", key, re.IGNORECASE) for key in path)


def _masked(value: str | bytes) -> str:
    return f"•••••• {plural(len(value), 'character')}, not shown"


def _text(value: Any) -> tuple[str, str]:
    """How a value is shown, and its type."""
    name = type(value).__name__
    if isinstance(value, (dict, list, tuple)):
        return f"{name} of {plural(len(value), 'key' if isinstance(value, dict) else 'item')}", ""
    if isinstance(value, str):
        return quoted(value), name
    if isinstance(value, bytes):
        return quoted(value.decode("latin-1")), name
    if isinstance(value, datetime):
        return value.isoformat(" "), name
    return shown(str(value)), name


def _size(value: Any) -> int | None:
    try:
        return len(_JSON.dumps({"": value})) - len('{"":}')
    except NotSerializable:
        return None


def size_of_item(key: str, value: Any) -> int | None:
    """Bytes of JSON that a key and its value take."""
    try:
        return len(_JSON.dumps({key: value})) - len("{}")
    except NotSerializable:
        return None


def costs(one: Candidate, contents: Contents) -> Mapping[str, int]:
    """By how many bytes the cookie, or the record, would be shorter without each of the top keys.

    Keys that are compressed together help each other, so the costs of all do not add up to the size. Empty where
    there is too much to be measured.
    """
    held = {**(contents.data or {}), **contents.metadata}
    if len(held) * len(contents.payload) > MOST_MEASURED:
        return {}
    try:
        whole = _length(one.form, _JSON.dumps(held))
        return {
            key: whole - _length(one.form, _JSON.dumps({name: held[name] for name in held if name != key}))
            for key in held
        }
    except NotSerializable:
        return {}


def _length(form: str, payload: bytes) -> int:
    if form == SIGNED:
        return len(_RULER.encode(payload, 0, 1 << 30))
    return len(payload) * 4 // 3 if form == ENCRYPTED else len(payload)
