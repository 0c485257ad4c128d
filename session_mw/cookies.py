"""One cookie: found in a Cookie header, written as Set-Cookie (RFC 6265bis)."""

from __future__ import annotations

import ipaddress
import re
import warnings
from email.utils import formatdate
from itertools import islice
from typing import Literal, cast

with warnings.catch_warnings():
    # WebOb 1.8 imports cgi, which warns on Python 3.11 and 3.12: `python -W error` could not import this package.
    warnings.filterwarnings("ignore", "'cgi' is deprecated", DeprecationWarning)
    from webob.cookies import make_cookie

MAX_HEADER = 64 * 1024
MAX_COOKIE = 4096
MAX_CANDIDATES = 8
MAX_DELETIONS = 16
MAX_KNOWN = 256
"""Headers that are remembered at most, of at most ``MAX_COOKIE`` characters."""
MAX_ATTRIBUTE = 1024
"""Browsers ignore a longer Path (RFC 6265bis §5.6)."""

NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
PATH = re.compile(r"/[\x21-\x3a\x3c-\x7e]*")
DOMAIN = re.compile(
    r"\.?(?=.{1,253}\Z)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    r"(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)
# Hosts have underscores in their names that no registry allows, and browsers keep cookies for them.
_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]{0,62})?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,62})?)*")
_DELETED = "Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0"


class SessionCookie:
    """The cookie's name and attributes; everything that is the same for all requests is made once.

    Args:
        secure: ``True``, ``False`` or ``"auto"``: Secure over https only.
    """

    def __init__(
        self,
        name: str,
        *,
        domain: str | None,
        path: str,
        secure: bool | str,
        httponly: bool,
        samesite: str | None,
        partitioned: bool,
    ) -> None:
        self.name = name
        self.head = name + "="
        self.domain = domain
        self.path = path
        self.always_secure = secure is True
        self._attributes = {}
        for https in (False, True):
            on = https if secure == "auto" else bool(secure)
            self._attributes[https] = _attributes(on, httponly, samesite, partitioned)
        # Browsers accept Partitioned with Secure only; over http there is no such cookie.
        self._other_kind = _attributes(True, httponly, samesite, not partitioned)
        self._tails = {https: self._scope(domain, path) + rest for https, rest in self._attributes.items()}
        self._date = (-1, "")
        self._known: dict[str, list[str]] | None = None

    def remember_headers(self) -> None:
        """Remember what is in headers: where another cookie has the name in its own, looking takes longer."""
        self._known = {}

    def values(self, header: str) -> list[str]:
        """The distinct values of the cookie in a Cookie header, in its order; none where it is longer than 64 KiB."""
        if len(header) > MAX_HEADER:
            return []
        if self._known is not None:
            return self._remembered(header, self._known)
        if ";" in header:
            return self._of_pairs(header)
        name, _, value = header.partition("=")
        return [_unquoted(value)] if name.strip(" \t") == self.name else []

    def _remembered(self, header: str, known: dict[str, list[str]]) -> list[str]:
        values = known.get(header)
        if values is None:
            values = self._several(header)
            if len(known) >= MAX_KNOWN:
                known.clear()
            if len(header) <= MAX_COOKIE:
                known[header] = values
        return values

    def _of_pairs(self, header: str) -> list[str]:
        before, head, after = header.partition(self.head)
        if not head or self.name in before or self.name in after:
            return self._several(header)
        # What is left of the pair in front of the name has to be blank: xsession=... is another cookie.
        if before and before.rpartition(";")[2].strip(" \t"):
            return []
        return [_unquoted(after.partition(";")[0])]

    def _several(self, header: str) -> list[str]:
        values = []
        for pair in header.split(";"):
            # Most pairs are other cookies: this is told at once.
            if self.name in pair:
                name, _, value = pair.partition("=")
                if name.strip(" \t") == self.name:
                    values.append(_unquoted(value))
        return list(dict.fromkeys(values))

    def set(self, value: str, https: bool, expires: int | None = None) -> str:
        """The Set-Cookie header's text.

        Args:
            https: Whether the request came over https.
            expires: Unix time at which the browser drops the cookie; None: when it is closed.
        """
        if expires is None:
            return f"{self.head}{value}{self._tails[https]}"
        return f"{self.head}{value}; Expires={self._http_date(expires)}{self._tails[https]}"

    def set_for(self, value: str, https: bool, seconds: int) -> str:
        """As :meth:`set`, for so many seconds by the browser's own clock, whatever that says."""
        return f"{self.head}{value}; Max-Age={seconds}{self._tails[https]}"

    def attributes(self, https: bool) -> str:
        """The cookie's attributes, but for its end, as Set-Cookie has them."""
        return self._tails[https].removeprefix("; ")

    def delete(self, https: bool) -> str:
        """The Set-Cookie header's text that makes the browser drop the cookie."""
        return f"{self.head}; {_DELETED}{self._tails[https]}"

    def delete_elsewhere(self, host: str, path: str, https: bool, *, behind_tls: bool = False) -> list[str]:
        """Deletions of cookies of this name that a page may see beside ours; at most 16.

        They stand under another Domain or Path (a setting was changed, a proxy rewrites what the application sees
        of the request), or are of the other kind: browsers keep a partitioned cookie apart from one that is not, so
        that each needs a deletion of its own (CHIPS), also under our own Domain and Path.

        Args:
            host: The request's Host header.
            path: The request's path, decoded.
            behind_tls: Whether a proxy says that the browser spoke https. Who lies here gets more deletions.
        """
        own = (self.domain and self.domain.lstrip(".").lower(), self.path)
        scopes = [own]
        if not self.name.lower().startswith("__host-"):
            hosts = _domains(host)
            domains = [
                *hosts,
                *(domain for domain in _domains((self.domain or "").lstrip(".")) if domain not in hosts),
            ]
            # A cookie of "/app/" comes with "/app/x", also where a proxy has taken "/app" away from what is seen here.
            paths = dict.fromkeys([*_path_prefixes(path), *_path_prefixes(self.path.rstrip("/") + "/")])
            elsewhere = [(domain, prefix) for prefix in paths for domain in domains if (domain, prefix) != own]
            # One setting is changed more often than two at once, and there is no place for all.
            same_path = [scope for scope in elsewhere if scope[1] == self.path]
            same_domain = [scope for scope in elsewhere if scope[0] == own[0]]
            scopes = list(dict.fromkeys([own, *same_path, *same_domain, *elsewhere]))
        same, other = self._attributes[https], self._other_kind
        deletions = [(scope, same) for scope in scopes[1:]]
        if https or behind_tls:
            deletions = [(own, other), *deletions, *((scope, other) for scope in scopes[1:])]
        return [
            f"{self.head}; {_DELETED}{self._scope(*scope)}{attributes}"
            for scope, attributes in deletions[:MAX_DELETIONS]
        ]

    @staticmethod
    def _scope(domain: str | None, path: str) -> str:
        return f"; Path={path}" if domain is None else f"; Domain={domain}; Path={path}"

    def _http_date(self, at: int) -> str:
        last, text = self._date
        if last != at:
            text = formatdate(at, usegmt=True)
            self._date = at, text
        return text


def domain_matches(domain: str, host: str) -> bool:
    """Whether a cookie with this Domain may be set by the host (RFC 6265 §5.1.3)."""
    name, domain = host_name(host), domain.lstrip(".").lower()
    return name == domain or (name.endswith("." + domain) and not _is_ip_address(name))


def path_matches(cookie_path: str, path: str) -> bool:
    """Whether a cookie with this Path is sent to a request's path (RFC 6265 §5.1.4)."""
    return path == cookie_path or (
        path.startswith(cookie_path) and (cookie_path.endswith("/") or path[len(cookie_path)] == "/")
    )


def host_name(host: str) -> str:
    """The name or address in a Host header: without the port and a final dot, in lower case."""
    name = host.rsplit(":", 1)[0] if re.search(r":[0-9]*\Z", host) else host
    return name.lower().rstrip(".")


def _unquoted(value: str) -> str:
    value = value.strip(" \t")
    if '"' not in value:
        return value
    return value[1:-1] if value[0] == value[-1] == '"' and len(value) > 1 else value


def _attributes(secure: bool, httponly: bool, samesite: str | None, partitioned: bool) -> str:
    same = cast("Literal['Lax', 'Strict', 'None'] | None", samesite)
    cookie: str = make_cookie("name", "value", secure=secure, httponly=httponly, samesite=same)
    attributes = cookie.removeprefix("name=value; Path=/").replace("; secure", "; Secure")
    return attributes + "; Partitioned" if partitioned else attributes


def _domains(host: str) -> list[str | None]:
    """None for a host-only cookie, then the host and its parents, as far as they may hold a cookie."""
    name = host_name(host)
    if not _HOST.fullmatch(name) or _is_ip_address(name):
        return [None]
    labels = name.split(".")
    return [None, *(".".join(labels[n:]) for n in range(max(1, len(labels) - 1)))]


def _is_ip_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name.rpartition(".")[2].isdigit()
    return True


def _path_prefixes(path: str) -> list[str]:
    """The paths whose cookies a browser sends to ``path`` (RFC 6265 §5.1.4), shortest first."""
    prefixes = ["/"]
    if PATH.fullmatch(path):
        for match in islice(re.finditer("/", path[1:]), MAX_DELETIONS):
            prefixes += [path[: match.end()], path[: match.end() + 1]]
        prefixes.append(path)
    return list(dict.fromkeys(prefix for prefix in prefixes if len(prefix) <= MAX_ATTRIBUTE))
