"""What ``session-mw audit`` looks at: a built middleware or manager, or a section of an .ini file."""

from __future__ import annotations

import configparser
import contextlib
import os
import sys
import sysconfig
import traceback
import warnings
from collections.abc import Callable
from importlib import import_module
from inspect import isclass, signature
from pathlib import Path
from typing import Any

from session_mw.config import settings_from_mapping
from session_mw.exceptions import SessionError, WeakSecretKeyWarning, kind_of
from session_mw.manager import SessionManager
from session_mw.middleware import INNER
from session_mw.settings import Settings

PREFIX = "session."
"""What the settings of an application's own section begin with, as Pyramid's do."""
_NOT_SETTINGS = ("use", "environ_key", "paste.filter_factory", "paste.filter_app_factory", "filter-with", "next")
_PACKAGE = str(Path(__file__).parents[1])
_INNER = ("session_interface", *INNER)


def find_target(text: str) -> Settings:
    """Find the settings that the command's argument names.

    Args:
        text: ``module:attribute``, ``module:factory()``, ``path.ini`` or ``path.ini#section``.

    Raises:
        SessionError: There is no such thing, or it is not a session configuration.
    """
    path, _, section = text.partition("#")
    with warnings.catch_warnings():
        # The report names weak keys itself.
        warnings.simplefilter("ignore", WeakSecretKeyWarning)
        if path.lower().endswith(".ini") or os.path.isfile(path):
            return Settings(**settings_from_mapping(_settings_in(path, section)))
        module, colon, attribute = text.partition(":")
        if not colon or not module or not attribute:
            raise SessionError(f"{text!r} is neither module:attribute nor path.ini#section")
        return _manager_in(_imported(module, attribute), attribute).settings


def _settings_in(path: str, name: str) -> dict[str, str]:
    """The settings in a section of an .ini file, as PasteDeploy and Pyramid read it.

    Args:
        path: The file.
        name: The section; empty where only one has such settings.

    Raises:
        SessionError: The file cannot be read, or there is no such section, or several.
    """
    parser = _parsed(path)
    chosen = name or _only_candidate(parser, path)
    if chosen not in parser.sections():
        raise SessionError(f"{path!r} has no section [{chosen}]; it has {_listed(parser.sections())}")

    # What PasteDeploy puts in for %(here)s and for the names in [DEFAULT].
    file = os.path.abspath(path)
    shared = {"here": os.path.dirname(file), "__file__": file}
    if parser.has_section("DEFAULT"):
        shared |= parser.items("DEFAULT", raw=True)
    others = {name: value for name, value in shared.items() if not parser.has_option(chosen, name)}
    given = {}
    for key in parser.options(chosen):
        try:
            given[key] = parser.get(chosen, key, vars=others)
        except configparser.Error:
            raise SessionError(
                f"{path!r}: {key} in [{chosen}] has a % that stands for nothing; write %% for the sign itself"
            ) from None

    prefixed = {key.removeprefix(PREFIX): value for key, value in given.items() if key.startswith(PREFIX)}
    settings = prefixed or given
    return {key: value for key, value in settings.items() if key not in _NOT_SETTINGS and not key.startswith("set ")}


def _parsed(path: str) -> configparser.ConfigParser:
    # With default_section="", [DEFAULT] is a section like the others: its names are shared by all and are not settings.
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
        raise SessionError(f"{path!r} is not an .ini file: {type(error).__name__} in line {', '.join(lines)}") from None
    return parser


def _only_candidate(parser: configparser.ConfigParser, path: str) -> str:
    """The one section that says ``use = egg:session_mw`` or has keys with the prefix."""
    found = [
        section
        for section in parser.sections()
        if parser.get(section, "use", raw=True, fallback="").partition("#")[0].strip() == "egg:session_mw"
        or any(key.startswith(PREFIX) for key in parser.options(section))
    ]
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


def _imported(module: str, path: str) -> Any:
    """Import from the current directory, as servers do, and get the attribute or call it."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    # What the application prints must not mix with the report.
    with contextlib.redirect_stdout(sys.stderr):
        found = _run(lambda: import_module(module), f"importing {module!r}")
        for name in path.removesuffix("()").split("."):
            if not hasattr(found, name):
                raise SessionError(f"{module!r} was imported, but has no {path.removesuffix('()')!r}")
            found = getattr(found, name)
        return _run(found, f"calling {module}:{path}") if path.endswith("()") else found


def _run(code: Callable[[], Any], doing: str) -> Any:
    try:
        return code()
    except SessionError:
        raise
    except ImportError as error:
        raise SessionError(f"{doing} failed: {error}") from error
    except (Exception, SystemExit) as error:  # noqa: BLE001 (an application raises what it likes)
        if isinstance(error, SyntaxError):
            place = f"{error.filename}:{error.lineno}"
        else:
            # The last line of the application's own tells more than one in a library that it called.
            library = sysconfig.get_path("stdlib")
            frames = traceback.extract_tb(error.__traceback__)
            own = [frame for frame in frames if not frame.filename.startswith(("<frozen", library, _PACKAGE))]
            frame = (own or frames)[-1]
            place = f"{frame.filename}:{frame.lineno}"
        # The error's text is the application's and may hold a key.
        raise SessionError(f"{doing} failed: {type(error).__name__} at {place}") from None


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
    try:
        # What can be called without arguments is not a WSGI application.
        signature(found).bind()
        hint = f"is it a factory? Write {name}()"
    except (TypeError, ValueError):
        hint = "name what SessionMiddleware(...) returned"
    raise SessionError(f"{name} is {kind_of(found)}, in which there is no SessionMiddleware or SessionManager; {hint}")


def _manager_of(layer: Any, app: Any) -> SessionManager | None:
    interfaces = sys.modules.get("pyramid.interfaces")
    query = _part(_part(layer, "registry"), "queryUtility")
    pyramid_factory = query(interfaces.ISessionFactory) if interfaces is not None and query is not None else None
    for candidate in (layer, _part(layer, "sessions"), _part(pyramid_factory, "sessions")):
        if isinstance(candidate, SessionManager):
            return candidate
    # FlaskSessions without a manager reads app.config at the first request, so it has to be asked to do so now.
    adapter = sys.modules.get("session_mw.adapters.flask")
    if adapter is not None and isinstance(layer, adapter.FlaskSessions):
        made: SessionManager | None = layer.manager_for(app) if _part(app, "wsgi_app") else None
        return made
    return None


def _part(layer: Any, name: str) -> Any:
    """An attribute of an object; None where it is missing, or where a proxy's object does not exist yet."""
    try:
        return None if isclass(layer) else getattr(layer, name, None)
    except Exception:  # noqa: BLE001 (an application raises what it likes)
        return None
