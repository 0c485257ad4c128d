"""Who may see the inspector: a browser on this machine, and nobody by way of a proxy."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Any

from session_mw.inspector.html import shown
from session_mw.notices import is_this_machine
from session_mw.session import place_of

_OF_A_PROXY = re.compile(
    r"HTTP_(?:VIA|CDN_LOOP|CF_.+|FRONT_END_HTTPS|SSL_CLIENT_.+|(?:.+_)?PROXY_.+|.+_PROXY"
    r"|.*FORWARDED.*|.*(?:CLIENT|CONNECTING|REAL|USER)_?IP"
    r"|X_(?:ACCEL|AMZN|ARR|AZURE|CLIENT|ENVOY|HOST|ORIGINAL|PORT|REAL|REQUEST_(?:ID|START)|REWRITE|SCHEME|SENDFILE"
    r"|SSL|TRAEFIK|URL_SCHEME|VARNISH).*)"
)
"""Headers by which proxies, load balancers and CDNs give themselves away (RFC 7239, RFC 9110 §7.6.3, RFC 8586).

``HTTP_PROXY`` alone is none: servers of ``wsgiref`` copy the process's environment, where it names one for clients.
"""


def refusal(environ: Mapping[str, Any]) -> str | None:
    """Why a request is not answered, in a sentence; None: it may be.

    The address tells who connects. A proxy on this machine connects from here too, for anybody. So a request that
    went through one is refused, as far as it can be told. The Host header tells for which site the browser takes
    this one: another name that leads here (DNS rebinding) would let that site's scripts read the page.
    """
    if not _is_loopback(environ.get("REMOTE_ADDR", "")):
        return "It answers clients on this machine only, at 127.0.0.1 or ::1."
    through = next((name for name in _names(environ) if _OF_A_PROXY.fullmatch(name)), None)
    if through is not None:
        header = through.removeprefix("HTTP_").replace("_", "-").title()
        return f"It does not answer through a proxy, and this request has the header {shown(header, 60)}."
    if not is_this_machine(place_of(environ)[0]):
        return "It answers under a name of this machine only: localhost, 127.0.0.1 or [::1]."
    return None


def _names(environ: Mapping[str, Any]) -> Iterator[str]:
    """The names in the environ, and of headers that were in the request.

    waitress takes what a proxy says out of the environ if it is not told to trust that proxy. A function that it puts
    there belongs to the connection, whose request still has all headers.
    """
    yield from environ
    channel = getattr(environ.get("waitress.client_disconnected"), "__self__", None)
    for request in getattr(channel, "requests", [])[:1]:
        yield from (f"HTTP_{name}" for name in request.headers)


def _is_loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback
