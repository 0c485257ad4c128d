"""Protection against cross-site request forgery, over any session that is a mutable mapping.

The session keeps a random secret. Each page carries it under a fresh random mask, so that a
compressed page does not give it away by its length (BREACH), and a form or script sends it back:

    page = f'<input type="hidden" name="csrf_token" value="{csrf_token(session)}">'

Log-in has to renew the secret (``Session.regenerate_id()`` does), else whoever could plant an
anonymous session beforehand would know it.
"""

from __future__ import annotations

import hmac
import logging
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from session_mw.csrf_form import submitted_token

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

CSRF_KEY = "_csrf_token"

_log = logging.getLogger("session_mw")
_ANSWER = b"The CSRF check failed: reload the page and send the form again.\n"
_SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))  # RFC 9110, 9.2.1
# 33 bytes are 44 characters and 66 are 88, without spare bits: two spellings are two tokens.
_SECRET_BYTES = 33
_SECRET = re.compile(r"[A-Za-z0-9_-]{44}")
_MASKED = re.compile(r"[A-Za-z0-9_-]{88}")
_AUTHORITY = r"([^\x00-\x20\x7f-\U0010ffff/?#@:\\,\[\]]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{0,5}))?"
_HOST = re.compile(_AUTHORITY)
_ORIGIN = re.compile(rf"([A-Za-z][A-Za-z0-9+.-]*)://{_AUTHORITY}")
_REFERER = re.compile(rf"{_ORIGIN.pattern}(?:[/?#][^\x00-\x20\x7f]*)?")
_DEFAULT_PORTS = {"http": 80, "https": 443}


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
    """The session's secret itself, made if there is none yet. :func:`check_csrf` accepts it too.

    It is for callers that compare tokens for equality, as Pyramid's policy does.
    """
    return _stored_secret(session) or new_csrf_secret(session)


def new_csrf_secret(session: MutableMapping[str, Any]) -> str:
    """Renew the session's secret, and return it; tokens of the former one are refused."""
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    session[CSRF_KEY] = secret
    return secret


def check_csrf(environ: WSGIEnvironment, session: Mapping[str, Any] | None, submitted: object = None) -> bool:
    """Say whether a request comes from a page of this site, which carried the session's token.

    ``Sec-Fetch-Site: cross-site``, or an ``Origin`` or ``Referer`` of another scheme, host or
    port, is refused whatever the token. Behind a proxy that ends TLS, ``wsgi.url_scheme`` and
    ``HTTP_HOST`` therefore have to be what the browser sees; and pages under
    ``Referrer-Policy: no-referrer`` send ``Origin: null``, which is refused (take ``same-origin``).

    Bad input of any type is a refusal. ``environ["wsgi.input"]`` can be read afterwards as if
    nobody had read it.

    Args:
        environ: The WSGI environ of the request.
        session: The session; None is a refusal.
        submitted: The token, where the caller has it, for example because the framework has
            already read the form. If None, it is the header ``X-CSRF-Token``, and without one the
            field ``csrf_token`` of an urlencoded or multipart form, in the first 1 MiB of the body.
    """
    return _refusal(environ, session, submitted) is None


class CSRFMiddleware:
    """WSGI middleware that checks every unsafe request, inside ``SessionMiddleware``.

        app = SessionMiddleware(CSRFMiddleware(app), secret_key=KEY)

    A request whose method is not GET, HEAD, OPTIONS or TRACE and that :func:`check_csrf`
    refuses never reaches the app; the answer is 403 in plain text.

    Args:
        app: The WSGI app.
        environ_key: Where the session is in the environ.
        exempt: Called with the environ of an unsafe request; a true answer lets it pass
            unchecked, for clients that are no browsers and bring their own proof.
    """

    def __init__(
        self,
        app: WSGIApplication,
        environ_key: str = "session",
        *,
        exempt: Callable[[WSGIEnvironment], bool] | None = None,
    ) -> None:
        self.app = app
        self.environ_key = environ_key
        self.exempt = exempt

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
        reason = None if self._passes_unchecked(environ) else _refusal(environ, environ[self.environ_key])
        if reason is None:
            return self.app(environ, start_response)
        _log.info("CSRF: refused a request: %s", reason)
        start_response("403 Forbidden", [("Content-Type", "text/plain"), ("Content-Length", str(len(_ANSWER)))])
        return [_ANSWER]

    def _passes_unchecked(self, environ: WSGIEnvironment) -> bool:
        return environ.get("REQUEST_METHOD") in _SAFE_METHODS or bool(self.exempt and self.exempt(environ))


def _refusal(environ: WSGIEnvironment, session: Mapping[str, Any] | None, submitted: object = None) -> str | None:
    """Why the request is refused, in words that hold nothing of the client's."""
    if "cross-site" in str(environ.get("HTTP_SEC_FETCH_SITE", "")).lower():
        return "the browser says that it comes from another site"
    if _is_foreign(environ, "HTTP_ORIGIN", _ORIGIN) or _is_foreign(environ, "HTTP_REFERER", _REFERER):
        return "its Origin or Referer is not this site's"
    secret = _stored_secret(session)
    if secret is None:
        return "its session has no CSRF secret"
    if not _fits(secret, submitted_token(environ) if submitted is None else submitted):
        return "its CSRF token is missing or wrong"
    return None


def _is_foreign(environ: WSGIEnvironment, name: str, pattern: re.Pattern[str]) -> bool:
    if name not in environ:
        return False
    found = pattern.fullmatch(str(environ[name]))
    return found is None or _origin(*found.groups()) != _own_origin(environ)


def _own_origin(environ: WSGIEnvironment) -> tuple[str, str, int | None] | None:
    """Scheme, host and port of this request (PEP 3333, URL Reconstruction)."""
    host = environ.get("HTTP_HOST") or f"{environ.get('SERVER_NAME')}:{environ.get('SERVER_PORT')}"
    found = _HOST.fullmatch(str(host))
    return found and _origin(str(environ.get("wsgi.url_scheme")), *found.groups())


def _origin(scheme: str, host: str, port: str | None) -> tuple[str, str, int | None]:
    scheme = scheme.lower()
    return scheme, host.lower(), int(port) if port else _DEFAULT_PORTS.get(scheme)


def _stored_secret(session: Mapping[str, Any] | None) -> str | None:
    get = getattr(session, "get", None)
    secret = get(CSRF_KEY) if callable(get) else None
    return secret if isinstance(secret, str) and _SECRET.fullmatch(secret) else None


def _fits(secret: str, submitted: object) -> bool:
    if isinstance(submitted, str) and _MASKED.fullmatch(submitted):
        both = urlsafe_b64decode(submitted)
        submitted = urlsafe_b64encode(_xor(both[:_SECRET_BYTES], both[_SECRET_BYTES:])).decode("ascii")
    return isinstance(submitted, str) and submitted.isascii() and hmac.compare_digest(submitted, secret)


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
