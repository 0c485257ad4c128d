"""What a store's key looks like, and what is said of one under which there is no record of ours."""

from __future__ import annotations

import logging
import re

logger = logging.getLogger("session_mw")

KEY = re.compile(r"[0-9a-f]{64}")


def is_key(text: str) -> bool:
    """Whether a record can have this key. What ``SessionManager.end`` is given may come from a form."""
    return KEY.fullmatch(text) is not None


def warn_of_foreign(key: str) -> None:
    """Log that something else than a record, or a damaged one, is stored under a key."""
    logger.warning("what is stored under %s… is not a session's record", key[:8])
