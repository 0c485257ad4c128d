"""The file of :class:`session_mw.stores.sqlite.SQLiteStore`: how it is made, and who may use it."""

from __future__ import annotations

import logging
import math
import os
import sqlite3
import stat

from session_mw.exceptions import ConfigurationError, StoreError
from session_mw.stores.owners import make_private_file, rights_of

logger = logging.getLogger("session_mw")

# Bytes below which a message says that the disk is full.
_HARDLY_ANYTHING = 64 * 1024
_RIGHTS = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH)


def make_private(path: str) -> None:
    """Make the file, if it is not there, before SQLite does: its journals take over the file's mode and owner.

    Raises:
        ConfigurationError: It cannot be made.
    """
    try:
        make_private_file(path)
    except FileExistsError:
        warn_of_readers(path)
    except PermissionError as error:
        reason = rights_of(os.path.dirname(path)) or "does its directory exist?"
        raise ConfigurationError(f"{path!r} cannot be made: {error.strerror}; {reason}") from error
    except OSError as error:
        raise ConfigurationError(f"{path!r} cannot be made: {error.strerror}; does its directory exist?") from error


def warn_of_readers(path: str) -> None:
    """Log that others may read the file, if they may."""
    if os.name == "posix" and os.path.exists(path) and stat.S_IMODE(os.stat(path).st_mode) & 0o077:
        logger.warning("others may read the sessions in %r; chmod 600 it", path)


def explained(error: sqlite3.Error, path: str) -> StoreError:
    """The error to raise for one of SQLite's; if access was denied, it tells owner, mode and user."""
    text = f"the session database failed: {error}"
    if _code(error) in _RIGHTS:
        # SQLite also needs to write to the directory, where it puts the log.
        told = [rights_of(place) for place in (path, os.path.dirname(path))]
        text = "; ".join(part for part in (text, *told) if part)
    elif is_out_of_space(error) and os.path.exists(path) and bytes_left(path) < _HARDLY_ANYTHING:
        text = f"{text}; the disk is full"
    return StoreError(text)


def bytes_left(path: str) -> float:
    """How many bytes of the disk this process can still use; infinite where the system does not tell."""
    if not hasattr(os, "statvfs"):
        return math.inf
    disk = os.statvfs(os.path.dirname(path))
    return disk.f_bavail * disk.f_frsize if disk.f_blocks else math.inf


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another process holds the file."""
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_out_of_space(error: sqlite3.Error) -> bool:
    """Whether the disk may be full; SQLite reports a quota that is used up (EDQUOT) as an I/O error."""
    return _code(error) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


def _code(error: sqlite3.Error) -> int:
    # Errors that the sqlite3 module itself raises have no code. The upper bits hold SQLite's extended code.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
