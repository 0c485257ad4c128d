"""A few seconds of what fuzz_tokens.py does for minutes."""

from __future__ import annotations

import pytest

pytest.importorskip("cryptography")

from support import fuzz_tokens
from support.token_rules import AUTHENTIC, ENCRYPTED, MANAGERS, SIGNED, TARGETS, opens


@pytest.mark.parametrize("token", AUTHENTIC, ids=range(len(AUTHENTIC)))
def test_authentic_tokens_open_with_one_of_the_codecs(token: str) -> None:
    assert [opens(codec, token) for codec in (SIGNED, ENCRYPTED) if codec.shape.fullmatch(token)] == [True]
    assert any(not manager.open({"HTTP_COOKIE": f"session={token}"}).new for manager in MANAGERS)


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_every_input_to_start_from_keeps_the_rules(name: str) -> None:
    for seed in TARGETS[name].seeds:
        TARGETS[name].check(seed)


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_made_up_inputs_keep_the_rules(name: str) -> None:
    assert fuzz_tokens.search_at_random([name], seconds=0.7, seed=20261124) > 20
