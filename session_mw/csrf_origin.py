"""Where a request comes from, as browsers tell it: ``Sec-Fetch-Site``, ``Origin``, ``Referer``."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from session_mw.exceptions import ConfigurationError, kind_of

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_AUTHORITY = r"([^\x00-\x20\x7f-\U0010ffff/?#@:\\,\[\]]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{0,5}))?"
_HOST = re.compile(_AUTHORITY)
_ORIGIN = re.compile(rf"([A-Za-z][A-Za-z0-9+.-]*)://{_AUTHORITY}")
_REFERER = re.compile(rf"{_ORIGIN.pattern}(?:[/?#][^\x00-\x20\x7f]*)?")
_DEFAULT_PORTS = {"http": 80, "https": 443}

# A setting allows less than a header may hold: "*.example.com" and "" are not hosts.
_LISTED = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*)://([^\x00-\x20\x7f/?#@:\\,*\[\]]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?"
)
_HOST_NAME = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?")
# Python's codec follows IDNA 2003 and browsers follow IDNA 2008, which turn these four into different hosts.
_READ_DIFFERENTLY = frozenset("ßς\u200c\u200d")

_VOUCHING = ("same-origin", "none")
_BETWEEN_WORDS = re.compile(r"[,;\s]+")


class Origin(NamedTuple):
    """Scheme, host and port, in one spelling: two origins are the same if they are equal (RFC 6454, 5)."""

    scheme: str
    host: str
    port: int | None


def read_origin(text: object) -> Origin | None:
    """Read the value of an ``Origin`` header; None if it is ``null``, several, or not well-formed."""
    found = _ORIGIN.fullmatch(str(text))
    return found and _origin(*found.groups())


def own_origin(environ: WSGIEnvironment) -> Origin | None:
    """Scheme, host and port of this request (PEP 3333, URL Reconstruction); None under a malformed ``Host``.

    ``X-Forwarded-Host`` and its like are not read, for anybody may send them: a server that knows its proxy writes
    what they say to ``HTTP_HOST`` and ``wsgi.url_scheme``.
    """
    host = environ.get("HTTP_HOST") or f"{environ.get('SERVER_NAME')}:{environ.get('SERVER_PORT')}"
    found = _HOST.fullmatch(str(host))
    return found and _origin(str(environ.get("wsgi.url_scheme")), *found.groups())


def origin_is_foreign(environ: WSGIEnvironment) -> bool:
    """Whether there is an ``Origin`` that is not the request's own."""
    return _is_foreign(environ, "HTTP_ORIGIN", _ORIGIN)


def referer_is_foreign(environ: WSGIEnvironment) -> bool:
    """Whether there is a ``Referer`` of another origin than the request's own."""
    return _is_foreign(environ, "HTTP_REFERER", _REFERER)


def browser_vouches(environ: WSGIEnvironment) -> bool:
    """Whether the browser says that the request comes from a page of this origin, or directly from its user.

    ``Sec-Fetch-Site`` tells it, whatever ``Origin`` says: the browser compares what it sees itself, which behind a
    proxy may be another scheme or host than the server's. An unknown word counts as a missing header.
    """
    if _fetch_site(environ) in _VOUCHING:
        return True
    return "HTTP_ORIGIN" in environ and browser_objects(environ) is None


def browser_objects(environ: WSGIEnvironment) -> str | None:
    """Why the request comes from elsewhere, by what the browser says; None if it does not say so.

    Returns:
        A reason in words, which completes "the request was refused because" and quotes nothing of the request.
    """
    site = _fetch_site(environ)
    if site in _VOUCHING:
        return None
    # Some servers join two headers into one value with a comma. The worse of the words counts.
    words = _BETWEEN_WORDS.split(site.lower())
    if "cross-site" in words:
        return "the browser says that it comes from another site"
    if "same-site" in words:
        return "the browser says that it comes from another host or port of this site"
    if "HTTP_ORIGIN" not in environ:
        return None
    value = str(environ["HTTP_ORIGIN"])
    theirs, ours = read_origin(value), own_origin(environ)
    if value == "null":
        return "its Origin is null, as from a sandboxed frame or under Referrer-Policy: no-referrer"
    if theirs is None:
        return "its Origin is not well-formed"
    if ours is None:
        return "its Host is not well-formed, so that no Origin can be this site's"
    if theirs == ours:
        return None
    if theirs.host == ours.host and (theirs.scheme, ours.scheme) == ("https", "http"):
        # The likeliest cause by far is not an attack, but a server that does not know of the proxy that ends TLS.
        return "its Origin is https and wsgi.url_scheme is http: a server behind a proxy has to be told of it"
    return "its Origin is not this site's"


def read_trusted_origins(listed: Iterable[str]) -> frozenset[Origin]:
    """Check a setting of origins, each ``scheme://host[:port]``.

    Raises:
        ConfigurationError: It is not a list, or one of them is not an origin; the message says what to write.
    """
    if isinstance(listed, (str, bytes)) or not isinstance(listed, Iterable):
        raise ConfigurationError(
            f"trusted_origins is a list of origins, not {kind_of(listed)}; write ['https://…'], also for a single one"
        )
    return frozenset(_listed(origin) for origin in listed)


def _fetch_site(environ: WSGIEnvironment) -> str:
    return str(environ.get("HTTP_SEC_FETCH_SITE", "")).strip(" \t")


def _is_foreign(environ: WSGIEnvironment, name: str, pattern: re.Pattern[str]) -> bool:
    if name not in environ:
        return False
    found = pattern.fullmatch(str(environ[name]))
    theirs = found and _origin(*found.groups())
    return theirs is None or theirs != own_origin(environ)


def _origin(scheme: str, host: str, port: str | None) -> Origin | None:
    scheme, host = scheme.lower(), host.lower()
    if host.startswith("["):
        try:
            host = f"[{ipaddress.IPv6Address(host[1:-1])}]"
        except ValueError:
            return None
    return Origin(scheme, host, int(port) if port else _DEFAULT_PORTS.get(scheme))


def _listed(text: object) -> Origin:
    found = _LISTED.fullmatch(text) if isinstance(text, str) else None
    origin = found and _origin(found[1], _ascii_host(found[2]), found[3])
    if origin is None or not (origin.host.startswith("[") or _HOST_NAME.fullmatch(origin.host)):
        raise ConfigurationError(
            f"trusted_origins: {text!r} is not an origin; write scheme://host or scheme://host:port as browsers send "
            "it, without a path, a slash at its end or a wildcard, and each host by itself"
        )
    if origin.port is not None and not 0 < origin.port < 65536:
        raise ConfigurationError(f"trusted_origins: {text!r} has the port {origin.port}; ports are 1 to 65535")
    return origin


def _ascii_host(host: str) -> str:
    """The host as browsers send it (IDNA): xn--… where it is not ASCII. Empty if it cannot be told."""
    if host.isascii():
        return host
    if not _READ_DIFFERENTLY.isdisjoint(host):
        raise ConfigurationError(f"trusted_origins: write the host {host!r} as browsers send it, beginning with xn--")
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:
        return ""
