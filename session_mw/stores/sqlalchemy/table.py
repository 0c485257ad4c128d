"""The table of a SQL store, and the statements on it: each is built once and runs with parameters only."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Delete,
    Index,
    LargeBinary,
    MetaData,
    Select,
    String,
    Table,
    Update,
    bindparam,
    delete,
    func,
    select,
    type_coerce,
    update,
)
from sqlalchemy.dialects.mysql import LONGBLOB
from sqlalchemy.types import NullType


def session_table(name: str) -> Table:
    """The table: one row per session.

    ``principal`` is a hash: databases compare text by rules of their own (MySQL finds
    "bob" for "Bob", PostgreSQL refuses a NUL), and whose sessions end must not depend on them.
    """
    return Table(
        name,
        MetaData(),
        Column("id", String(64), primary_key=True),
        # MySQL's BLOB ends at 64 KiB
        Column("data", LargeBinary().with_variant(LONGBLOB(), "mysql", "mariadb"), nullable=False),
        Column("version", String(16), nullable=False),
        Column("expires", BigInteger, nullable=False),
        Column("principal", String(64), nullable=True),
        Index(f"ix_{name}_expires", "expires"),
        Index(f"ix_{name}_principal", "principal"),
    )


class Statements:
    """The statements. Parameters: ``key``, ``now``, ``known`` (a version), and a row's columns."""

    def __init__(self, table: Table) -> None:
        columns: Any = table.c
        this, live = columns.id == bindparam("key"), columns.expires > bindparam("now")
        expired = columns.expires <= bindparam("now")
        row: Any = {name: bindparam(name) for name in ("data", "version", "expires", "principal")}
        # as the driver gives them: SQLAlchemy would fail at data that others made a text
        data = type_coerce(columns.data, NullType())
        self.load: Select[Any] = select(data, columns.version, columns.expires).where(this, live)
        self.insert = table.insert()
        self.take_over: Update = update(table).where(this, expired).values(row)
        self.update: Update = update(table).where(this, live, columns.version == bindparam("known")).values(row)
        self.touch: Update = update(table).where(this, live).values(expires=bindparam("until"))
        self.delete: Delete = delete(table).where(this)
        self.version: Select[Any] = select(columns.version).where(this)
        self.keys_of: Select[Any] = select(columns.id).where(columns.principal == bindparam("owner"), live)
        self.count_expired: Select[Any] = select(func.count()).select_from(table).where(expired)
        self.find_expired: Select[Any] = select(columns.id).where(expired).limit(bindparam("batch"))
        self.remove_expired: Delete = delete(table).where(columns.id.in_(bindparam("keys", expanding=True)), expired)
