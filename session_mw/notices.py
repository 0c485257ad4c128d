"""Warnings about what cannot work as it is set up, each told once by a manager."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable

from session_mw.cookies import SessionCookie, domain_matches, path_matches
from session_mw.protocols import Codec

logger = logging.getLogger("session_mw")

_SECONDS_BETWEEN_LOOKS = 60.0
LARGE_COOKIE = 3500
"""Bytes of name and value. Proxies' default buffers hold 4 KB of all headers together (nginx, uWSGI)."""


class Notices:
    """Tells, once for each reason, why a session will always be empty, or soon.

    A browser that drops a cookie says nothing to the server: the next request simply comes without it.

    Args:
        cookie: The cookie that carries the session.
        others: Makes codecs of other settings that the same keys may have been used with, each with words for it.

    Attributes:
        watch: Whether each cookie that is set has to be looked at: its attributes may not fit every request.
    """

    def __init__(self, cookie: SessionCookie, others: Callable[[], list[tuple[str, Codec]]]) -> None:
        self.watch = cookie.always_secure or cookie.domain is not None or cookie.path != "/"
        self._cookie = cookie
        self._others = others
        self._looked_at = -_SECONDS_BETWEEN_LOOKS
        self._told: set[str] = set()

    def sets_cookie(self, size: int, place: tuple[str, str], https: bool) -> None:
        """Look at a cookie that a response sets.

        Args:
            size: Bytes of its name and value.
            place: The request's host and path.
            https: Whether the request came over https.
        """
        cookie, (host, path) = self._cookie, place
        if size > LARGE_COOKIE:
            self._warn(
                "size",
                "a session cookie of %d bytes is sent; proxies with their default buffers answer 502 to one of about "
                "4000 (nginx: proxy_buffer_size, uWSGI: buffer-size). Keep less in the session, or move it to a store",
                size,
            )
        if cookie.always_secure and not https and not _is_this_machine(host):
            self._warn(
                "secure",
                "the session cookie is Secure, and a request came over http: browsers will not send it back. If a "
                "proxy ends TLS, have the server set wsgi.url_scheme from X-Forwarded-Proto",
            )
        if cookie.domain is not None and host and not domain_matches(cookie.domain, host):
            self._warn(
                "domain",
                "the session cookie has Domain=%s, and a request came to the host %r: browsers refuse such a cookie. "
                "Leave cookie_domain out, or have the proxy pass the Host header on",
                cookie.domain,
                host,
            )
        if cookie.path != "/" and not path_matches(cookie.path, path):
            self._warn(
                "path",
                "the session cookie has Path=%s, and is set by a page at %r, to which browsers will not send it. "
                "Leave cookie_path out, or set it to what the browser sees",
                cookie.path,
                path,
            )

    def shared_response(self, place: tuple[str, str]) -> None:
        """Tell that a response that sets the cookie is marked for shared caches."""
        self._warn(
            "public",
            "the page at %r sets the session cookie and says Cache-Control: public or s-maxage; "
            'no-cache="Set-Cookie" was added, or a cache would give one visitor\'s session to the next. '
            "Let pages that write to the session say private",
            place[1],
        )

    def rejected(self, token: str) -> None:
        """Look whether a rejected token is authentic under another setting, once a minute at most.

        Anyone can send tokens: looking at each would double the work that they cause.
        """
        now = time.monotonic()
        if "setting" in self._told or now - self._looked_at < _SECONDS_BETWEEN_LOOKS:
            return
        self._looked_at = now
        for setting, codec in self._others():
            with contextlib.suppress(Exception):  # a client can never cause an exception
                if codec.shape.fullmatch(token) and codec.decode(token):
                    self._warn(
                        "setting",
                        "a session cookie was rejected that is authentic %s; do all processes, and the application "
                        "that made it, have the same settings?",
                        setting,
                    )
                    return

    def _warn(self, reason: str, message: str, *args: object) -> None:
        if reason not in self._told:
            self._told.add(reason)
            logger.warning(message, *args)


def _is_this_machine(host: str) -> bool:
    """Whether browsers take the host for secure without TLS."""
    name = host.rsplit(":", 1)[0].lower()
    return name in ("localhost", "127.0.0.1", "[::1]") or name.endswith(".localhost")
