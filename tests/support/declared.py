"""What setup.cfg and tox.ini declare."""

from __future__ import annotations

import re
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).parents[2]
SETUP = ConfigParser()
SETUP.read(ROOT / "setup.cfg")
TOX = ConfigParser(interpolation=None)
TOX.read(ROOT / "tox.ini")
_NAME = re.compile(r"[A-Za-z0-9_.-]+")


def lines(text: str) -> list[str]:
    """The lines of a value that are not empty."""
    return [line for line in text.splitlines() if line]


def names(text: str) -> set[str]:
    """The distributions that a value names, a line each."""
    return {match.group() for line in lines(text) if (match := _NAME.match(line))}
