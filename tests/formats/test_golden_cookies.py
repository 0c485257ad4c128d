"""Tokens that real Flask releases have signed open here, and ours are the same."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from session_mw.codecs.signed import SignedCodec
from session_mw.tagged_json import TaggedJSON
from support.golden import GOLDENS, KEY, SIGNED_AT

RELEASES = json.loads((Path(__file__).parent / "data" / "flask_cookies.json").read_text())
GOLDEN_COOKIES = [
    pytest.param(name, token, id=f"{release}-{name.replace(' ', '-')}")
    for release, made in RELEASES.items()
    for name, token in made["tokens"].items()
]
CODEC = SignedCodec(KEY)


def plain(data):
    """The data in a form whose equality knows types: 1 is not True, a tuple no list, nan is nan."""
    if isinstance(data, dict):
        return "dict", {key: plain(item) for key, item in data.items()}
    if isinstance(data, (list, tuple)):
        return type(data).__name__, [plain(item) for item in data]
    if isinstance(data, float):
        return "float", str(data), math.copysign(1, data)
    return "str" if isinstance(data, str) else type(data).__name__, data


def test_every_release_is_there_and_signed_everything_it_can():
    assert [release.rpartition(".")[0] for release in RELEASES] == ["1.1", "2.0", "2.3", "3.0", "3.1"]
    everything = set(GOLDENS)
    assert [everything - set(made["tokens"]) for made in RELEASES.values()] == [{"decimal"}, set(), set(), set(), set()]


@pytest.mark.parametrize(("name", "token"), GOLDEN_COOKIES)
def test_a_token_of_flask_opens_to_the_data_that_was_given(name, token):
    opened = CODEC.decode(token)

    assert opened == (opened[0], SIGNED_AT, None, True)
    assert plain(TaggedJSON().loads(opened[0])) == plain(GOLDENS[name].read)


@pytest.mark.parametrize(("name", "token"), GOLDEN_COOKIES)
def test_the_same_data_makes_the_same_token_here(name, token):
    payload = TaggedJSON().dumps(GOLDENS[name].given)
    ours = CODEC.encode(payload, SIGNED_AT, SIGNED_AT)

    assert payload == CODEC.decode(token)[0]
    # Compressed bytes are not the same in every build of zlib.
    assert ours.startswith(".") == token.startswith(".")
    assert ours == token or ours.startswith(".")


# Flask sorts 9 before 10, and "10" before "9": read back, such a session has another order.
# Markup is read as str where markupsafe is not installed.
CHANGED_BY_READING = {"int keys", "markup"}
STABLE = [golden for golden in GOLDEN_COOKIES if golden.values[0] not in CHANGED_BY_READING]


@pytest.mark.parametrize(("name", "token"), STABLE)
def test_what_was_read_from_flask_is_written_again_as_flask_wrote_it(name, token):
    payload = CODEC.decode(token)[0]

    assert TaggedJSON().dumps(TaggedJSON().loads(payload)) == payload


def test_markup_comes_back_as_markup_where_markupsafe_is_installed():
    markupsafe = pytest.importorskip("markupsafe")
    payload = CODEC.decode(RELEASES["3.1.3"]["tokens"]["markup"])[0]
    read = TaggedJSON().loads(payload)

    assert type(read["m"]) is type(read["l"][0][0]) is markupsafe.Markup
    assert TaggedJSON().dumps(read) == payload


@pytest.mark.parametrize("shape", [True, False], ids=["compressed", "not-compressed"])
def test_both_shapes_of_token_are_among_the_golden_ones(shape):
    assert {made["tokens"]["compressed"].startswith(".") == shape for made in RELEASES.values()} == {shape}
    assert {made["tokens"]["one int"].startswith(".") == shape for made in RELEASES.values()} == {not shape}
