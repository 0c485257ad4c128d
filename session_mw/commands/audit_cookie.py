"""What ``session-mw audit`` says of the cookie's name and attributes."""

from __future__ import annotations

from collections.abc import Iterator

from session_mw.commands.findings import FAIL, OK, WARN, Finding
from session_mw.settings import Settings


def judge_cookie(settings: Settings) -> Iterator[Finding]:
    """Judge who gets the cookie, and who can plant one."""
    yield Finding("cookie_name", settings.cookie_name, *_name(settings))
    yield Finding("cookie_secure", str(settings.cookie_secure), *_secure(settings), "ASVS 3.3.1; RFC 6265bis 4.1.2.5")
    on = settings.cookie_httponly
    why = "scripts cannot read the cookie" if on else "any script in the page can take the session away"
    yield Finding("cookie_httponly", str(on), OK if on else FAIL, why, "ASVS 3.3.4; RFC 6265bis 4.1.2.6")
    yield Finding(
        "cookie_samesite", str(settings.cookie_samesite), *_samesite(settings), "ASVS 3.3.2; RFC 6265bis 4.1.2.7"
    )
    domain = settings.cookie_domain
    why = "sent to this host alone" if domain is None else "every host below it gets the cookie, and can plant one"
    yield Finding(
        "cookie_domain", str(domain), OK if domain is None else WARN, why, "ASVS 3.3.3; RFC 6265bis 4.1.2.3, 8.6"
    )


def _name(settings: Settings) -> tuple[str, str, str]:
    name = settings.cookie_name.lower()
    if name.startswith("__host-"):
        why = "no other host, and nobody without https, can plant this cookie"
        return OK, why, "ASVS 3.3.1, 3.3.3; RFC 6265bis 4.1.3"
    if name.startswith(("__secure-", "__http-")):
        why = "https only, but other hosts of the domain can plant it"
        return OK if settings.cookie_domain else WARN, why, "ASVS 3.3.3; RFC 6265bis 4.1.3"
    why = 'other hosts of the domain can plant it; over https, use cookie_name="__Host-session"'
    return FAIL, why, "ASVS 3.3.1, 3.3.3; RFC 6265bis 4.1.3"


def _secure(settings: Settings) -> tuple[str, str]:
    if settings.cookie_secure is True:
        return OK, "never sent over http"
    if settings.cookie_secure == "auto":
        prefixed = settings.cookie_name.lower().startswith(("__host-", "__secure-", "__http-"))
        if prefixed or settings.cookie_samesite == "None" or settings.cookie_partitioned:
            return OK, "never sent over http"
        return (
            FAIL,
            "Secure only where wsgi.url_scheme is https, and a proxy may hide that; True is sure, or a __Host- name",
        )
    return FAIL, "sent over http too, where everybody on the way can read it"


def _samesite(settings: Settings) -> tuple[str, str]:
    if settings.cookie_samesite in ("Lax", "Strict"):
        return OK, "other sites' forms and scripts send requests without the session"
    if settings.cookie_samesite == "None" and settings.cookie_partitioned:
        return WARN, "for pages inside other sites; each site has its own jar (Partitioned), but forms need CSRF tokens"
    if settings.cookie_samesite == "None":
        return WARN, "other sites can send requests with the session; every form needs a CSRF token"
    return WARN, "left to the browser, and browsers differ; write Lax"
