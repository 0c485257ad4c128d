r"""One record in one file: how it is written, and which files are recognized as records.

A file is one line, then the data:

    session_mw 1 <expires> <version> <bytes of data> <principal as JSON>\n<data>

It is written under another name and renamed, so whoever opens it sees the old record or the
new one, whole. A file that begins otherwise was not written by a store: it is not read further,
and never replaced or removed.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import stat
from typing import NamedTuple

from session_mw.stores.opening import open_file
from session_mw.stores.owners import give_to_owner_of

MAGIC = b"session_mw 1 "
_HEADER = re.compile(rb"session_mw 1 ([0-9]{1,15}) ([0-9a-f]{16}) ([0-9]{1,15}) (null|\"[\x20-\x7f]*\")")
_HEADER_AT_MOST = 1024


class NotOurs(Exception):
    """A symlink, a directory or a file that no store wrote stands in the place of a record."""


class Stored(NamedTuple):
    """A record and whose it is."""

    data: bytes
    version: str
    expires: int
    principal: str | None


BROKEN = Stored(b"", "", 0, None)
"""How a record's file is read that was cut short (by a power cut, for example): as long expired."""


def new_version() -> str:
    """A version that no record had before."""
    return secrets.token_hex(8)


def read(path: str) -> Stored | None:
    """Read a record; None if there is no file.

    Raises:
        NotOurs: Something else is there.
        OSError: The file cannot be read.
    """
    content, size = _content(path, None)
    if not size:
        return None
    header, _, data = content.partition(b"\n")
    return _unpacked(header, size, data)


def read_header(path: str) -> Stored | None:
    """Read a record without its data. Raises as :func:`read`."""
    content, size = _content(path, _HEADER_AT_MOST)
    if not size:
        return None
    header, line_end, _ = content.partition(b"\n")
    return _unpacked(header, size) if line_end else read(path)


def write(path: str, stored: Stored) -> None:
    """Write a record to its file, atomically.

    Raises:
        OSError: It could not be written; the former record is still there.
    """
    principal = json.dumps(stored.principal)
    header = f"session_mw 1 {stored.expires} {stored.version} {len(stored.data)} {principal}\n"
    temporary = temporary_name(path)
    try:
        with open_file(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, "wb") as file:
            give_to_owner_of(os.path.dirname(path), file.fileno())
            rest = memoryview(header.encode("ascii") + stored.data)
            while rest:
                rest = rest[os.write(file.fileno(), rest) :]
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def temporary_name(path: str) -> str:
    """Where a record is written before it is renamed to ``path``."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.{secrets.token_hex(8)}.tmp")


def is_abandoned(path: str, before: float) -> bool:
    """Whether a file is a temporary one that a killed process left before that Unix time."""
    status = os.lstat(path)
    if not stat.S_ISREG(status.st_mode) or status.st_mtime >= before:
        return False
    try:
        return _content(path, len(MAGIC))[1] > 0
    except NotOurs:
        return status.st_size == 0


def _content(path: str, at_most: int | None) -> tuple[bytes, int]:
    """The file's first bytes and its size; a size of 0 if there is no file.

    Args:
        path: The file.
        at_most: How many bytes to read; None for all.

    Raises:
        NotOurs: Something else than a record's file is there.
        OSError: The file cannot be read.
    """
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise NotOurs
        # Something else may have come into its place by now. O_NONBLOCK: opening a FIFO would wait for its other end.
        with open_file(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            wanted = size if at_most is None else min(at_most, size)
            content = file.read(wanted)
            while len(content) < wanted and (more := file.read(wanted - len(content))):
                content += more
    except FileNotFoundError:
        return b"", 0
    except OSError as error:
        # For a symlink FreeBSD reports EMLINK, other systems ELOOP; for a socket the error is ENXIO.
        if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENXIO):
            raise NotOurs from None
        raise
    if not content.startswith(MAGIC):
        raise NotOurs
    return content, size


def _unpacked(header: bytes, size: int, data: bytes = b"") -> Stored:
    match = _HEADER.fullmatch(header)
    if not match or len(header) + 1 + int(match[3]) != size:
        return BROKEN
    try:
        principal = None if match[4] == b"null" else json.loads(match[4])
    except ValueError:
        return BROKEN
    return Stored(data, match[2].decode(), int(match[1]), principal)
