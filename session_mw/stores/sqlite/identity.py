"""Whether the database file is still the one that was opened: by name it may be removed or exchanged at any time."""

from __future__ import annotations

import os
from typing import NamedTuple

from session_mw.exceptions import StoreError


class FileIds(NamedTuple):
    """Device and inode of the database file and of the two files that SQLite has beside it; None where one is absent.

    A database that was replaced or removed while it is open lives on without a name. What is written there is lost,
    a log-out too, and whoever opens the name meanwhile sees other sessions. The same happens if only the log or its
    index was removed (by a cleaner of ``/tmp``, for example).
    """

    main: tuple[int, int] | None
    log: tuple[int, int] | None
    shared: tuple[int, int] | None

    @classmethod
    def at(cls, path: str) -> FileIds:
        """The files that have these names now."""
        # Where the path is a symlink SQLite puts the log beside the file itself.
        real = os.path.realpath(path)
        return cls(id_of(real), id_of(f"{real}-wal"), id_of(f"{real}-shm"))

    def were_changed(self, found: FileIds) -> bool:
        """Whether one of these files was removed or exchanged."""
        return any(known is not None and known != now for known, now in zip(self, found, strict=True))

    def lost_only_the_log(self, found: FileIds) -> bool:
        """Whether the log or its index was removed, and no other process has begun a new one."""
        return found.main == self.main and found.log in (None, self.log) and found.shared in (None, self.shared)

    def check_replaced(self, found: FileIds, path: str) -> None:
        """See that a new file with a log of its own has come into the place of this one.

        Args:
            found: What has the names now; :meth:`were_changed` is true.
            path: The database file, for messages.

        Raises:
            StoreError: Only the log was changed, the file is gone, or the new file has the former one's log beside it.
        """
        if found.main == self.main:
            raise StoreError(
                f"the write-ahead log of the session database {path!r} was removed or exchanged while it was in "
                "use; keep cleaners away from its '-wal' and '-shm' files"
                + (
                    ""
                    if self.lost_only_the_log(found)
                    else ", and restart the application: others have begun another log"
                )
            )
        if found.main is None:
            raise StoreError(
                f"the session database {path!r} was removed while it was in use; put it back, or restart the "
                "application to begin a new one"
            )
        if found.log is not None and found.log == self.log:
            raise StoreError(
                f"the session database {path!r} was exchanged while it was in use, and the former one's log is "
                "still beside it; stop the application, remove the '-wal' and '-shm' files, and start it"
            )


def id_of(path: str) -> tuple[int, int] | None:
    """Device and inode of a file; None if there is no file."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
