"""Header fields, as far as they are read: texts with and without quotes, and lists of words (RFC 9651)."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("jwt")

from hypothesis import given
from hypothesis import strategies as st

from session_mw.device.fields import MAX_FIELD, challenge_for, read_skipped, read_string, registration, url_path

TOKENS = st.from_regex(r"[A-Za-z0-9._~-]{1,80}", fullmatch=True)
SPACES = st.text(" \t", max_size=3)
PARAMETERS = st.lists(st.from_regex(r"; ?[a-z*][a-z0-9_.*-]{0,8}(=(\?1|5|\"[a-z ]*\"))?", fullmatch=True), max_size=3)


@given(token=TOKENS, before=SPACES, after=SPACES)
def test_a_bare_text_is_read(token, before, after):
    assert read_string(f"{before}{token}{after}") == token


@given(token=TOKENS, parameters=PARAMETERS, space=SPACES)
def test_a_text_in_quotes_is_read_and_its_parameters_are_passed_over(token, parameters, space):
    assert read_string(f'{space}"{token}"{"".join(parameters)}{space}') == token


@given(st.text())
def test_what_is_read_is_a_text_that_stands_there(text):
    read = read_string(text)
    assert read is None or (read in text and re.fullmatch(r"[A-Za-z0-9._~-]+", read))


@given(TOKENS, TOKENS)
def test_two_texts_are_none(one, other):
    for text in (f"{one}, {other}", f'"{one}", "{other}"', f"{one} {other}", f'"{one}" "{other}"', f'"{one}"{other}'):
        assert read_string(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        '""',
        '"',
        '"a',
        'a"',
        "'a'",
        '"a b"',
        '"a\\"b"',
        ":YQ==:",
        "?1",
        "a;b",
        "a=b",
        "é",
        '"é"',
        '"a"\n',
        "a\r\nb",
        "\0",
    ],
)
def test_other_things_are_none(text):
    assert read_string(text) is None


def test_too_much_is_none():
    assert read_string("a" * MAX_FIELD) is not None
    assert read_string("a" * (MAX_FIELD + 1)) is None


@given(st.lists(st.sampled_from(["unreachable", "server_error", "quota_exceeded", "other", "1"])), PARAMETERS)
def test_the_reasons_of_a_list_are_those_that_the_draft_knows(words, parameters):
    value = ", ".join(word + "".join(parameters) for word in words)
    assert read_skipped(value) == sorted({*words} & {"unreachable", "server_error", "quota_exceeded"})


@given(st.text())
def test_nothing_else_is_a_reason(text):
    assert set(read_skipped(text)) <= {"unreachable", "server_error", "quota_exceeded"}


@pytest.mark.parametrize("text", ["xunreachable", "unreachablex", "UNREACHABLE", "unreachable=1", "quota_exceeded_"])
def test_a_word_is_a_whole_one(text):
    assert read_skipped(text) == []


def test_the_fields_that_are_sent_have_the_draft_s_form():
    assert registration(("ES256", "RS256"), "/r", "c.1") == '(ES256 RS256);path="/r";challenge="c.1"'
    assert challenge_for("id", "c.1") == '"c.1";id="id"'


@given(st.text(st.characters(max_codepoint=255)))
def test_a_path_of_any_bytes_fits_into_quotes(path):
    assert re.fullmatch(r"[A-Za-z0-9/!$&'()*+,:=@~._%-]*", url_path(path))
