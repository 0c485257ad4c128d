"""``session-mw audit``: what is weak in a configuration, and what says so.

The numbers are those of the OWASP Application Security Verification Standard 5.0.0 (ASVS)
and of RFC 6265bis, the coming standard of cookies. No finding holds a key, a token or a
URL's password.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from session_mw.commands.audit_chapter7 import judge_sessions
from session_mw.commands.audit_cookie import judge_cookie
from session_mw.commands.audit_stores import judge_store
from session_mw.commands.findings import FAIL, OK, WARN, Finding, span
from session_mw.secret_keys import is_weak, key_bytes
from session_mw.settings import Settings

STRONG_KEY = 32
FEW_CHARACTERS = 8
DAY = 86400


def audit(settings: Settings) -> list[Finding]:
    """Judge a manager's settings."""
    return [
        *_keys(settings),
        *_token(settings),
        *judge_cookie(settings),
        *_lifetimes(settings),
        *judge_sessions(settings),
        *judge_store(settings),
        *_beside_flask(settings),
    ]


def _keys(settings: Settings) -> Iterator[Finding]:
    current = None if settings.secret_key is None else key_bytes("secret_key", settings.secret_key)
    fallbacks = [key_bytes("secret_key_fallbacks", key) for key in settings.secret_key_fallbacks]
    yield Finding("secret_key", *_current_key(settings, current), "ASVS 11.2.3, 13.3.1")
    old = _fallback_keys(current, fallbacks if settings.uses_keys else [])
    yield Finding("secret_key_fallbacks", *old, "ASVS 13.3.4")


def _current_key(settings: Settings, current: bytes | None) -> tuple[str, str, str]:
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


def _fallback_keys(current: bytes | None, fallbacks: list[bytes]) -> tuple[str, str, str]:
    count = len(fallbacks)
    if any(is_weak(key) for key in fallbacks):
        return str(count), FAIL, "a weak one among them: it opens sessions, so they can be forged; drop it"
    if len({current, *fallbacks}) < count + 1 and count:
        return str(count), WARN, "a key stands there twice; was secret_key not changed?"
    if count > 2:
        return str(count), WARN, "every one of them opens sessions; drop those older than the lifetime"
    return str(count), OK, "drop a fallback when its lifetime is over" if count else "no older key opens sessions"


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


def _lifetimes(settings: Settings) -> Iterator[Finding]:
    idle, absolute, leeway = settings.lifetime_seconds, settings.absolute_seconds, settings.leeway_seconds
    yield Finding("lifetime", span(idle), *_idle(settings, idle), "ASVS 7.3.1; RFC 6265bis 5.5")
    yield Finding("absolute_lifetime", *_absolute(absolute), "ASVS 7.3.2")
    why = "a permanent session ends after its last writing"
    if settings.refresh_each_request:
        endless = "; without absolute_lifetime one in use never ends" if absolute is None else ""
        why = f"each response moves the end of a permanent session{endless}"
    yield Finding("refresh_each_request", str(settings.refresh_each_request), OK, why, "ASVS 7.3.1")
    why = "how far other servers' clocks may be ahead"
    if leeway > 300:
        why = "tokens whose time has not come are accepted for minutes; let the servers' clocks be set (NTP)"
    yield Finding("leeway", f"{leeway} s", FAIL if leeway > 300 else OK, why, "ASVS 9.2.1")


def _idle(settings: Settings, seconds: int) -> tuple[str, str]:
    last = "writing" if settings.store is None else "use"
    if seconds > 400 * DAY:
        return WARN, "browsers keep no cookie for more than 400 days; a stolen one would be good for longer"
    if seconds > 31 * DAY:
        return WARN, f"a stolen cookie is good for more than a month after its last {last}"
    return OK, f"how long a cookie is good after its last {last}; shorten it where a stolen one does harm"


def _absolute(seconds: int | None) -> tuple[str, str, str]:
    if seconds is None:
        return "none", WARN, "a session that is used never ends, a stolen one neither"
    if seconds > 366 * DAY:
        return span(seconds), WARN, "longer than a year; a stolen session is good for that long"
    return span(seconds), OK, "after that time the visitor logs in again, whatever happens"


def _beside_flask(settings: Settings) -> Iterator[Finding]:
    """What a Flask app with the same key would see otherwise; being different is no weakness."""
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
    same = settings.cookie_samesite is None
    yield Finding(
        "Flask: SameSite",
        "the same" if same else "another",
        OK,
        "Flask sends none unless SESSION_COOKIE_SAMESITE is set",
        "",
    )
    if settings.absolute_seconds is not None and not differences:
        why = "Flask sees the key '_created' in the session, keeps it, and knows no absolute lifetime"
        yield Finding("Flask: absolute_lifetime", "another", OK, why, "")
