"""Sessions in the files of a directory."""

from session_mw.stores.file.store import FileStore as FileStore
