"""Opens files so that no descriptor is lost, whatever interrupts the call."""

from __future__ import annotations

import os
from io import FileIO


def open_file(path: str, flags: int, mode: str) -> FileIO:
    """Open a file, unbuffered; where it is made, nobody else may read it.

    Another thread can set an exception in this one (``PyThreadState_SetAsyncExc``). CPython may raise it as soon as a
    call has returned: after ``os.open`` the descriptor, a number, would be lost, and the file open for ever. Here
    both steps are done within one call in C, and a file object that is lost is closed.

    Args:
        path: The file; not a directory, whose descriptor would stay open.
        flags: For :func:`os.open`.
        mode: The same for :class:`io.FileIO`, such as ``"rb"``; it neither makes nor truncates anything.

    Raises:
        OSError: As from :func:`os.open`.
    """
    return next(map(FileIO, map(os.open, (path,), (flags,), (0o600,)), (mode,)))
