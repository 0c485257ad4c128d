"""The vectors in docs/signed-format.md, read and written by the package and by itsdangerous."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from itsdangerous import URLSafeTimedSerializer

from session_mw import BadToken, SessionManager
from session_mw.backends.payload import METADATA
from session_mw.codecs.signed import SignedCodec
from session_mw.csrf import CSRF_KEY
from session_mw.flash import FLASHES_KEY
from session_mw.tagged_json import TaggedJSON
from support.clock import Clock
from support.markdown import DOCS, blocks_of, code, table

PAGE: Path = DOCS / "signed-format.md"
TIME = 1700000000
GOOD, BAD = (
    [tuple(re.split(r"\s{2,}", pair.replace("\n", "  "))) for pair in re.findall(r"^\S.*\n .*$", block.text, re.M)]
    for block in blocks_of(PAGE, "text")
)


def value_of(text: str) -> Any:
    return eval(text, {"__builtins__": {}})


@pytest.mark.parametrize(("key", "data", "token"), GOOD, ids=lambda part: part[:20])
def test_a_vector_is_what_the_package_writes_and_reads(key: str, data: str, token: str, clock: Clock) -> None:
    clock.now = float(TIME)
    expected = value_of(data)
    session = SessionManager(key, refresh_each_request=False).open({"HTTP_COOKIE": f"session={token}"})
    assert session == expected
    assert repr(sorted(session.items())) == repr(sorted(expected.items()))
    assert SignedCodec(key).encode(TaggedJSON().dumps(expected), 0, TIME) == token


@pytest.mark.parametrize(("key", "data", "token"), GOOD, ids=lambda part: part[:20])
def test_a_vector_is_what_itsdangerous_reads(key: str, data: str, token: str) -> None:
    serializer = URLSafeTimedSerializer(
        key, salt="cookie-session", serializer=TaggedJSON(), signer_kwargs={"key_derivation": "hmac"}
    )
    found, signed_at = serializer.loads(token, return_timestamp=True)
    assert found == value_of(data)
    assert signed_at.timestamp() == TIME


@pytest.mark.parametrize(("key", "token"), BAD)
def test_what_the_page_says_is_refused_is_refused(key: str, token: str) -> None:
    with pytest.raises(BadToken, match="bad_signature"):
        SignedCodec(key).decode(token)


def test_there_are_vectors_of_both_kinds_of_payload() -> None:
    assert len(GOOD) == 5
    assert len(BAD) == 1
    assert {token.startswith(".") for *_, token in GOOD} == {True, False}


def test_each_tag_of_the_table_is_read_from_what_the_page_writes() -> None:
    pytest.importorskip("markupsafe")
    rows = table(PAGE, "tag |")
    kinds = {}
    for tag, _, written, _ in rows:
        (text,) = code(written)
        assert ast.literal_eval(code(tag)[0]) in text
        kinds[code(tag)[0]] = type(TaggedJSON().loads(b'{"value":%b}' % text.encode())["value"]).__name__
    assert kinds == {
        '" t"': "tuple",
        '" b"': "bytes",
        '" m"': "Markup",
        '" u"': "UUID",
        '" d"': "datetime",
        '" di"': "dict",
    }


def test_the_keys_of_the_table_are_those_that_a_payload_has() -> None:
    keys = {key for row in table(PAGE, "key |") for key in code(row[0])}
    assert keys <= {"_permanent", FLASHES_KEY, CSRF_KEY, *METADATA}
    assert keys >= {"_permanent", FLASHES_KEY, CSRF_KEY, "_created", "_principal", "_label", "_lifetime", "_sid"}
