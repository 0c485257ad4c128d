"""A response's headers and the session's, put together (RFC 9110, RFC 9111)."""

from __future__ import annotations

import logging
import re

from session_mw.state import VARIES, Header, Outcome

logger = logging.getLogger("session_mw")

_SHARED = re.compile(r"(?:^|[,;\s])(?:public|s-maxage)(?=$|[=,;\s])", re.IGNORECASE)


def with_session_headers(headers: list[Header], outcome: Outcome, accessed: bool, name: str) -> list[Header]:
    """The application's headers and the session's.

    Args:
        headers: A copy of the application's; left as they are, and returned where nothing is to be added.
        outcome: What a save asks of the response.
        accessed: Whether the application asked the session for anything.
        name: The session cookie's name.
    """
    ours = outcome.headers
    if not ours:
        for _, value in headers:
            if name in value:
                return _merged(headers, ours, name)
        return headers
    if outcome.refresh_only and _is_for_shared_caches(headers):
        ours = VARIES.headers if accessed else ()
    for key, value in headers:
        if name in value or (len(key) == 4 and key.lower() == "vary"):
            return _merged(headers, ours, name)
    return [*headers, *ours]


def _merged(headers: list[Header], ours: tuple[Header, ...], name: str) -> list[Header]:
    merged: list[Header] = []
    vary: list[str] = []
    for header in headers:
        key, value = header
        if ours and key.lower() == "vary":
            vary.append(value)
        elif name in value and _is_duplicate(key, value, name):
            _warn_of_duplicate(name, len(ours) > 1)
            merged += [] if len(ours) > 1 else [header]
        else:
            merged.append(header)
    if ours:
        merged.append(_merged_vary(vary) if vary else ours[0])
        merged += ours[1:]
    return merged


def _is_for_shared_caches(headers: list[Header]) -> bool:
    """Whether the response invites caches to give it to others, who would then get the cookie too."""
    values = [value for key, value in headers if key.lower() == "cache-control"]
    return any(_SHARED.search(value) for value in values)


def _merged_vary(values: list[str]) -> Header:
    names = [name.strip() for value in values for name in value.split(",") if name.strip()]
    if "*" in names:
        return "Vary", ", ".join(names)
    distinct: dict[str, str] = {}
    for name in [*names, "Cookie"]:
        distinct.setdefault(name.lower(), name)
    return "Vary", ", ".join(distinct.values())


def _is_duplicate(key: str, value: str, name: str) -> bool:
    """Whether the application itself sets a cookie of the session's name."""
    return key.lower() == "set-cookie" and value.partition(";")[0].partition("=")[0].strip(" \t") == name


def _warn_of_duplicate(name: str, ours_is_sent: bool) -> None:
    logger.warning(
        "the application sets a cookie named %r, the session's own: %s. Rename one of them",
        name,
        "the session's takes its place" if ours_is_sent else "it is sent, and the session will not know it",
    )
