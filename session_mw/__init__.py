"""Sessions for any WSGI application, in Flask's cookie format, without Flask."""

from session_mw.exceptions import BadToken as BadToken
from session_mw.exceptions import ConfigurationError as ConfigurationError
from session_mw.exceptions import CookieTooLarge as CookieTooLarge
from session_mw.exceptions import ExpiredToken as ExpiredToken
from session_mw.exceptions import MissingSession as MissingSession
from session_mw.exceptions import NotSerializable as NotSerializable
from session_mw.exceptions import SessionError as SessionError
from session_mw.exceptions import SessionUnavailable as SessionUnavailable
from session_mw.exceptions import StoreError as StoreError
from session_mw.exceptions import WeakSecretKeyWarning as WeakSecretKeyWarning
from session_mw.manager import SessionManager as SessionManager
from session_mw.middleware import SessionMiddleware as SessionMiddleware
from session_mw.middleware import get_session as get_session
from session_mw.protocols import Record as Record
from session_mw.session import Session as Session
from session_mw.stores.file import FileStore as FileStore
from session_mw.stores.memory import MemoryStore as MemoryStore
from session_mw.stores.sqlite import SQLiteStore as SQLiteStore
from session_mw.stores.urls import open_store as open_store
