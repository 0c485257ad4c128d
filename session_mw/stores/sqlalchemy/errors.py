"""What the errors of databases and their drivers mean, and what may be said of them."""

from __future__ import annotations

import re
import sqlite3
import sys
from collections.abc import Iterable
from enum import Enum, auto
from urllib.parse import quote, quote_plus

from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError, SQLAlchemyError

_LONGEST = 300
_SHORTEST_SECRET = 3
"""Letters; to leave out a shorter one would make all messages unreadable."""


class Verdict(Enum):
    """What is to be done about an error."""

    TAKEN = auto()
    """A row with this key is there."""
    AGAIN = auto()
    """The database rolled back and asks to try again: a deadlock, a transaction that could not be put in order."""
    READ_ONLY = auto()
    """This server does not take writes: after a failover it may be the former primary."""
    LOST = auto()
    """The connection is of no use any more; a new one may be."""
    REFUSED = auto()
    """An answer that would be the same again."""


# PostgreSQL: https://www.postgresql.org/docs/current/errcodes-appendix.html (CockroachDB and YugabyteDB use 40001 too).
# MySQL and MariaDB: https://mariadb.com/kb/en/mariadb-error-code-reference/; pyodbc gives an SQLSTATE as well.
_VERDICTS = {
    Verdict.TAKEN: {"23505", 1062, 1586},
    # 55P03, 1205: the server's own limit for a lock was shorter than ours. 40003: whether it was done is not known.
    Verdict.AGAIN: {"40001", "40003", "40P01", "55P03", 1213, 1020, 1205},
    Verdict.READ_ONLY: {"25006", 1290, 1792, 1836},
    # a server that goes down or comes up (1047: a node of Galera), a connection killed by an administrator
    Verdict.LOST: {"57P01", "57P02", "57P03", 1047, 1053, 1927, 4031},
}
_FOREIGN = {"42703", 1054}
_MISSING = {"42P01", 1146}
# Numbers that MySQL's drivers give to what happens on their own side.
_OF_DRIVER = range(2000, 2100)


# What pg8000 and PyMySQL log in with.
_LIBRARIES = {"sqlalchemy", "scramp", "cryptography", "nacl"}


def is_of_database(error: Exception, engine: Engine) -> bool:
    """Whether an error is the database's or its driver's, and not one that somebody set in this thread from outside."""
    package = type(error).__module__.partition(".")[0]
    driver = engine.dialect.loaded_dbapi.__name__.partition(".")[0]
    return package in sys.stdlib_module_names or package in _LIBRARIES or package == driver


def judge(error: BaseException, is_file: bool) -> Verdict:
    """What an error means.

    Args:
        error: As SQLAlchemy or a driver raised it.
        is_file: The database is a file of SQLite, where there is no connection to lose.
    """
    told = codes(error)
    for verdict, known in _VERDICTS.items():
        if told & known:
            return verdict
    if not told and isinstance(error, IntegrityError):
        name = getattr(error.orig, "sqlite_errorname", "")
        return Verdict.REFUSED if name in ("SQLITE_CONSTRAINT_NOTNULL", "SQLITE_CONSTRAINT_CHECK") else Verdict.TAKEN
    if is_file:
        return Verdict.AGAIN if _is_busy(error) else Verdict.REFUSED
    return Verdict.LOST if _is_lost(error, told) else Verdict.REFUSED


def is_answer(error: BaseException) -> bool:
    """Whether the server sent this error as its answer, so that the connection is ready for the next statement."""
    if not isinstance(error, DBAPIError) or error.connection_invalidated:
        return False
    told = codes(error)
    return bool(told) and not any(code in _OF_DRIVER or _is_class_08(code) for code in told)


def codes(error: BaseException) -> set[str | int]:
    """The SQLSTATE and the server's number, as far as the driver tells them."""
    original = getattr(error, "orig", None) or error
    first = original.args[0] if original.args else None
    if isinstance(first, Exception):
        # PyMySQL wraps what it could not send
        first = first.args[0] if first.args else None
    found = {getattr(original, name, None) for name in ("sqlstate", "pgcode", "errno")}
    found.add(first.get("C") if isinstance(first, dict) else first)
    numbers = {code for code in found if type(code) is int and code >= 1000}
    states = {code for code in found if isinstance(code, str) and re.fullmatch("[0-9A-Z]{5}", code)}
    # MySQL's drivers give the general state for errors of their own
    return numbers | (states - {"HY000"})


def secrets_of(url: URL) -> list[str]:
    """What no message may show; the longest first, since one may be a piece of another."""
    given = [str(url.password or "")]
    for name, value in url.query.items():
        if any(piece in name.lower() for piece in ("pass", "pwd", "secret", "token")):
            given += [value] if isinstance(value, str) else value
    written = {form(secret) for secret in given for form in (str, quote, quote_plus)}
    return sorted((secret for secret in written if len(secret) >= _SHORTEST_SECRET), key=len, reverse=True)


def words(error: BaseException, secrets: Iterable[str]) -> str:
    """The driver's own words in one line, without secrets or session data."""
    original = getattr(error, "orig", None) or error
    # PostgreSQL's details are left out: they show the row.
    text = getattr(getattr(original, "diag", None), "message_primary", None)
    if not text and original.args and isinstance(original.args[0], dict):
        text = original.args[0].get("M")
    text = " ".join(str(text or original).split())
    # MySQL shows a piece of what did not fit.
    text = re.sub(r"(value: )'.*?'(?= for )", r"\1'***'", text)
    for secret in secrets:
        text = text.replace(secret, "***")
    return f"{type(original).__name__}: {text[:_LONGEST]}" if text else type(original).__name__


def advice(error: BaseException, table: str) -> str:
    """What to do about the error, where that is known; empty otherwise."""
    told, text = codes(error), str(getattr(error, "orig", None) or error)
    if told & _FOREIGN or "has no column" in text or "no such column" in text:
        return f"; the table {table!r} is not one of sessions: name another with ?table="
    if told & _MISSING or "no such table" in text:
        return f"; the table {table!r} is missing: create_table() makes it, or ?create=true"
    return ""


def scrub(error: BaseException) -> None:
    """Take away the frames that led to an error, and a statement's parameters.

    Error reporters show the local variables of frames: a driver's hold the password.
    """
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        found = pending.pop()
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        found.__traceback__ = None
        pending += [found.__cause__, found.__context__, getattr(found, "orig", None)]
        if found.__context__ is not found.__cause__:
            found.__context__ = None
        if isinstance(found, DBAPIError):
            found.params, found.hide_parameters = None, True


def _is_busy(error: BaseException) -> bool:
    """Whether another process holds a file of SQLite."""
    code = getattr(getattr(error, "orig", None) or error, "sqlite_errorcode", 0)
    # the upper bits tell more than is asked for
    return code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _is_lost(error: BaseException, told: set[str | int]) -> bool:
    if isinstance(error, DBAPIError):
        is_of_driver = any(code in _OF_DRIVER or _is_class_08(code) for code in told)
        no_answer = not told and isinstance(error, (OperationalError, InterfaceError))
        return error.connection_invalidated or is_of_driver or no_answer
    # What a driver did not catch itself: a reset, a broken pipe, an answer cut in two.
    return not isinstance(error, SQLAlchemyError)


def _is_class_08(code: str | int) -> bool:
    return isinstance(code, str) and code.startswith("08")
