"""For the tests of users and of store authors.

from session_mw.testing import StoreContract, session_transaction
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from session_mw.testing.transactions import session_transaction as session_transaction

if TYPE_CHECKING:
    from session_mw.testing.store_contract import StoreContract as StoreContract


def __getattr__(name: str) -> Any:
    """Import ``StoreContract`` when it is asked for (PEP 562): it alone needs pytest."""
    if name == "StoreContract":
        return import_module("session_mw.testing.store_contract").StoreContract
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
