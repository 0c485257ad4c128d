"""Sessions for any WSGI application, in Flask's cookie format, without Flask."""

from session_mw.exceptions import (
    BadToken,
    ConfigurationError,
    CookieTooLarge,
    ExpiredToken,
    MissingSession,
    NotSerializable,
    SessionError,
    SessionUnavailable,
    StoreError,
    WeakSecretKeyWarning,
)
from session_mw.manager import SessionManager
from session_mw.middleware import SessionMiddleware, get_session
from session_mw.protocols import Record
from session_mw.session import Session
from session_mw.stores.file import FileStore
from session_mw.stores.memory import MemoryStore
from session_mw.stores.sqlite import SQLiteStore
from session_mw.stores.urls import open_store
from session_mw.version import __version__

__all__ = [
    "BadToken",
    "ConfigurationError",
    "CookieTooLarge",
    "ExpiredToken",
    "FileStore",
    "MemoryStore",
    "MissingSession",
    "NotSerializable",
    "Record",
    "SQLiteStore",
    "Session",
    "SessionError",
    "SessionManager",
    "SessionMiddleware",
    "SessionUnavailable",
    "StoreError",
    "WeakSecretKeyWarning",
    "__version__",
    "get_session",
    "open_store",
]
