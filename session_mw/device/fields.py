"""Header fields of DBSC (RFC 9651, "Structured Field Values"), as far as they are used.

A browser sends its proof and the session's identifier as a string without its quotes, though the draft has them; both
spellings are read. Their parameters say nothing, by the draft.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote

MAX_FIELD = 4096
"""Characters. A proof of an RSA key of 4096 bits, which holds the key, has 2200."""

# What can stand in a JWT, or in an identifier that was made here. With quotes, parameters may follow.
_STRING = re.compile(r'[ \t]*(?:"(?P<quoted>[A-Za-z0-9._~-]+)"(?:[ \t]*;[ -~]*)?|(?P<bare>[A-Za-z0-9._~-]+))[ \t]*')
_REASON = re.compile(r"(?:^|,)[ \t]*(unreachable|server_error|quota_exceeded)(?=[ \t]*(?:[;,]|$))")


def read_string(value: str) -> str | None:
    """The string in a field, with or without quotes; None where there is something else, or too much."""
    if len(value) > MAX_FIELD:
        return None
    match = _STRING.fullmatch(value)
    return match and (match["quoted"] or match["bare"])


def read_skipped(value: str) -> list[str]:
    """The reasons in ``Secure-Session-Skipped`` that the draft knows, in alphabetical order."""
    return sorted(set(_REASON.findall(value[:MAX_FIELD])))


def registration(algorithms: tuple[str, ...], path: str, challenge: str) -> str:
    """The value of ``Secure-Session-Registration``."""
    return f'({" ".join(algorithms)});path="{path}";challenge="{challenge}"'


def challenge_for(identifier: str, challenge: str) -> str:
    """The value of ``Secure-Session-Challenge``."""
    return f'"{challenge}";id="{identifier}"'


@lru_cache(maxsize=64)
def url_path(path: str) -> str:
    """A path of the environ (PEP 3333: bytes as Latin-1) as URLs and quoted strings hold it."""
    return quote(path.encode("latin-1", "replace"), safe="/!$&'()*+,:=@~")
