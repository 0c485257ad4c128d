"""What a store's key looks like."""

from __future__ import annotations

import re

KEY = re.compile(r"[0-9a-f]{64}")


def is_key(text: str) -> bool:
    """Whether a record can have this key. What ``SessionManager.end`` is given may come from a form."""
    return KEY.fullmatch(text) is not None
