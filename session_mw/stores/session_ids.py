"""The form of a session id, and the warning about a value under one that is not a session's record."""

from __future__ import annotations

import logging
import re

logger = logging.getLogger("session_mw")

KEY = re.compile(r"[0-9a-f]{64}")


def is_key(text: str) -> bool:
    """Whether a text has the form of a session id. ``SessionManager.end`` may be given a text from a form."""
    return KEY.fullmatch(text) is not None


def warn_of_foreign(key: str) -> None:
    """Log that a damaged record, or something that is not a record, is stored under a key."""
    logger.warning("what is stored under %s… is not a session's record", key[:8])
