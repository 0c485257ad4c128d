"""Several byte strings as one, so that different lists never become the same bytes."""

from __future__ import annotations


def delimited(*fields: bytes) -> bytes:
    """Join fields, each after its length as 4 big-endian bytes.

    Without lengths, salt ``ab`` with cookie ``c`` and salt ``a`` with cookie ``bc`` would
    be one context, and a token of the one application would open in the other.
    """
    return b"".join(len(field).to_bytes(4, "big") + field for field in fields)
