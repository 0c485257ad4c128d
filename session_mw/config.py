"""Settings from a mapping: Flask's ``app.config``, or a section of an .ini file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Any

from session_mw.exceptions import ConfigurationError
from session_mw.settings import FLAGS, Settings

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
"""Flask-Login's setting begins like ours and is none of ours."""
SETTING_NAMES = tuple(field.name for field in fields(Settings))

BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
"""What a text says in lower case."""
_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}
_DURATION = re.compile(r"(\d+)\s*(second|minute|hour|day|week)s?", re.ASCII)


def settings_from_mapping(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Read settings by Flask's upper-case names and by ours in lower case.

    Texts are read as an .ini file holds them: ``true/yes/on/1`` and their opposites, seconds
    or ``"30 days"``, lists by white space. A None stands for our default, except for
    SameSite, where it means to leave it out. Other upper-case names are ignored, if they do not
    begin with ``SESSION_``.

    Returns:
        Keyword arguments for :class:`~session_mw.SessionManager`.

    Raises:
        ConfigurationError: A name that begins with ``SESSION_`` or is in lower case is no
            setting, one setting is given twice, or a text cannot be read.
    """
    settings: dict[str, Any] = {}
    for name, value in mapping.items():
        setting = _setting_of(name)
        if setting is None:
            continue
        read = _read(name, setting, value)
        if read is None and setting != "cookie_samesite":
            continue
        if setting in settings:
            raise ConfigurationError(f"{setting} is given twice, as {name!r} and by its other name; keep one")
        settings[setting] = read
    return settings


def unknown_setting(name: str, known: tuple[str, ...] = SETTING_NAMES) -> ConfigurationError:
    """The error for a name that is no setting, with the nearest one that is."""
    ours = FLASK_NAMES.get(name.upper())
    near = [ours] if ours in known else get_close_matches(name, known, n=1, cutoff=0.6)
    hint = f"; did you mean {near[0]!r}?" if near else f"; the settings are {', '.join(known)}"
    return ConfigurationError(f"{name!r} is not a setting{hint}")


def _setting_of(name: object) -> str | None:
    if not isinstance(name, str):
        raise ConfigurationError(f"the name of a setting is a str, not {name!r}")
    if name in FLASK_NAMES:
        return FLASK_NAMES[name]
    if name in SETTING_NAMES:
        return name
    if name.startswith("SESSION_") and name not in FOREIGN_NAMES:
        raise unknown_setting(name, tuple(FLASK_NAMES))
    if name != name.upper():
        raise unknown_setting(name)
    return None


def _read(name: str, setting: str, value: Any) -> Any:
    reader = _READERS.get(setting)
    if reader is None or not isinstance(value, str):
        return bool(value) if setting in _BOOLEAN_SETTINGS and value in (0, 1) else value
    try:
        return reader(value)
    except (ValueError, KeyError):
        # The text is shown, the error that quotes it again is not.
        raise ConfigurationError(f"{name}: {value!r} cannot be read; write {_EXPECTED[reader]}") from None


def _boolean(text: str) -> bool:
    return BOOLEANS[text.strip().lower()]


def _boolean_or_auto(text: str) -> bool | str:
    return "auto" if text.strip().lower() == "auto" else _boolean(text)


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


_BOOLEAN_SETTINGS = frozenset((*FLAGS, "cookie_secure"))
_READERS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(_BOOLEAN_SETTINGS, _boolean),
    **dict.fromkeys(("lifetime", "absolute_lifetime", "leeway"), _duration),
    "cookie_secure": _boolean_or_auto,
    "cookie_samesite": _samesite,
    "secret_key_fallbacks": str.split,
}
_EXPECTED: dict[Callable[[str], Any], str] = {
    _boolean: "true or false",
    _boolean_or_auto: "true, false or auto",
    _duration: "seconds, or a text such as '30 days'",
}
