"""Where a log-in page may send its visitor: to a path on this host."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

# What RFC 3986 lets a path and a query hold; "%" too, since what is encoded already stays as it is.
_SAFE = "/?#:@!$&'()*+,;=%-._~"
_PATH_END = re.compile("[?#]")
_ELSEWHERE = re.compile(r"//|[\\\x00-\x1f\x7f]")


def safe_redirect(environ: Mapping[str, Any], target: object, default: str = "/") -> str:
    """The target of a redirect, if it is a path on this host; else the default.

    An absolute URL of the same host gives the default too: the Host header says which host this is, and
    anybody can send one. Browsers take a backslash for a slash, leave out tabs and line breaks, and read
    ``//evil.com`` as another host (https://url.spec.whatwg.org/#url-parsing).

    Args:
        environ: The request's WSGI environ.
        target: What the client sent, ``next`` of a query say, decoded; may be None.
        default: What is returned instead; not checked.

    Returns:
        Printable ASCII without spaces, fit for a Location header; what is not ASCII is percent-encoded.
    """
    if not isinstance(target, str) or not target.startswith("/") or "\\" in target:
        return default
    # Control and format characters, private ones, surrogates, separators: C* and Z* of Unicode.
    if any(unicodedata.category(character)[0] in "CZ" for character in target):
        return default
    # "//" further on too: an application that strips a prefix or adds a slash would make another host of it. Encoded
    # too: servers that redirect to a path in a cleaner spelling have sent visitors of "/%2f%2fevil.com" to evil.com.
    path = _PATH_END.split(target, maxsplit=1)[0]
    if any(_ELSEWHERE.search(spelling) for spelling in (path, unquote(path))):
        return default
    return quote(target, safe=_SAFE)


def login_url_for(login_url: str, environ: Mapping[str, Any]) -> str:
    """The URL of the log-in page, with this request's path and query as ``next``."""
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    # A WSGI str holds bytes (PEP 3333).
    here = quote(path.encode("latin-1", "replace"), safe="/:@!$'()*,;=-._~")
    query = environ.get("QUERY_STRING", "")
    if query:
        here += "?" + query
    next_ = quote(here.encode("latin-1", "replace"), safe="/")
    page, hash_, fragment = login_url.partition("#")
    return f"{page}{'&' if '?' in page else '?'}next={next_}{hash_}{fragment}"
