"""Owners of files: what root makes is given to the application, and messages tell owners, modes and user.

A management command run as root, or a server that drops root's rights after it has loaded the application
(gunicorn's ``--user`` with ``--preload``), must not leave files that the application cannot use.
"""

from __future__ import annotations

import os

from session_mw.stores.opening import open_file

if os.name == "posix":
    import grp
    import pwd


def give_to_owner_of(directory: str, descriptor: int) -> None:
    """Give a file that root has just made to the owner and group of a directory.

    It takes a descriptor, not a name: the owner of the directory could replace the file by a link to another one.

    Raises:
        OSError: The owner cannot be changed.
    """
    if os.name == "posix" and os.geteuid() == 0:
        owner = os.stat(directory)
        made = os.fstat(descriptor)
        if made.st_uid == 0 and (made.st_uid, made.st_gid) != (owner.st_uid, owner.st_gid):
            os.fchown(descriptor, owner.st_uid, owner.st_gid)


def make_private_file(path: str) -> None:
    """Make an empty file for the owner of its directory alone, before somebody else does it for everybody to read.

    Raises:
        FileExistsError: Something has that name.
        OSError: It cannot be made.
    """
    with open_file(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, "wb") as file:
        give_to_owner_of(os.path.dirname(path) or ".", file.fileno())


def make_directory(path: str, mode: int) -> None:
    """Make a directory; if root makes it, it is given to the owner of its parent.

    Raises:
        FileExistsError: Something has that name.
        OSError: It cannot be made.
    """
    os.mkdir(path, mode)
    if os.name == "posix" and os.geteuid() == 0:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            give_to_owner_of(os.path.dirname(path) or ".", descriptor)
        finally:
            os.close(descriptor)


def rights_of(path: str) -> str:
    """For a message: owner and mode of a file or directory, and the user of this process; empty if unknown."""
    try:
        status = os.stat(path)
    except OSError:
        return ""
    if os.name != "posix":
        return ""
    return (
        f"{path!r} belongs to {_user(status.st_uid)}:{_group(status.st_gid)} with mode {status.st_mode & 0o7777:04o}, "
        f"and this process runs as {_user(os.geteuid())}:{_group(os.getegid())}"
    )


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
