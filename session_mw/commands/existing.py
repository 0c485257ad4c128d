"""Stores that are there already, as the commands open them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from session_mw.exceptions import SessionError, StoreError
from session_mw.protocols import Location, Store
from session_mw.stores.urls import location_of, open_store

URL_VARIABLE = "SESSION_MW_STORE"
"""The environment variable that may hold the URL: others can see the command line, and a password in it."""


@contextmanager
def existing_store(url: str | None, *, with_sessions: bool = True) -> Iterator[Store]:
    """The store that a URL names, closed afterwards. It has to exist: no file, directory or table is made.

    Args:
        with_sessions: Whether sessions are looked for, so that an empty store in memory will not do.

    Raises:
        SessionError: The URL is missing or wrong; the store does not exist, belongs to another user, or fails.
    """
    if not url:
        raise SessionError(f"which store? Give its URL, or set {URL_VARIABLE}")
    location = location_of(url)
    if with_sessions and location.kind == "memory":
        raise SessionError(f"{location.shown} is the memory of one process; only that one can see its sessions")
    _check_path(location)
    try:
        store = open_store(url, create=False)
        try:
            yield store
        finally:
            store.close()
    except StoreError as error:
        remedy = (
            "" if location.path else "; is the server running, can it be reached from here, and are URL and user right?"
        )
        raise SessionError(f"{location.shown}: {error}{remedy}") from error


def _check_path(location: Location) -> None:
    """Check that the store's file or directory is there, and that this user may use it.

    Raises:
        SessionError: It is not there, or only another user may use it, whom the message names.
    """
    path = location.path
    if not path:
        return
    try:
        status = os.stat(path)
    except PermissionError:
        # Name the first directory on the way that this user may not enter.
        directory = os.path.dirname(path)
        while directory != os.path.dirname(directory) and not os.path.exists(directory):
            directory = os.path.dirname(directory)
        raise _of_another(directory, os.stat(directory)) from None
    except OSError as error:
        raise SessionError(
            f"there is no {path!r} ({error.strerror}), so nothing was looked at; is the path right?"
        ) from None
    if os.name != "posix":
        return
    if not os.access(path, os.R_OK | os.W_OK | (os.X_OK if stat.S_ISDIR(status.st_mode) else 0)):
        raise _of_another(path, status)
    directory = os.path.dirname(path)
    # SQLite puts its journal beside the file.
    if location.kind == "sqlite" and not os.access(directory, os.W_OK | os.X_OK):
        raise _of_another(directory, os.stat(directory))


def _of_another(path: str, status: os.stat_result) -> SessionError:
    owner = _user(status.st_uid)
    return SessionError(
        f"{path!r} belongs to {owner} (mode {stat.S_IMODE(status.st_mode):04o}), and you are {_user(os.geteuid())}: "
        f"run the command as {owner}, with sudo -u {owner}, say"
    )


def _user(number: int) -> str:
    try:
        import pwd  # not on Windows

        return pwd.getpwuid(number).pw_name
    except (ImportError, KeyError):
        return f"user {number}"
