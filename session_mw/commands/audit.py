"""``session-mw audit``: what is weak in a configuration, and which standard says so.

The numbers are those of the OWASP Application Security Verification Standard 5.0.0 (ASVS)
and of RFC 6265bis, the coming standard of cookies. No finding holds a key, a token or a
URL's password.

This module judges the keys, the token, the cookie, and what a Flask app with the same key would see.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from session_mw.commands.audit_chapter7 import judge_lifetimes, judge_sessions
from session_mw.commands.audit_device import judge_device
from session_mw.commands.audit_stores import judge_revocations, judge_store
from session_mw.commands.report import FAIL, OK, WARN, Finding
from session_mw.secret_keys import is_weak, key_bytes
from session_mw.settings import Settings

STRONG_KEY = 32
FEW_CHARACTERS = 8


def audit(settings: Settings) -> list[Finding]:
    """Judge a manager's settings."""
    return [
        *_keys(settings),
        *_token(settings),
        *_cookie(settings),
        *judge_lifetimes(settings),
        *judge_sessions(settings),
        *judge_store(settings),
        *judge_revocations(settings),
        *judge_device(settings),
        *_beside_flask(settings),
    ]


def _keys(settings: Settings) -> Iterator[Finding]:
    current = None if settings.secret_key is None else key_bytes("secret_key", settings.secret_key)
    yield Finding("secret_key", *_current_key(settings, current), "ASVS 11.2.3, 13.3.1")

    given = [key_bytes("secret_key_fallbacks", key) for key in settings.secret_key_fallbacks]
    fallbacks = given if settings.uses_keys else []
    count = len(fallbacks)
    if any(is_weak(key) for key in fallbacks):
        verdict, why = FAIL, "a weak one among them: it opens sessions, so they can be forged; drop it"
    elif count and len({current, *fallbacks}) < count + 1:
        verdict, why = WARN, "a key stands there twice; was secret_key not changed?"
    elif count > 2:
        verdict, why = WARN, "every one of them opens sessions; drop those older than the lifetime"
    elif count:
        verdict, why = OK, "drop a fallback when its lifetime is over"
    else:
        verdict, why = OK, "no older key opens sessions"
    yield Finding("secret_key_fallbacks", str(count), verdict, why, "ASVS 13.3.4")


def _current_key(settings: Settings, current: bytes | None) -> tuple[str, str, str]:
    """Value, verdict and reason for the key that signs or encrypts."""
    if not settings.uses_keys:
        value = "none" if current is None else "not used"
        return value, OK, "not needed: the cookie holds a random id, and nothing is encrypted"
    if current is None:
        return "none", FAIL, "nothing can be kept: every writing to the session raises SessionUnavailable"
    size = f"{len(current)} bytes"
    if is_weak(current):
        return (
            size,
            FAIL,
            "short, uniform or from a tutorial: sessions can be forged; session-mw keygen makes one",
        )
    if len(current) < STRONG_KEY:
        return size, WARN, "shorter than 32 bytes; fewer than 128 bits, unless each byte is random"
    if len(set(current)) < FEW_CHARACTERS:
        return size, WARN, "long, but of few different characters; session-mw keygen makes a random one"
    return size, OK, "long enough for 128 bits of security; keep it out of the source code"


def _token(settings: Settings) -> Iterator[Finding]:
    if (settings.encrypt or settings.store_encryption) and find_spec("cryptography") is None:
        yield Finding(
            "cryptography", "missing", FAIL, 'nothing starts without it: pip install "session_mw[encrypted]"', ""
        )
    if settings.store is not None:
        why = "the cookie holds 256 random bits, and the store only their hash"
        yield Finding("token", "random id", OK, why, "ASVS 7.2.3")
    elif settings.encrypt:
        why = "authenticated encryption; the visitor cannot read the session"
        yield Finding("encrypt", "AES-256-GCM", OK, why, "ASVS 11.3.2, 14.3.3")
    elif settings.secret_key is not None:
        why = "the visitor can read the session: keep no secrets in it, or set encrypt=True or a store"
        yield Finding("encrypt", "off: signed only", WARN, why, "ASVS 14.3.3")
        why = "the signature is verified before anything in the token is used"
        yield Finding("signature", "HMAC", OK, why, "ASVS 9.1.1")
        weak = settings.digest == "sha1"
        why = (
            'Flask\'s; HMAC-SHA1 is unbroken, but no approved hash any more: digest="sha256", which Flask does not read'
        )
        yield Finding("digest", settings.digest, FAIL if weak else OK, why if weak else "approved", "ASVS 11.4.1")


def _cookie(settings: Settings) -> Iterator[Finding]:
    """Who gets the cookie, and who can plant one."""
    name, domain, samesite = settings.cookie_name.lower(), settings.cookie_domain, settings.cookie_samesite

    standards = "ASVS 3.3.3; RFC 6265bis 4.1.3"
    if name.startswith("__host-"):
        verdict, why = OK, "no other host, and nobody without https, can plant this cookie"
        standards = "ASVS 3.3.1, 3.3.3; RFC 6265bis 4.1.3"
    elif name.startswith(("__secure-", "__http-")):
        verdict, why = OK if domain else WARN, "https only, but other hosts of the domain can plant it"
    else:
        verdict, why = FAIL, 'other hosts of the domain can plant it; over https, use cookie_name="__Host-session"'
        standards = "ASVS 3.3.1, 3.3.3; RFC 6265bis 4.1.3"
    yield Finding("cookie_name", settings.cookie_name, verdict, why, standards)

    prefixed = name.startswith(("__host-", "__secure-", "__http-"))
    needs_secure = prefixed or samesite == "None" or settings.cookie_partitioned
    if settings.cookie_secure is True or (settings.cookie_secure == "auto" and needs_secure):
        verdict, why = OK, "never sent over http"
    elif settings.cookie_secure == "auto":
        verdict = FAIL
        why = "Secure only where wsgi.url_scheme is https, and a proxy may hide that; True is sure, or a __Host- name"
    else:
        verdict, why = FAIL, "sent over http too, where everybody on the way can read it"
    yield Finding("cookie_secure", str(settings.cookie_secure), verdict, why, "ASVS 3.3.1; RFC 6265bis 4.1.2.5")

    on = settings.cookie_httponly
    why = "scripts cannot read the cookie" if on else "any script in the page can take the session away"
    yield Finding("cookie_httponly", str(on), OK if on else FAIL, why, "ASVS 3.3.4; RFC 6265bis 4.1.2.6")

    if samesite in ("Lax", "Strict"):
        verdict, why = OK, "other sites' forms and scripts send requests without the session"
    elif samesite == "None" and settings.cookie_partitioned:
        verdict = WARN
        why = "for pages inside other sites; each site has its own jar (Partitioned), but forms need CSRF tokens"
    elif samesite == "None":
        verdict, why = WARN, "other sites can send requests with the session; every form needs a CSRF token"
    else:
        verdict, why = WARN, "left to the browser, and browsers differ; write Lax"
    yield Finding("cookie_samesite", str(samesite), verdict, why, "ASVS 3.3.2; RFC 6265bis 4.1.2.7")

    why = "sent to this host alone" if domain is None else "every host below it gets the cookie, and can plant one"
    verdict = OK if domain is None else WARN
    yield Finding("cookie_domain", str(domain), verdict, why, "ASVS 3.3.3; RFC 6265bis 4.1.2.3, 8.6")


def _beside_flask(settings: Settings) -> Iterator[Finding]:
    """What a Flask app with the same key would see otherwise; being different is not a weakness."""
    differences = [
        text
        for differs, text in (
            (settings.store is not None, "the session is not in the cookie"),
            (settings.encrypt, "the cookie is encrypted"),
            (settings.store is None and not settings.encrypt and settings.digest != "sha1", "the digest is not sha1"),
            (settings.salt != "cookie-session", "another salt"),
        )
        if differs
    ]
    why = f"Flask does not read these sessions: {', '.join(differences)}" if differences else "the key alone is shared"
    yield Finding("Flask: format", "another" if differences else "the same", OK, why, "")
    same = "the same" if settings.cookie_samesite is None else "another"
    yield Finding("Flask: SameSite", same, OK, "Flask sends none unless SESSION_COOKIE_SAMESITE is set", "")
    if settings.device_bound and not differences:
        why = "Flask reads these sessions too, and asks for no proof of the device: give it another key or salt"
        yield Finding("Flask: device_bound", "not asked for", WARN, why, "")
    if settings.absolute_seconds is not None and not differences:
        why = "Flask sees the key '_created' in the session, keeps it, and knows no absolute lifetime"
        yield Finding("Flask: absolute_lifetime", "another", OK, why, "")
