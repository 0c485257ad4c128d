"""The write-ahead log: kept short, and with enough space for log-outs when the disk is full.

Others may fill up the disk at any time, and log-outs should work even then. A log-out needs space in the log, so space
is reserved when the log is opened. When that space is used up the log has to begin anew, which SQLite does only after
all of it was copied into the database file. So pages by which that file has to grow are copied at once, and no new
record may take the last space on the disk.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from io import FileIO
from typing import Any

from session_mw.exceptions import StoreError
from session_mw.stores.sqlite.files import bytes_left, is_out_of_space
from session_mw.stores.sqlite.identity import id_of
from session_mw.stores.sqlite.pool import Connection

logger = logging.getLogger("session_mw")

# Pages of 4 KiB in the log after which SQLite copies it into the file and begins it anew. SQLite's own 1000 are more
# than a small disk or quota has left; with 128 a write takes as long as with 1000, within 5 %.
LOG_PAGES = 128
# Bytes of a log of so many pages: a header, and for each page a header and the page.
LOG_RESERVED = 32 + LOG_PAGES * (24 + 4096)
# The last pages of the disk, which no new record takes. One record adds much less to the file.
KEPT_PAGES = 32
# A log that became longer, because a reader (a backup, for example) took long, is cut to this when it begins anew.
LOG_BYTES = 1024 * 1024


def configure(connection: Connection) -> None:
    """Set how a connection uses the log."""
    # With WAL a killed process loses nothing; only a power cut can take back the last writes.
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute(f"PRAGMA wal_autocheckpoint={LOG_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit={LOG_BYTES}")


def reserve(connection: Connection, path: str) -> None:
    """Reserve the log's space on the disk, if it can be done without waiting for anybody.

    Args:
        connection: A connection that has the log open.
        path: The database file.
    """
    log = f"{os.path.realpath(path)}-wal"
    if not hasattr(os, "posix_fallocate") or (id_of(log) and os.stat(log).st_size >= LOG_RESERVED):
        return
    try:
        # Without waiting: a process that writes now has reserved the space before.
        # While this transaction is open nobody else writes to the log. SQLite ignores what is behind its last valid
        # frame, so the zeros that are added here do no harm.
        connection.execute("BEGIN IMMEDIATE")
        with FileIO(log, "r+") as file:
            os.posix_fallocate(file.fileno(), 0, LOG_RESERVED)
    except (OSError, sqlite3.OperationalError):
        # Others write, there is no log or no space, or the file system cannot reserve space.
        logger.debug("no space was reserved for the log of %r", path, exc_info=True)
    finally:
        connection.rollback()


def is_nearly_full(path: str) -> bool:
    """Whether the disk has only the space left that is kept for log-outs."""
    return bytes_left(path) < KEPT_PAGES * 4096


def refuse_new_record(connection: Connection, path: str, deadline: float) -> None:
    """See that a new record fits into free pages of the database, on a disk that :func:`is_nearly_full`.

    Raises:
        StoreError: It does not.
    """
    if connection.run("PRAGMA freelist_count", (), deadline).fetchone()[0] < KEPT_PAGES:
        raise StoreError(f"the disk of the session database {path!r} is full; what is left is kept for log-outs")


def write(connection: Connection, sql: str, parameters: tuple[Any, ...], deadline: float) -> int:
    """Run a statement, a second time if the disk was full; how many rows it changed."""
    try:
        return connection.run(sql, parameters, deadline).rowcount
    except sqlite3.OperationalError as error:
        if not is_out_of_space(error):
            raise
    begin_anew(connection, deadline)
    return connection.run(sql, parameters, deadline).rowcount


def begin_anew(connection: Connection, deadline: float) -> None:
    """Copy the log into the file and let it begin anew in the space that it has, before a second try on a full disk.

    A long reader may have kept the log from it. If it has ended, a log-out should not fail because the disk is full.
    Only SQLite can wait for that reader.
    """
    connection.execute(f"PRAGMA busy_timeout={max(0, int((deadline - time.monotonic()) * 1000))}")
    connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
    connection.execute("PRAGMA busy_timeout=0")


def copy_if_grown(connection: Connection, known: int, path: str, deadline: float) -> int:
    """Copy the log into the database file if the file has to grow for it, while the disk has the space.

    Args:
        connection: A connection that has written.
        known: How many pages the database had when the log was last copied here; at first 0.
        path: The database file.
        deadline: When to give up.

    Returns:
        The same for the next call.
    """
    (pages,) = connection.run("PRAGMA page_count", (), deadline).fetchone()
    if pages > known:
        try:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except sqlite3.OperationalError:
            # The disk is full. The record is in the log, and the next write tries again.
            logger.debug("the log of %r could not be copied into the file", path, exc_info=True)
        else:
            return int(pages)
    return known
