"""Sessions in an SQLite file."""

from session_mw.stores.sqlite.store import SQLiteStore as SQLiteStore
