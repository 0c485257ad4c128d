"""The statements of :class:`session_mw.stores.sqlite.SQLiteStore`: each is atomic by itself."""

from __future__ import annotations

from typing import NamedTuple

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS {table} (key TEXT NOT NULL PRIMARY KEY, data BLOB NOT NULL,"
    " version INTEGER NOT NULL, expires INTEGER NOT NULL, principal TEXT)",
    "CREATE INDEX IF NOT EXISTS {table}_expires ON {table} (expires)",
    "CREATE INDEX IF NOT EXISTS {table}_principal ON {table} (principal) WHERE principal IS NOT NULL",
)
EXISTS = "SELECT 1 FROM sqlite_master WHERE name = '{table}' COLLATE NOCASE"
PROBE = "SELECT key, data, version, expires, principal FROM {table} LIMIT 0"
LOAD = "SELECT data, version, expires FROM {table} WHERE key = ? AND expires > ?"
CREATE = (
    "INSERT INTO {table} (key, data, version, expires, principal) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (key) DO UPDATE SET data = excluded.data, version = excluded.version,"
    " expires = excluded.expires, principal = excluded.principal WHERE {table}.expires <= ?"
)
UPDATE = (
    "UPDATE {table} SET data = ?, version = ?, expires = ?, principal = ? WHERE key = ? AND version = ? AND expires > ?"
)
TOUCH = "UPDATE {table} SET expires = ? WHERE key = ? AND expires > ?"
DELETE = "DELETE FROM {table} WHERE key = ?"
KEYS_OF = "SELECT key FROM {table} WHERE principal = ? AND expires > ?"
COUNT_EXPIRED = "SELECT count(*) FROM {table} WHERE expires <= ?"
SWEEP = "DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} WHERE expires <= ? LIMIT ?)"


class Statements(NamedTuple):
    """The statements for one table."""

    schema: tuple[str, ...]
    exists: str
    probe: str
    load: str
    create: str
    update: str
    touch: str
    delete: str
    keys_of: str
    count_expired: str
    sweep: str


def statements_for(table: str) -> Statements:
    """The statements for ``table``, a name that :func:`session_mw.stores.options.identifier` let pass."""
    one_each = (EXISTS, PROBE, LOAD, CREATE, UPDATE, TOUCH, DELETE, KEYS_OF, COUNT_EXPIRED, SWEEP)
    return Statements(
        tuple(statement.format(table=table) for statement in SCHEMA),
        *(statement.format(table=table) for statement in one_each),
    )
