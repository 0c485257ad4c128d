"""docs/key-rotation.md, step by step, with two processes of different configuration."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from support.fleet import server

OLD, NEW = "the-old-key-0123456789abcdef", "the-new-key-fedcba9876543210"
OLD_ALONE = {"secret_key": OLD}
OLD_SIGNS = {"secret_key": OLD, "secret_key_fallbacks": [NEW]}
NEW_SIGNS = {"secret_key": NEW, "secret_key_fallbacks": [OLD]}
NEW_ALONE = {"secret_key": NEW}

ALL = [OLD_ALONE, OLD_SIGNS, NEW_SIGNS, NEW_ALONE]
STEPS = [
    (OLD_ALONE, OLD_ALONE),
    (OLD_ALONE, OLD_SIGNS),
    (OLD_SIGNS, OLD_SIGNS),
    (OLD_SIGNS, NEW_SIGNS),
    (NEW_SIGNS, NEW_SIGNS),
    (NEW_SIGNS, NEW_ALONE),
    (NEW_ALONE, NEW_ALONE),
]
"""The settings of two servers, before the first step, while it is under way, when it is done, and so on."""


@pytest.fixture(params=["signed", "encrypted", "store_encryption"])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """The settings beside the keys."""
    if request.param == "signed":
        return {}
    pytest.importorskip("cryptography")
    if request.param == "encrypted":
        return {"encrypt": True}
    return {"store": f"sqlite:///{tmp_path}/sessions.db", "store_encryption": True}


def old_key_events(answer: dict[str, Any]) -> list[str]:
    return [event for event in answer["events"] if "accepted by an old key" in event]


def test_nobody_is_logged_out_by_the_three_steps(kind: dict[str, Any]) -> None:
    cookie, seen = None, []
    with ExitStack() as running:
        servers = {str(keys): running.enter_context(server(**kind, **keys)) for keys in ALL}
        for one, other in STEPS:
            for keys in (one, other, one, other):
                answer = servers[str(keys)].visit(cookie)
                cookie = answer["cookie"]
                seen.append(answer["visits"])
    assert seen == list(range(1, 4 * len(STEPS) + 1))


def test_without_the_first_step_a_visitor_is_logged_out(kind: dict[str, Any]) -> None:
    """A server that still knows only the old key rejects what the others make with the new one."""
    with server(**kind, **OLD_ALONE) as behind, server(**kind, **NEW_SIGNS) as ahead:
        cookie = behind.visit(None)["cookie"]
        answer = ahead.visit(cookie)
        assert answer["visits"] == 2
        assert behind.visit(answer["cookie"], write=False)["visits"] == 0


def test_an_old_key_in_use_is_logged_until_the_session_is_written_anew(kind: dict[str, Any]) -> None:
    with server(**kind, **OLD_SIGNS) as before, server(**kind, **NEW_SIGNS) as after:
        cookie = before.visit(None)["cookie"]
        first = after.visit(cookie)
        second = after.visit(first["cookie"])
    what = "stored session" if "store" in kind else "session cookie"
    (event,) = old_key_events(first)
    assert event.startswith(f"{what} accepted by an old key (fingerprint ")
    assert OLD not in event
    assert cookie.partition("=")[2] not in event
    assert old_key_events(second) == []


def test_a_stored_session_that_is_only_read_moves_to_the_new_key(tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    kind = {"store": f"sqlite:///{tmp_path}/sessions.db", "store_encryption": True}
    with server(**kind, **OLD_ALONE) as before:
        cookie = before.visit(None)["cookie"]
    with server(**kind, **NEW_SIGNS) as after:
        assert len(old_key_events(after.visit(cookie, write=False))) == 1
        assert old_key_events(after.visit(cookie, write=False)) == []
    with server(**kind, **NEW_ALONE) as alone:
        assert alone.visit(cookie, write=False)["visits"] == 1


@pytest.mark.parametrize("encrypt", [False, True])
def test_a_cookie_that_is_only_read_stays_with_the_old_key_and_is_logged_each_time(encrypt: bool) -> None:
    if encrypt:
        pytest.importorskip("cryptography")
    with server(**OLD_ALONE, encrypt=encrypt) as before, server(**NEW_SIGNS, encrypt=encrypt) as after:
        cookie = before.visit(None)["cookie"]
        for _ in range(2):
            answer = after.visit(cookie, write=False)
            assert answer["cookie"] == cookie
            assert len(old_key_events(answer)) == 1


def test_what_only_the_dropped_key_opens_is_an_empty_session(kind: dict[str, Any]) -> None:
    with server(**kind, **OLD_ALONE) as before, server(**kind, **NEW_ALONE) as after:
        cookie = before.visit(None)["cookie"]
        assert after.visit(cookie)["visits"] == 1
