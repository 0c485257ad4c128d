"""``session-mw sweep``: removes the expired sessions of a store that keeps them until somebody does."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import TextIO
from urllib.parse import unquote

from session_mw.exceptions import SessionError
from session_mw.protocols import Store, SweepableStore
from session_mw.stores.options import identifier, scheme_of, take_options, yes_no
from session_mw.stores.urls import STORES, open_store

URL_VARIABLE = "SESSION_MW_STORE"
_WIDEST = 40


def open_existing(url: str) -> Store:
    """Open the store that a URL names; no file, directory or table is made where there is none.

    Raises:
        SessionError: The URL is wrong, or its file, directory or SQLite's table does not exist.
    """
    path = _path_in(url)
    if path is not None and not os.path.exists(path):
        raise SessionError(f"there is no {path!r}, so nothing was looked at; is the path right?")
    if path is not None and scheme_of(url) == "sqlite":
        _check_table(path, url)
    return open_store(_without_create(url))


def sweep(store: SweepableStore, bar: Bar | None = None) -> int:
    """Remove every expired record, in bounded memory.

    Args:
        store: Where.
        bar: What shows how far it is.

    Returns:
        How many were removed.

    Raises:
        StoreError: The store does not answer; what was removed until then stays removed.
    """
    removed = 0
    try:
        for count in store.sweep():
            removed += count
            if bar is not None:
                bar.show(removed)
    finally:
        if bar is not None:
            bar.end()
    return removed


def counted(number: int) -> str:
    """``1 expired session``, ``2,000 expired sessions``."""
    return f"{number:,} expired session{'' if number == 1 else 's'}"


class Bar:
    """A line that shows how far something is.

    Args:
        total: What 100 % is; it may turn out to be more.
        stream: A terminal.
    """

    def __init__(self, total: int, stream: TextIO) -> None:
        self._total = total
        self._stream = stream
        self._shown = ""

    def show(self, done: int) -> None:
        """Draw the line over the former one, if it looks otherwise."""
        part = min(done / self._total, 1.0) if self._total else 1.0
        width = max(5, min(_WIDEST, shutil.get_terminal_size().columns - 40))
        full = int(part * width)
        line = f"\r[{'#' * full}{'.' * (width - full)}] {part:4.0%}  {done:,} of {max(done, self._total):,}"
        if line != self._shown:
            self._shown = line
            self._stream.write(line)
            self._stream.flush()

    def end(self) -> None:
        """Leave the line as it is, and go to the next one."""
        if self._shown:
            self._stream.write("\n")
            self._stream.flush()


def _path_in(url: str) -> str | None:
    """The file or directory of ``file:`` and ``sqlite:`` URLs, as their stores read them."""
    scheme = scheme_of(url)
    path = re.sub("^[^/]*", "", url.partition("://")[2].partition("?")[0])
    if scheme == "file":
        return unquote(path) or None
    if scheme.partition("+")[0] == "sqlite" and path != "/:memory:" and not path.startswith("/file:"):
        return path[1:] or None
    return None


def _check_table(path: str, url: str) -> None:
    table = take_options(url, {"table": identifier})[1].get("table", "sessions")
    file = f"{Path(path).absolute().as_uri()}?mode=ro"
    with suppress(sqlite3.Error), closing(sqlite3.connect(file, uri=True)) as database:
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = ? COLLATE NOCASE", (table,)).fetchall():
            raise SessionError(f"{path!r} has no table {table!r}, so nothing was looked at; is the path right?")


def _without_create(url: str) -> str:
    """The URL as it keeps a database of SQLAlchemy's from getting a table."""
    if not STORES.get(scheme_of(url), "sqlalchemy").startswith("sqlalchemy"):
        return url
    rest = take_options(url, {"create": yes_no})[0]
    return f"{rest}{'&' if '?' in rest else '?'}create=false"
