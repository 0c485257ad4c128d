"""Parses the URLs of all stores: hosts and options, and keeps passwords out of messages.

    scheme://user:password@host:port,host:port/path?option=value&option=value

Errors of this module never show a user, a password or anything that may be a piece of one
(a ``?``, ``#`` or ``/`` that was not percent-encoded cuts a password into pieces).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from session_mw.config import BOOLEANS
from session_mw.exceptions import ConfigurationError

Known = Mapping[str, Callable[[str], Any]]
"""Names of options, each with a function that returns the value or raises ``ValueError("must be …")``."""

_WHOLE_URL = re.compile(r"([a-z][\w+.-]*)://([^/?]*)([^?]*)(?:\?(.*))?", re.IGNORECASE | re.ASCII)
_HOST = re.compile(r"(\[[0-9a-f:.%]+\]|[\w.-]+)(?::([0-9]{1,5}))?", re.IGNORECASE)
_BEFORE_LAST_AT = re.compile(r"^([\w+.-]*:)?(/*).*@")
_SECRET_OPTION = re.compile(r"([?&][^=&]*(?:pass|pwd|secret|token)[^=&]*=)[^&]*", re.IGNORECASE)


@dataclass(frozen=True)
class StoreURL:
    """A parsed URL of a store. Its repr shows neither user nor password."""

    scheme: str
    """In lower case."""
    hosts: list[tuple[str, int | None]]
    """Host and port; an IPv6 address without its brackets, None where no port is given."""
    path: str
    """From its first slash, not percent-decoded; empty if there is no path."""
    options: dict[str, Any]
    """The options that were given, read by ``known``."""
    user: str | None = field(default=None, repr=False)
    """Percent-decoded."""
    password: str | None = field(default=None, repr=False)
    """Percent-decoded."""


def parse_url(url: str, known: Known) -> StoreURL:
    """Parse a URL and check every option.

    Raises:
        ConfigurationError: It is not a URL, a host or port is bad, an option is unknown or bad, or there is a
            ``@`` that may belong to a password which was not percent-encoded.
    """
    scheme, netloc, path, query = _parts(url)
    userinfo, at, hosts = netloc.rpartition("@")
    refuse_at_sign(userinfo)
    user, colon, password = userinfo.partition(":")
    return StoreURL(
        scheme=scheme,
        hosts=[_host_and_port(host, url) for host in hosts.split(",")] if hosts else [],
        path=path,
        options=parse_options(query, known),
        user=unquote(user) if at and user else None,
        password=unquote(password) if colon else None,
    )


def scheme_of(url: str) -> str:
    """The URL's scheme, in lower case.

    Raises:
        ConfigurationError: It is not a URL.
    """
    return _parts(url)[0]


def parse_options(query: str, known: Known) -> dict[str, Any]:
    """Parse a query, whose options must all be known.

    Raises:
        ConfigurationError: An option is unknown, given twice, or its value is bad, or there is a ``@``.
    """
    refuse_at_sign(query)
    options: dict[str, Any] = {}
    for part in filter(None, query.split("&")):
        name, _, text = map(unquote, part.partition("="))
        if name not in known:
            raise ConfigurationError(f"the store's URL has an unknown option {name!r}; {nearest(name, known)}")
        if name in options:
            raise ConfigurationError(f"the store's URL has the option {name!r} twice; leave one")
        try:
            options[name] = known[name](text)
        except ValueError as problem:
            raise ConfigurationError(f"the option {name!r} in the store's URL: {text!r} {problem}") from None
    return options


def take_options(url: str, known: Known) -> tuple[str, dict[str, Any]]:
    """Split our own options off a URL whose other options belong to a driver.

    Returns:
        The URL without our options, otherwise unchanged, and our options.

    Raises:
        ConfigurationError: One of our options is given twice, or its value is bad, or there is a ``@``.
    """
    before, _, query = url.partition("?")
    refuse_at_sign(query)
    parts = [part for part in query.split("&") if part]
    ours = [part for part in parts if unquote(part.partition("=")[0]) in known]
    rest = "&".join(part for part in parts if part not in ours)
    return (f"{before}?{rest}" if rest else before), parse_options("&".join(ours), known)


def refuse_at_sign(part: str) -> None:
    """Check that a part of a URL, other than a path, does not contain ``@``.

    Raises:
        ConfigurationError: It does. The text before the ``@`` may be a piece of a password.
    """
    if "@" in part:
        raise ConfigurationError(
            "the store's URL has an '@' too many: percent-encode '/', '?', '#' and '@' in user, password and options"
        )


def without_password(url: str) -> str:
    """The URL with everything up to the last ``@`` hidden, and the values of options whose names sound secret."""
    shown = _BEFORE_LAST_AT.sub(r"\1\2***@", url.replace("\n", " "))
    return _SECRET_OPTION.sub(r"\1***", shown)


def nearest(name: str, names: Collection[str]) -> str:
    """The end of a message about an unknown name: the nearest known one, and all of them."""
    close = difflib.get_close_matches(name.lower(), names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}known are: {', '.join(sorted(names)) or 'none'}"


def seconds(text: str) -> float:
    """Read a time in seconds, more than zero and at most a day."""
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) or not 0 < float(text) <= 86400:
        raise ValueError("must be a number of seconds, more than 0 and at most 86400")
    return float(text)


def positive(text: str) -> int:
    """Read a whole number from 1 to 999999."""
    if not re.fullmatch(r"[0-9]{1,6}", text) or int(text) == 0:
        raise ValueError("must be a whole number from 1 to 999999")
    return int(text)


def yes_no(text: str) -> bool:
    """Read true, yes, on, 1 or one of their opposites."""
    if text.lower() not in BOOLEANS:
        raise ValueError("must be true or false")
    return BOOLEANS[text.lower()]


def identifier(text: str) -> str:
    """Read a table's name: at most 60 letters, digits and underscores, ASCII, no digit first."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,59}", text):
        raise ValueError("must be at most 60 ASCII letters, digits and underscores, and not begin with a digit")
    return text


def _parts(url: str) -> tuple[str, str, str, str]:
    if not isinstance(url, str):
        raise ConfigurationError(f"a store's URL is a str, not {type(url).__name__}")
    match = _WHOLE_URL.fullmatch(url)
    if not match or not url.isprintable():
        raise ConfigurationError(
            f"{without_password(url)!r} is no store URL; write it like 'sqlite:///sessions.db' or 'redis://host:6379/0'"
        )
    scheme, netloc, path, query = match.groups()
    return scheme.lower(), netloc, path, query or ""


def _host_and_port(text: str, url: str) -> tuple[str, int | None]:
    match = _HOST.fullmatch(text)
    if not match or not 0 < int(match[2] or 1) < 65536:
        raise ConfigurationError(
            f"a host or port in {without_password(url)!r} is bad: write 'host' or 'host:port' with a port "
            "from 1 to 65535 (and percent-encode '/', '?', '#' and '@' in a password)"
        )
    return match[1].strip("[]"), int(match[2]) if match[2] else None
