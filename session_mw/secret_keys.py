"""Secret keys: made, and checked before they are used."""

from __future__ import annotations

import secrets
import warnings

from session_mw.caller import place_of_caller
from session_mw.exceptions import ConfigurationError, WeakSecretKeyWarning

MIN_LENGTH = 16
"""Bytes below which a key is called weak."""

# From the documentation of frameworks and their tutorials: attackers try these first.
_EXAMPLES = frozenset(
    rb"""
    0123456789abcdef 1234567890123456 192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf
    _5#y2l"f4q8z\n\xec]/ a-very-secret-key a_very_secret_key averysecretkey change-me-in-production
    change_me_in_production changeme-changeme changemechangeme dev-secret-key-change-me development-secret-key
    django-insecure-secret-key flask-secret-key-here insecure-secret-key itsaseekreet itsaseekreetmycookie
    my-super-secret-key my_super_secret_key mysupersecretkey replace-me-with-a-secret-key
    replace-with-a-secret-key secret-key-goes-here super-secret-key super_secret_key supersecretkey
    the-secret-key-goes-here this-is-a-secret-key this_is_a_secret_key thisisasecretkey
    thisismysecretkey you-will-never-guess your-secret-key-here your_secret_key_here yoursecretkeyhere
    """.split()
) | {
    b'_5#y2l"f4q8z\n\xec]/',
    b'_5#y2l"f4q8z\n\xc3\xac]/',
    b"a0zr98j/3yx r~xhh!jmn]lwx/,?rt",
    b"hard to guess string",
    b"super secret key",
    b"the quick brown fox",
    b"this is a secret key",
    b"your secret key here",
}
# A random key never holds these phrases; somebody copied a line of documentation and left them in.
_PHRASES = (b"long random", b"change me", b"change-me", b"change_me", b"changeme", b"your-secret", b"your secret")


def generate() -> str:
    """A new secret key of 256 random bits, as 43 characters that any configuration file can hold."""
    return secrets.token_urlsafe(32)


def has_bytes(text: str) -> bool:
    """Whether UTF-8 can write the text: it cannot where a surrogate stands alone."""
    return text.encode(errors="replace").decode() == text


def key_bytes(name: str, key: object) -> bytes:
    """The key as bytes.

    Args:
        name: The setting's name, for the message.

    Raises:
        ConfigurationError: It is not a str or bytes, it is empty, or it has no bytes in UTF-8.
    """
    if not isinstance(key, (str, bytes)):
        raise ConfigurationError(f"{name}: a key is str or bytes, not {type(key).__name__}")
    if isinstance(key, str) and not has_bytes(key):
        # An error of encode would hold the key, and traceback tools show it.
        raise ConfigurationError(f"{name}: the key holds a lone surrogate, which has no bytes in UTF-8")
    data = key.encode() if isinstance(key, str) else key
    if not data.strip(b"\0"):
        raise ConfigurationError(
            f"{name}: an empty key lets anyone forge sessions; make one: python -m session_mw keygen"
        )
    return data


def is_weak(key: bytes) -> bool:
    """Whether the key is short, of few characters, or known from documentation."""
    if len(key) < MIN_LENGTH or len(set(key)) < 4:
        return True
    lower = key.strip().lower()
    return lower in _EXAMPLES or any(phrase in lower for phrase in _PHRASES)


def warn_if_weak(name: str, key: bytes) -> None:
    """Warn with :class:`WeakSecretKeyWarning`, at the line of the application that gave the key."""
    if is_weak(key):
        warnings.warn_explicit(
            f"{name} is shorter than {MIN_LENGTH} bytes, of three different ones at most, or a well-known example, so "
            "sessions can be forged; make one: python -m session_mw keygen",
            WeakSecretKeyWarning,
            *place_of_caller(),
        )
