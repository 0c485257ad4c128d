"""Settings from a mapping: Flask's ``app.config``, or a section of an .ini file."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import fields
from datetime import timedelta
from difflib import get_close_matches
from functools import partial
from typing import Any, Literal, get_args, get_origin, get_type_hints

from session_mw.exceptions import ConfigurationError
from session_mw.settings import Settings, normalized_domain, normalized_path

FLASK_NAMES = {
    "SECRET_KEY": "secret_key",
    "SECRET_KEY_FALLBACKS": "secret_key_fallbacks",
    "SESSION_COOKIE_NAME": "cookie_name",
    "SESSION_COOKIE_DOMAIN": "cookie_domain",
    "SESSION_COOKIE_PATH": "cookie_path",
    "SESSION_COOKIE_SECURE": "cookie_secure",
    "SESSION_COOKIE_HTTPONLY": "cookie_httponly",
    "SESSION_COOKIE_SAMESITE": "cookie_samesite",
    "SESSION_COOKIE_PARTITIONED": "cookie_partitioned",
    "PERMANENT_SESSION_LIFETIME": "lifetime",
    "SESSION_REFRESH_EACH_REQUEST": "refresh_each_request",
}
FOREIGN_NAMES = frozenset({"SESSION_PROTECTION"})
"""Flask-Login's setting begins with SESSION_ and is not ours."""
_EMPTY_IN_FLASK = frozenset({"SESSION_COOKIE_DOMAIN", "SESSION_COOKIE_PATH"})
"""Settings that Flask takes as not set where they are empty or False."""
SETTING_NAMES = tuple(field.name for field in fields(Settings))
CONFIG_NAMES = FLASK_NAMES | {
    f"SESSION_{name.upper()}": name for name in SETTING_NAMES if name not in FLASK_NAMES.values()
}
"""Every setting in upper case: Flask's name, or ours behind SESSION_ where Flask has no such setting."""
_IN_UPPER_CASE = {setting: name for name, setting in CONFIG_NAMES.items()}

_STORES_OF_FLASK_SESSION = {
    "redis": "'redis://host:6379/0'",
    "memcached": "'memcached://host:11211'",
    "filesystem": "'file:///var/lib/app/sessions'",
    "cachelib": "'file:///var/lib/app/sessions'",
    "sqlalchemy": "'postgresql+psycopg://user:password@host/database'",
    "mongodb": "MyStore(), an object with the methods of session_mw.protocols.Store",
    "dynamodb": "MyStore(), an object with the methods of session_mw.protocols.Store",
}
"""What SESSION_STORE is for each SESSION_TYPE."""
_ALWAYS_SO = "take it out: "
_OF_FLASK_SESSION = {
    "SESSION_TYPE": "SESSION_STORE and a URL, such as 'redis://host:6379/0' or 'sqlite:///sessions.db'",
    "SESSION_KEY_PREFIX": "?prefix=app: in the URL of SESSION_STORE",
    "SESSION_PERMANENT": "session.permanent = True at log-in, where the cookie is to outlive the browser's run",
    "SESSION_USE_SIGNER": _ALWAYS_SO + "ids cannot be guessed, and only those that the server issued are taken",
    "SESSION_ID_LENGTH": _ALWAYS_SO + "an id has 32 random bytes",
    "SESSION_SERIALIZATION_FORMAT": _ALWAYS_SO + "sessions are written as JSON",
    "SESSION_CLEANUP_N_REQUESTS": _ALWAYS_SO + "expired records go by themselves, or by session-mw sweep URL",
    "SESSION_FILE_MODE": _ALWAYS_SO + "files have the mode 0600",
    "SESSION_FILE_THRESHOLD": _ALWAYS_SO + "no session is dropped because there are many",
    "SESSION_SQLALCHEMY_TABLE": "?table=websessions in the URL of SESSION_STORE",
    "SESSION_SQLALCHEMY_SEQUENCE": _ALWAYS_SO + "the table has no sequence",
}
"""What to write instead of a setting of Flask-Session 0.8; ``_OF_ITS_STORES`` has the rest."""
_OF_ITS_STORES = {
    "SESSION_REDIS": "redis",
    "SESSION_MEMCACHED": "memcached",
    "SESSION_CACHELIB": "cachelib",
    "SESSION_FILE": "filesystem",
    "SESSION_MONGODB": "mongodb",
    "SESSION_SQLALCHEMY": "sqlalchemy",
    "SESSION_DYNAMODB": "dynamodb",
}

BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
"""What a text in lower case means."""
_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}
_DURATION = re.compile(r"(\d+)\s*(second|minute|hour|day|week)s?", re.ASCII)


def settings_from_mapping(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Read settings by our names in lower case, by Flask's, and by ours in upper case behind ``SESSION_``.

    Texts are read as an .ini file holds them: ``true/yes/on/1`` and their opposites, seconds
    or ``"30 days"``, lists by white space. A None stands for our default, except for
    SameSite, where it means to leave it out. Other upper-case names are ignored, if they do not
    begin with ``SESSION_``.

    What Werkzeug normalizes for Flask is normalized here too: a domain with a port, a leading dot or
    letters beyond ASCII, a path that is not percent-encoded, an empty domain or path, Partitioned without Secure.

    Returns:
        Keyword arguments for :class:`~session_mw.SessionManager`.

    Raises:
        ConfigurationError: A name that begins with ``SESSION_`` or is in lower case is not a
            setting (for those of Flask-Session the message says what to write instead), one setting is
            given twice, or a text cannot be read.
    """
    settings: dict[str, Any] = {}
    for name, value in mapping.items():
        setting = _setting_of(name, value)
        if setting is None or (name in _EMPTY_IN_FLASK and not value):
            continue
        read = _read(name, setting, value)
        if read is None and setting != "cookie_samesite":
            continue
        if setting in settings:
            raise ConfigurationError(f"{setting} is given twice, as {name!r} and by its other name; keep one")
        settings[setting] = read
    secure_is_off = "SESSION_COOKIE_SECURE" in mapping and settings.get("cookie_secure") is False
    if secure_is_off and (settings.get("cookie_partitioned") is True or settings.get("device_bound")):
        # False is Flask's default, and Werkzeug sends Secure with a partitioned cookie all the same. Devices are bound
        # over https only.
        settings["cookie_secure"] = True
    return settings


def unknown_setting(name: str, known: tuple[str, ...] = SETTING_NAMES) -> ConfigurationError:
    """The error for a name that is not a setting; it names the setting that was probably meant."""
    meant = CONFIG_NAMES.get(name.upper(), name.lower().removeprefix("session_"))
    near = [other for other in (meant, _IN_UPPER_CASE.get(meant)) if other in known]
    near = near or sorted((other for other in known if other.startswith(name)), key=len)
    near = near or get_close_matches(name, known, n=1, cutoff=0.6)
    hint = f"; did you mean {near[0]!r}?" if near else f"; the settings are {', '.join(known)}"
    return ConfigurationError(f"{name!r} is not a setting{hint}")


def _setting_of(name: object, value: object) -> str | None:
    """Our name for a setting; None for what belongs to the framework or to an extension."""
    if not isinstance(name, str):
        raise ConfigurationError(f"the name of a setting is a str, not {name!r}")
    if name in CONFIG_NAMES:
        return CONFIG_NAMES[name]
    if name in SETTING_NAMES:
        return name
    if name.startswith("SESSION_") and name not in FOREIGN_NAMES:
        instead = _instead_of(name, value)
        if instead is None:
            raise unknown_setting(name, tuple(CONFIG_NAMES))
        verb = "" if instead.startswith(_ALWAYS_SO) else "write "
        raise ConfigurationError(f"{name} is a setting of Flask-Session, not of session_mw; {verb}{instead}")
    if name != name.upper():
        raise unknown_setting(name)
    return None


def _instead_of(name: str, value: object) -> str | None:
    """What to write instead of a setting of Flask-Session's; None for another name."""
    kind = value.lower() if name == "SESSION_TYPE" and isinstance(value, str) else None
    if kind is None and name not in _OF_FLASK_SESSION:
        kind = next((_OF_ITS_STORES[of] for of in _OF_ITS_STORES if name == of or name.startswith(f"{of}_")), None)
    if kind in _STORES_OF_FLASK_SESSION:
        return f"SESSION_STORE = {_STORES_OF_FLASK_SESSION[kind]}"
    return _OF_FLASK_SESSION.get(name)


def _read(name: str, setting: str, value: Any) -> Any:
    reader, expected = _READERS.get(setting, (None, ""))
    if reader is None or not isinstance(value, str):
        is_number = setting in _BOOLEAN_SETTINGS and isinstance(value, Hashable) and value in (0, 1)
        return bool(value) if is_number else value
    try:
        return reader(value)
    except (ValueError, KeyError):
        # The reader's own error would only quote the text once more.
        raise ConfigurationError(f"{name}: {value!r} cannot be read; write {expected}") from None


def _boolean_or(words: tuple[str, ...], text: str) -> bool | str:
    """One of the words, or what a boolean's text means."""
    word = text.strip().lower()
    return word if word in words else BOOLEANS[word]


def _duration(text: str) -> int | None:
    text = text.strip().lower()
    if text in ("", "none"):
        return None
    if text.isascii() and text.isdigit():
        return int(text)
    parts = _DURATION.findall(text)
    if not parts or re.sub(r"[\s,]|and", "", _DURATION.sub("", text)):
        raise ValueError
    return sum(int(number) * _UNITS[unit] for number, unit in parts)


def _samesite(text: str) -> str | None:
    return text.strip().title() or None


Reader = tuple[Callable[[str], Any], str]
"""What reads a setting's text, and what the error says to write where the text cannot be read."""


def _reader_by_type(kind: Any) -> Reader | None:
    """The reader of a setting, by its annotation; None where the text itself is the value."""
    kinds = get_args(kind) or (kind,)
    words = tuple(word for other in kinds if get_origin(other) is Literal for word in get_args(other))
    if timedelta in kinds:
        return _duration, "seconds, or a text such as '30 days'"
    if bool in kinds and words:
        return partial(_boolean_or, words), f"true, false or {' or '.join(words)}"
    return (partial(_boolean_or, ()), "true or false") if bool in kinds else None


_TYPES = get_type_hints(Settings)
_BOOLEAN_SETTINGS = frozenset(name for name in SETTING_NAMES if bool in (get_args(_TYPES[name]) or (_TYPES[name],)))
_READERS: dict[str, Reader] = {
    **{name: reader for name in SETTING_NAMES if (reader := _reader_by_type(_TYPES[name]))},
    "cookie_samesite": (_samesite, ""),
    "cookie_domain": (normalized_domain, ""),
    "cookie_path": (normalized_path, ""),
    "secret_key_fallbacks": (str.split, ""),
}
