"""What ``session-mw audit`` looks at: a built middleware or manager, or a section of an .ini file."""

from __future__ import annotations

import contextlib
import os
import sys
import sysconfig
import traceback
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from inspect import isclass, signature
from pathlib import Path
from typing import Any

from session_mw.commands.audit_ini import settings_in
from session_mw.config import settings_from_mapping
from session_mw.exceptions import SessionError, WeakSecretKeyWarning, kind_of
from session_mw.manager import SessionManager
from session_mw.middleware import INNER
from session_mw.settings import Settings

_PACKAGE = str(Path(__file__).parents[1])
_INNER = ("session_interface", *INNER)


def find_target(text: str) -> Settings:
    """Find the settings that the command's argument names.

    Args:
        text: ``module:attribute``, ``module:factory()``, ``path.ini`` or ``path.ini#section``.

    Raises:
        SessionError: There is no such thing, or it is no session configuration.
    """
    path, _, section = text.partition("#")
    with _weak_keys_are_found_later():
        if path.lower().endswith(".ini") or os.path.isfile(path):
            return Settings(**settings_from_mapping(settings_in(path, section)))
        module, colon, attribute = text.partition(":")
        if not colon or not module or not attribute:
            raise SessionError(f"{text!r} is neither module:attribute nor path.ini#section")
        return _manager_in(_attribute(module, attribute), attribute).settings


@contextlib.contextmanager
def _weak_keys_are_found_later() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", WeakSecretKeyWarning)
        yield


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


def _run(code: Callable[[], Any], doing: str) -> Any:
    try:
        return code()
    except SessionError:
        raise
    except ImportError as error:
        raise SessionError(f"{doing} failed: {error}") from error
    except (Exception, SystemExit) as error:  # noqa: BLE001 (an application raises what it likes)
        # The error's text is the application's and may hold a key.
        raise SessionError(f"{doing} failed: {type(error).__name__} at {_place_of(error)}") from None


def _place_of(error: BaseException) -> str:
    """The last line of the application's own that took part, or the line that is no Python."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}"
    library = sysconfig.get_path("stdlib")
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(("<frozen", library, _PACKAGE))]
    frame = (own or frames)[-1]
    return f"{frame.filename}:{frame.lineno}"


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
    hint = f"is it a factory? Write {name}()" if _is_factory(found) else "name what SessionMiddleware(...) returned"
    raise SessionError(f"{name} is {kind_of(found)}, in which there is no SessionMiddleware or SessionManager; {hint}")


def _manager_of(layer: Any, app: Any) -> SessionManager | None:
    for candidate in (layer, _part(layer, "sessions"), _part(_pyramid_factory(layer), "sessions")):
        if isinstance(candidate, SessionManager):
            return candidate
    # FlaskSessions without a manager: it reads app.config at the first request.
    adapter = sys.modules.get("session_mw.adapters.flask")
    if adapter is not None and isinstance(layer, adapter.FlaskSessions):
        made: SessionManager | None = layer.manager_for(app) if _part(app, "wsgi_app") else None
        return made
    return None


def _pyramid_factory(layer: Any) -> Any:
    interfaces = sys.modules.get("pyramid.interfaces")
    query = _part(_part(layer, "registry"), "queryUtility")
    return None if interfaces is None or query is None else query(interfaces.ISessionFactory)


def _is_factory(found: Any) -> bool:
    """Whether it can be called without arguments, which no WSGI application can."""
    try:
        signature(found).bind()
    except (TypeError, ValueError):
        return False
    return True


def _part(layer: Any, name: str) -> Any:
    """An attribute of an object; None where it has none, or is a proxy of something that is not there yet."""
    try:
        return None if isclass(layer) else getattr(layer, name, None)
    except Exception:  # noqa: BLE001 (an application raises what it likes)
        return None
