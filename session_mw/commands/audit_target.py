"""What ``session-mw audit`` looks at: a built middleware or manager, or a section of an .ini file."""

from __future__ import annotations

import configparser
import contextlib
import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from importlib import import_module
from inspect import isclass
from typing import Any

from session_mw.exceptions import SessionError, WeakSecretKeyWarning, kind_of
from session_mw.manager import SessionManager
from session_mw.mapping import settings_from_mapping
from session_mw.protocols import Store
from session_mw.settings import Settings

PREFIX = "session."
_NOT_SETTINGS = ("use", "environ_key", "paste.filter_factory", "paste.filter_app_factory", "filter-with", "next")
_INNER = ("session_interface", "wsgi_app", "app", "application", "wrapped", "_app")

Target = tuple[Settings, "Store | None"]
"""The settings, and the store if it is open."""


def find_target(text: str) -> Target:
    """Find what the command's argument names.

    Args:
        text: ``module:attribute``, ``module:factory()``, ``path.ini`` or ``path.ini#section``.

    Raises:
        SessionError: There is no such thing, or it is no session configuration.
    """
    path, _, section = text.partition("#")
    with _weak_keys_are_found_later():
        if path.lower().endswith(".ini") or os.path.isfile(path):
            return Settings(**settings_from_mapping(_section(path, section))), None
        module, colon, attribute = text.partition(":")
        if not colon or not module or not attribute:
            raise SessionError(f"{text!r} is neither module:attribute nor path.ini#section")
        sessions = _manager_in(_attribute(module, attribute), attribute)
        return sessions.settings, sessions.store


@contextlib.contextmanager
def _weak_keys_are_found_later() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", WeakSecretKeyWarning)
        yield


# A Python object


def _attribute(module: str, path: str) -> Any:
    """Import from the current directory, as servers do; what the application prints must not mix with the report."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    with contextlib.redirect_stdout(sys.stderr):
        found = _run(lambda: import_module(module), f"importing {module!r}")
        for name in path.removesuffix("()").split("."):
            if not hasattr(found, name):
                raise SessionError(f"{module!r} was imported, but has no {path.removesuffix('()')!r}")
            found = getattr(found, name)
        return _run(found, f"calling {module}:{path}") if path.endswith("()") else found


def _run(code: Any, doing: str) -> Any:
    try:
        return code()
    except SessionError:
        raise
    except ImportError as error:
        raise SessionError(f"{doing} failed: {error}") from error
    except (Exception, SystemExit) as error:  # noqa: BLE001 (an application raises what it likes)
        # The error's text is the application's and may hold a key.
        frames = traceback.extract_tb(error.__traceback__)
        raise SessionError(
            f"{doing} failed: {type(error).__name__} at {frames[-1].filename}:{frames[-1].lineno}"
        ) from None


def _manager_in(found: Any, name: str) -> SessionManager:
    """The object itself, or the manager of a middleware or Flask app, also of one that is wrapped in others."""
    seen: list[Any] = []
    waiting = [found]
    while waiting and len(seen) < 50:
        layer = waiting.pop(0)
        sessions = _manager_of(layer, found)
        if sessions is not None:
            return sessions
        seen.append(layer)
        inner = [_part(layer, name) for name in _INNER]
        waiting += [one for one in inner if one is not None and not any(one is other for other in seen)]
    hint = f"; is it a factory? Write {name}()" if callable(found) and not name.endswith("()") else ""
    raise SessionError(f"{name} is {kind_of(found)}, in which there is no SessionMiddleware or SessionManager{hint}")


def _manager_of(layer: Any, app: Any) -> SessionManager | None:
    sessions = layer if isinstance(layer, SessionManager) else _part(layer, "sessions")
    if isinstance(sessions, SessionManager):
        return sessions
    # FlaskSessions without a manager: it reads app.config at the first request.
    adapter = sys.modules.get("session_mw.adapters.flask")
    if adapter is not None and isinstance(layer, adapter.FlaskSessions):
        made: SessionManager | None = layer._manager_for(app) if _part(app, "wsgi_app") else None
        return made
    return None


def _part(layer: Any, name: str) -> Any:
    """An attribute of an object; None where it has none, or is a proxy of something that is not there yet."""
    try:
        return None if isclass(layer) else getattr(layer, name, None)
    except Exception:  # noqa: BLE001 (an application raises what it likes)
        return None


# An .ini file


def _section(path: str, name: str) -> dict[str, str]:
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
