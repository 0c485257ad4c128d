"""Sessions in a table of a database that is already there (needs SQLAlchemy)."""

from session_mw.stores.sqlalchemy.store import SQLAlchemyStore as SQLAlchemyStore
