"""The filter of PasteDeploy's .ini files: ``use = egg:session_mw``."""

from __future__ import annotations

from session_mw.manager import SessionManager
from session_mw.middleware import SessionMiddleware, WSGIApp


def filter_app_factory(app: WSGIApp, global_conf: dict[str, str] | None, **local_conf: str) -> SessionMiddleware:
    """Put the middleware in front of an application, as PasteDeploy's ``paste.filter_app_factory``.

        [filter:session]
        use = egg:session_mw
        secret_key = …
        lifetime = 30 days

    Args:
        app: The application.
        global_conf: The file's ``[DEFAULT]`` section, which all sections share: no setting is read from it.
        **local_conf: The filter's section: the manager's settings, and ``environ_key``.

    Raises:
        ConfigurationError: A name or a value is wrong.
    """
    environ_key = local_conf.pop("environ_key", "session")
    return SessionMiddleware(app, sessions=SessionManager.from_mapping(local_conf), environ_key=environ_key)
