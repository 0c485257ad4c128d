"""Protection against cross-site request forgery, over any session that is a mutable mapping.

The session keeps a random secret. Each page carries it under a fresh random mask, so that a
compressed page does not give it away by its length (BREACH), and a form or script sends it back:

    page = f'<input type="hidden" name="csrf_token" value="{csrf_token(session)}">'

Log-in has to renew the secret (``Session.regenerate_id()`` does). Otherwise an attacker who planted
an anonymous session in the browser beforehand would know it.
"""

from __future__ import annotations

import hmac
import logging
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Literal

from session_mw.csrf_form import submitted_token
from session_mw.csrf_origin import (
    browser_objects,
    browser_vouches,
    origin_is_foreign,
    read_origin,
    read_trusted_origins,
    referer_is_foreign,
)
from session_mw.exceptions import ConfigurationError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

CSRF_KEY = "_csrf_token"

_log = logging.getLogger("session_mw")
_ANSWER = b"The CSRF check failed: reload the page and send the form again.\n"
_NO_CSRF = "its session has no CSRF secret"
_BAD_CSRF = "its CSRF token is missing or wrong"
_SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))  # RFC 9110, 9.2.1
# 33 bytes are exactly 44 characters of base64, and 66 are 88. Other sizes would leave spare bits in the last
# character, so that several texts would stand for one token.
_SECRET_BYTES = 33
_SECRET = re.compile(r"[A-Za-z0-9_-]{44}")
_MASKED = re.compile(r"[A-Za-z0-9_-]{88}")


def csrf_token(session: MutableMapping[str, Any]) -> str:
    """Make the token for a page: the session's secret under a mask that is new at each call.

    Every token made for a session stays good until the session's secret is renewed.

    Args:
        session: Any mutable mapping, for example ``environ["session"]``. It is written only
            where it holds no secret yet.

    Returns:
        88 characters that need no escaping in HTML, headers or URLs.
    """
    secret = urlsafe_b64decode(csrf_secret(session))
    mask = secrets.token_bytes(_SECRET_BYTES)
    return urlsafe_b64encode(mask + _xor(mask, secret)).decode("ascii")


def csrf_secret(session: MutableMapping[str, Any]) -> str:
    """The session's secret itself, made if the session has not got one yet. :func:`check_csrf` accepts it too.

    It is for callers that compare tokens for equality, as Pyramid's policy does.
    """
    return _stored_secret(session) or new_csrf_secret(session)


def new_csrf_secret(session: MutableMapping[str, Any]) -> str:
    """Renew the session's secret, and return it; tokens of the former one are rejected."""
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    session[CSRF_KEY] = secret
    return secret


def check_csrf(environ: WSGIEnvironment, session: Mapping[str, Any] | None, submitted: object = None) -> bool:
    """Say whether a request comes from a page of this site, which carried the session's token.

    ``Sec-Fetch-Site: cross-site``, or an ``Origin`` or ``Referer`` of another scheme, host or
    port, is rejected whatever the token. Behind a proxy that ends TLS, ``wsgi.url_scheme`` and
    ``HTTP_HOST`` therefore have to be what the browser sees; and pages under
    ``Referrer-Policy: no-referrer`` send ``Origin: null``, which is rejected (take ``same-origin``).

    Input of a wrong type is rejected and never raises. ``environ["wsgi.input"]`` can still be read
    from its start afterwards.

    Args:
        environ: The WSGI environ of the request.
        session: The session; with None the answer is False.
        submitted: The token, where the caller has it, for example because the framework has
            already read the form. If None, it is the header ``X-CSRF-Token``, and without one the
            field ``csrf_token`` of an urlencoded or multipart form, in the first 1 MiB of the body.
    """
    return _reason_to_reject(environ, session, submitted) is None


class CSRFMiddleware:
    """WSGI middleware that lets unsafe requests in from this site only, inside ``SessionMiddleware``.

        app = SessionMiddleware(CSRFMiddleware(app), secret_key=KEY)

    GET, HEAD, OPTIONS and TRACE always pass. Of any other request the browser says where it comes from:

    - ``Sec-Fetch-Site`` is ``same-origin`` or ``none``, or it is missing and ``Origin`` is the request's own scheme,
      host and port: it passes. It needs no token, and the session is not touched.
    - ``Sec-Fetch-Site`` is ``same-site`` or ``cross-site``, or ``Origin`` is ``null``, another one or malformed: it is
      rejected, with or without a token.
    - It says nothing (an old browser, or a program): a valid token is needed, as :func:`check_csrf` has it.

    A rejected request never reaches the app; the answer is 403 in plain text, which names the reason.

    ``Origin`` is compared with ``wsgi.url_scheme`` and ``HTTP_HOST``: behind a proxy that ends TLS, the server has to
    be told whom to believe, so that they are what the browser sees. No ``X-Forwarded-…`` is read here.

    Args:
        app: The WSGI app.
        environ_key: Where the session is in the environ.
        exempt: Called with the environ of an unsafe request; a true answer lets it pass
            unchecked, for clients that are not browsers and bring their own proof.
        tokens: ``"fallback"``: asked for where the browser says nothing. ``"always"``: every unsafe request has to
            pass :func:`check_csrf`, whatever the browser says.
        trusted_origins: Other origins, each ``scheme://host[:port]``, whose requests pass without a token, for
            example a payment service that sends its visitors back with a POST.

    Raises:
        ConfigurationError: A setting is wrong.
    """

    def __init__(
        self,
        app: WSGIApplication,
        environ_key: str = "session",
        *,
        exempt: Callable[[WSGIEnvironment], bool] | None = None,
        tokens: Literal["fallback", "always"] = "fallback",
        trusted_origins: Iterable[str] = (),
    ) -> None:
        if tokens not in ("fallback", "always"):
            raise ConfigurationError(f"tokens is 'fallback' or 'always', not {tokens!r}")
        self.app = app
        self.environ_key = environ_key
        self.exempt = exempt
        self.tokens = tokens
        self.trusted_origins = read_trusted_origins(trusted_origins)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Pass the request on, or answer 403.

        Raises:
            LookupError: There is no session in the environ.
        """
        if self.environ_key not in environ:
            raise LookupError(
                f"CSRFMiddleware found no session at environ[{self.environ_key!r}]; put it inside "
                "SessionMiddleware: SessionMiddleware(CSRFMiddleware(app), ...), with the same environ_key"
            )
        passes = environ.get("REQUEST_METHOD") in _SAFE_METHODS or (self.exempt and self.exempt(environ))
        reason = None if passes else self._reason_to_reject(environ)
        if reason is None:
            return self.app(environ, start_response)
        _log.info("CSRF: refused a request: %s", reason)
        if self.tokens == "always":
            answer = _ANSWER
        else:
            remedy = " Reload the page and send the form again." if reason in (_NO_CSRF, _BAD_CSRF) else ""
            answer = f"The CSRF check failed: the request was refused because {reason}.{remedy}\n".encode("ascii")
        start_response("403 Forbidden", [("Content-Type", "text/plain"), ("Content-Length", str(len(answer)))])
        return [answer]

    def _reason_to_reject(self, environ: WSGIEnvironment) -> str | None:
        if self.trusted_origins and read_origin(environ.get("HTTP_ORIGIN")) in self.trusted_origins:
            return None
        if self.tokens == "fallback":
            reason = browser_objects(environ)
            if reason is not None or browser_vouches(environ):
                return reason
        return _reason_to_reject(environ, environ[self.environ_key])


def _reason_to_reject(
    environ: WSGIEnvironment, session: Mapping[str, Any] | None, submitted: object = None
) -> str | None:
    """Why the request is rejected, in words that quote nothing of it; None where it passes."""
    if "cross-site" in str(environ.get("HTTP_SEC_FETCH_SITE", "")).lower():
        return "the browser says that it comes from another site"
    if origin_is_foreign(environ) or referer_is_foreign(environ):
        return "its Origin or Referer is not this site's"
    secret = _stored_secret(session)
    if secret is None:
        return _NO_CSRF
    token = submitted_token(environ) if submitted is None else submitted
    if isinstance(token, str) and _MASKED.fullmatch(token):
        both = urlsafe_b64decode(token)
        token = urlsafe_b64encode(_xor(both[:_SECRET_BYTES], both[_SECRET_BYTES:])).decode("ascii")
    # compare_digest raises TypeError for a str that is not ASCII.
    is_right = isinstance(token, str) and token.isascii() and hmac.compare_digest(token, secret)
    return None if is_right else _BAD_CSRF


def _stored_secret(session: Mapping[str, Any] | None) -> str | None:
    get = getattr(session, "get", None)
    secret = get(CSRF_KEY) if callable(get) else None
    return secret if isinstance(secret, str) and _SECRET.fullmatch(secret) else None


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
