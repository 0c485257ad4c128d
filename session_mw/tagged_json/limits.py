"""The limits for writing and reading: size and depth."""

from __future__ import annotations

from session_mw.protocols import MAX_PAYLOAD

MAX_DEPTH = 64

_ONE_KIND_OF_BRACKET = bytes.maketrans(b"{}", b"[]")
_NO_STRUCTURE = bytes(set(range(256)) - set(b'[]{}"'))


class Refused(ValueError):
    """A value or a text that is not taken; the message is in our own words and holds no session data."""


def check_limits(payload: bytes) -> None:
    """Check that a reader cannot take too long.

    Raises:
        Refused: More than 1 MiB, or more than 64 levels.
    """
    if len(payload) <= 2 * MAX_DEPTH:
        return
    if len(payload) > MAX_PAYLOAD:
        raise Refused(f"{len(payload)} bytes of JSON are more than {MAX_PAYLOAD}; keep the id of large data here only")
    # The number of brackets, by replace() because it searches with memchr; count() looks at each byte.
    outside = len(payload.replace(b"{", b"")) + len(payload.replace(b"[", b""))
    if 2 * len(payload) - outside > MAX_DEPTH and _is_too_deep(payload):
        raise Refused(f"it is nested deeper than {MAX_DEPTH} levels")


def _is_too_deep(payload: bytes) -> bool:
    """Whether brackets outside of strings are left after the innermost pairs have been taken away 64 times."""
    quoted = payload.replace(rb"\\", b"").replace(rb"\"", b"").translate(_ONE_KIND_OF_BRACKET, _NO_STRUCTURE)
    # Two quotes side by side can go: what stands after them is inside or outside of a string as before.
    brackets = b"".join(quoted.replace(b'""', b"").split(b'"')[::2])
    for _ in range(MAX_DEPTH):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)
