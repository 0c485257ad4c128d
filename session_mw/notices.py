"""Warnings about what cannot work as it is set up, each told once by a manager."""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from session_mw.cookies import SessionCookie, domain_matches, host_name, path_matches
from session_mw.protocols import Codec
from session_mw.session import Session, place_of

logger = logging.getLogger("session_mw")

_SECONDS_BETWEEN_LOOKS = 60.0
_MOST_SHOWN = 200
"""Characters of what a client has sent."""
_LOOPBACK = re.compile(r"127(?:\.[0-9]{1,3}){3}")
LARGE_COOKIE = 3500
"""Bytes of name and value. Proxies' default buffers hold 4 KB of all headers together (nginx, uWSGI)."""


REASONS = ("size", "secure", "domain", "path", "public", "setting", "device_path", "device_http")
"""Why a session is empty at the next request though its cookie was sent; and why none is bound to a device."""


class Notice(NamedTuple):
    """One of them."""

    reason: str
    """One of :data:`REASONS`."""
    message: str
    arguments: tuple[object, ...] = ()
    """What stands for the ``%`` in the message."""

    @property
    def text(self) -> str:
        """The whole message."""
        return self.message % self.arguments


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
        self._told: dict[str, object] = {}

    def sets_cookie(self, size: int, session: Session) -> None:
        """Look at a cookie that a response sets.

        Args:
            size: Bytes of its name and value.
            session: The session that it carries.
        """
        for notice in self.about(size, session._environ):
            self._warn(notice)

    def about(self, size: int, environ: Mapping[str, Any] | None) -> Iterator[Notice]:
        """What would keep a cookie from coming back that is set by the response to a request.

        What a proxy says of the browser's request counts as well as the request: a wrong alarm would be worse than
        none, and a client that says so only keeps this from being told.

        Args:
            size: Bytes of its name and value.
            environ: The request's; None where it is not known any more.
        """
        if size > LARGE_COOKIE:
            yield Notice(
                "size",
                "a session cookie of %d bytes is sent; proxies with their default buffers answer 502 to one of about "
                "4000 (nginx: proxy_buffer_size, uWSGI: buffer-size). Keep less in the session, or move it to a store",
                (size,),
            )
        if not environ or not self.watch:
            return
        cookie, (host, path) = self._cookie, place_of(environ)
        schemes = [environ.get("wsgi.url_scheme", "https"), *_forwarded(environ, "PROTO")]
        if cookie.always_secure and "https" not in schemes and not is_this_machine(host):
            yield Notice(
                "secure",
                "the session cookie is Secure, and a request came over http: browsers will not send it back, unless a "
                "proxy has ended TLS. Have it send X-Forwarded-Proto, or serve the site over https",
            )
        hosts = [name for name in (host, *_forwarded(environ, "HOST")) if name]
        if cookie.domain is not None and hosts and not any(domain_matches(cookie.domain, name) for name in hosts):
            yield Notice(
                "domain",
                "the session cookie has Domain=%s, and a request came to the host %r: browsers refuse such a cookie. "
                "Leave cookie_domain out, or have the proxy pass the Host header on",
                (cookie.domain, host[:_MOST_SHOWN]),
            )
        paths = [path, *(prefix.rstrip("/") + path for prefix in _forwarded(environ, "PREFIX"))]
        if "PATH_INFO" in environ and not any(path_matches(cookie.path, seen) for seen in paths):
            yield Notice(
                "path",
                "the session cookie has Path=%s, and is set by a page at %r, to which browsers will not send it. "
                "Leave cookie_path out; if a proxy takes that path off, have it send X-Forwarded-Prefix",
                (cookie.path, path[:_MOST_SHOWN]),
            )

    def shared_response(self, place: tuple[str, str]) -> None:
        """Tell that a response that sets the cookie is marked for shared caches."""
        self._warn(
            Notice(
                "public",
                "the page at %r sets the session cookie and says Cache-Control: public or s-maxage; "
                'no-cache="Set-Cookie" was added, or a cache would give one visitor\'s session to the next. '
                "Let pages that write to the session say private",
                (place[1][:_MOST_SHOWN],),
            )
        )

    def device_path(self, path: str) -> None:
        """Tell that browsers would not send the session cookie to the path at which devices are registered."""
        self._warn(
            Notice(
                "device_path",
                "sessions are not bound to devices: browsers would not send the session cookie, which has Path=%s, "
                "to %s. Let device_path lie below cookie_path",
                (self._cookie.path, path[:_MOST_SHOWN]),
            )
        )

    def device_over_http(self, session: Session) -> None:
        """Tell that a session cannot be bound to a device, since the request came over http."""
        if not is_this_machine(session._place()[0]):
            self._warn(
                Notice(
                    "device_http",
                    "sessions are not bound to devices where a request comes over http, and one did. If a proxy has "
                    "ended TLS, tell the server to believe its X-Forwarded-Proto",
                )
            )

    def rejected(self, token: str) -> None:
        """Look whether a rejected token is authentic under another setting, once a minute at most.

        Anyone can send tokens: looking at each would double the work that they cause.
        """
        now = time.monotonic()
        if "setting" in self._told or now - self._looked_at < _SECONDS_BETWEEN_LOOKS:
            return
        self._looked_at = now
        setting = self.other_setting(token)
        if setting is not None:
            self._warn(
                Notice(
                    "setting",
                    "a session cookie was rejected that is authentic %s; do all processes, and the application "
                    "that made it, have the same settings?",
                    (setting,),
                )
            )

    def other_setting(self, token: str) -> str | None:
        """Under which setting that the manager does not have a token would be authentic, in words; None: under none."""
        with contextlib.suppress(Exception):  # a client can never cause an exception
            for setting, codec in self._others():
                if codec.shape.fullmatch(token) and codec.decode(token):
                    return setting
        return None

    def _warn(self, notice: Notice) -> None:
        mine = object()
        # In one step, since two threads may come at once.
        if self._told.setdefault(notice.reason, mine) is mine:
            logger.warning(notice.message, *notice.arguments)


def _forwarded(environ: Mapping[str, Any], what: str) -> list[str]:
    """What the proxies in front say of the browser's request, in lower case but for a path."""
    text: str = environ.get(f"HTTP_X_FORWARDED_{what}", "")
    values = [value.strip() for value in text.split(",") if value.strip()]
    return values if what == "PREFIX" else [value.lower() for value in values]


def is_this_machine(host: str) -> bool:
    """Whether browsers take the host for secure without TLS."""
    name = host_name(host)
    return (
        name in ("localhost", "[::1]")
        or host == "::1"
        or name.endswith(".localhost")
        or bool(_LOOPBACK.fullmatch(name))
    )
