"""Device-bound sessions need the extra ``bound``; and every place where sessions live."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from session_mw import MemoryStore

PLACES = ("signed", "encrypted", "revocable", "stored", "sealed")


def settings_of(place: str) -> dict[str, Any]:
    return {
        "signed": {},
        "encrypted": {"encrypt": True},
        "revocable": {"revocations": MemoryStore()},
        "stored": {"store": MemoryStore()},
        "sealed": {"store": MemoryStore(), "store_encryption": True},
    }[place]


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> str:
    """Where sessions live."""
    return str(request.param)


@pytest.fixture
def settings(place: str) -> dict[str, Any]:
    """The settings that put them there."""
    return settings_of(place)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, "session_mw")
    return caplog
