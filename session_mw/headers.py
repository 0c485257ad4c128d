"""A response's headers and the session's, put together (RFC 9110, RFC 9111)."""

from __future__ import annotations

import logging
import re

from session_mw.notices import Notices
from session_mw.session import Session
from session_mw.state import VARIES, Header, Outcome

logger = logging.getLogger("session_mw")

PRIVATE: Header = ("Cache-Control", "private")

_QUOTED = r'"(?:[^"\\]|\\.)*"'
# A directive with its argument, up to the next comma that does not stand in quotes.
_DIRECTIVE = re.compile(rf'(?:{_QUOTED}|[^",])+')
_ABOUT_COOKIES = re.compile(r'(?:no-cache|private)\s*=\s*"(?:[^"]*[\s,])?set-cookie(?:[\s,][^"]*)?"', re.IGNORECASE)
_SHARED = re.compile(r"(?:^|[,;\s])(?:public|s-maxage)(?=$|[=,;\s])", re.IGNORECASE)


def with_session_headers(
    headers: list[Header], outcome: Outcome, session: Session, name: str, notices: Notices
) -> list[Header]:
    """The application's headers and the session's.

    A response that sets the session's cookie is kept from shared caches, which would hand one visitor's
    session to the next (Apache's mod_cache does so with its defaults).

    Args:
        headers: A copy of the application's; left as they are, and returned where nothing is to be added.
        outcome: What a save asks of the response.
        session: The session that was saved.
        name: The session cookie's name.
        notices: Told of a page that sets the cookie in a response that is meant for shared caches.
    """
    ours = outcome.headers
    if not ours:
        for _, value in headers:
            if name in value:
                return _merged(headers, ours, None, name)
        return headers
    if outcome.refresh_only and _is_for_shared_caches(headers):
        ours = VARIES.headers if session.accessed else ()
    if outcome.offers and not _is_for_shared_caches(headers):
        headers = [*headers, *outcome.offers]
    sets_cookie = len(ours) > 1
    for key, value in headers:
        size = len(key)
        if name in value or (size == 4 and key.lower() == "vary"):
            break
        if size == 13 and sets_cookie and key.lower() == "cache-control":
            break
    else:
        return [*headers, PRIVATE, *ours] if sets_cookie else [*headers, *ours]
    caching = None
    if sets_cookie:
        caching = _cache_control(headers, session, notices)
    return _merged(headers, ours, caching, name)


def with_cookies(headers: list[Header], cookies: list[Header], session: Session, notices: Notices) -> list[Header]:
    """The application's headers and cookies that stand beside the session's, kept from shared caches as that is."""
    if not cookies:
        return headers
    caching = _cache_control(headers, session, notices)
    if caching is not None:
        headers = [*(header for header in headers if header[0].lower() != "cache-control"), caching]
    return [*headers, *cookies]


def _cache_control(headers: list[Header], session: Session, notices: Notices) -> Header | None:
    """The Cache-Control of a response that sets the cookie; None where the application's is enough.

    ``no-store`` and ``private`` are. A response that is meant for shared caches gets ``no-cache="Set-Cookie"``
    (RFC 9111 §5.2.2.4), any other one ``private``.
    """
    values = [value.strip(" \t,") for key, value in headers if key.lower() == "cache-control"]
    # With an argument, private speaks of the fields in it alone. What is no directive to every cache is none here.
    directives = [directive.strip() for directive in _DIRECTIVE.findall(",".join(values))]
    if not {"no-store", "private"}.isdisjoint(directive.lower() for directive in directives):
        return None
    if not _is_for_shared_caches(headers):
        return "Cache-Control", ", ".join([*filter(None, values), "private"])
    if any(_ABOUT_COOKIES.fullmatch(directive) for directive in directives):
        return None
    notices.shared_response(session._place())
    return "Cache-Control", ", ".join([*filter(None, values), 'no-cache="Set-Cookie"'])


def _merged(headers: list[Header], ours: tuple[Header, ...], caching: Header | None, name: str) -> list[Header]:
    merged: list[Header] = []
    vary: list[str] = []
    for header in headers:
        key, value = header
        if ours and key.lower() == "vary":
            vary.append(value)
        elif caching and key.lower() == "cache-control":
            continue
        elif name in value and _is_duplicate(key, value, name):
            _warn_of_duplicate(name, len(ours) > 1)
            merged += [] if len(ours) > 1 else [header]
        else:
            merged.append(header)
    if caching:
        merged.append(caching)
    if ours:
        merged.append(_merged_vary(vary) if vary else ours[0])
        merged += ours[1:]
    return merged


def _is_for_shared_caches(headers: list[Header]) -> bool:
    """Whether the response invites caches to give it to others, who would then get the cookie too."""
    values = [value for key, value in headers if key.lower() == "cache-control"]
    return any(_SHARED.search(re.sub(_QUOTED, '""', value)) for value in values)


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
