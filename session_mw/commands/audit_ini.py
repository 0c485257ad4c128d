"""A section of an .ini file with settings, as PasteDeploy and Pyramid read it."""

from __future__ import annotations

import configparser
import os

from session_mw.exceptions import SessionError

PREFIX = "session."
_NOT_SETTINGS = ("use", "environ_key", "paste.filter_factory", "paste.filter_app_factory", "filter-with", "next")


def settings_in(path: str, name: str) -> dict[str, str]:
    """The settings of a section; of the only one that has any, where ``name`` is empty.

    Raises:
        SessionError: The file cannot be read, or there is no such section, or several.
    """
    parser = _read(path)
    chosen = name or _only_candidate(parser, path)
    if chosen not in parser.sections():
        raise SessionError(f"{path!r} has no section [{chosen}]; it has {_listed(parser.sections())}")
    given = {key: _value(parser, path, chosen, key) for key in parser.options(chosen)}
    prefixed = {key.removeprefix(PREFIX): value for key, value in given.items() if key.startswith(PREFIX)}
    settings = prefixed or given
    return {key: value for key, value in settings.items() if key not in _NOT_SETTINGS and not key.startswith("set ")}


def _read(path: str) -> configparser.ConfigParser:
    # Without a default section, [DEFAULT] is one like the others: what it holds is everybody's, and no setting of ours.
    parser = configparser.ConfigParser(default_section="")
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        with open(path, encoding="utf-8") as file:
            parser.read_file(file)
    except (OSError, UnicodeError) as error:
        raise SessionError(
            f"{path!r} cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8'}"
        ) from None
    except configparser.Error as error:
        # The error's text quotes the line, which may hold a key.
        lines = [str(number) for number, _ in getattr(error, "errors", [])] or [str(getattr(error, "lineno", "?"))]
        raise SessionError(f"{path!r} is no .ini file: {type(error).__name__} in line {', '.join(lines)}") from None
    return parser


def _value(parser: configparser.ConfigParser, path: str, section: str, key: str) -> str:
    """A value, with what PasteDeploy puts in for ``%(here)s`` and for the names in [DEFAULT]."""
    file = os.path.abspath(path)
    shared = {"here": os.path.dirname(file), "__file__": file}
    if parser.has_section("DEFAULT"):
        shared |= parser.items("DEFAULT", raw=True)
    others = {name: value for name, value in shared.items() if not parser.has_option(section, name)}
    try:
        return parser.get(section, key, vars=others)
    except configparser.Error:
        raise SessionError(
            f"{path!r}: {key} in [{section}] has a % that stands for nothing; write %% for the sign itself"
        ) from None


def _is_candidate(parser: configparser.ConfigParser, section: str) -> bool:
    use = parser.get(section, "use", raw=True, fallback="")
    prefixed = any(key.startswith(PREFIX) for key in parser.options(section))
    return use.partition("#")[0].strip() == "egg:session_mw" or prefixed


def _only_candidate(parser: configparser.ConfigParser, path: str) -> str:
    found = [section for section in parser.sections() if _is_candidate(parser, section)]
    if len(found) == 1:
        return found[0]
    if found:
        raise SessionError(f"{path!r} has several such sections: {_listed(found)}; choose one: {path}#{found[0]}")
    raise SessionError(
        f"{path!r} has no section with 'use = egg:session_mw' or with keys that begin with {PREFIX!r}; "
        f"name one: {path}#section. It has {_listed(parser.sections())}"
    )


def _listed(sections: list[str]) -> str:
    return ", ".join(f"[{section}]" for section in sections) or "no sections"
