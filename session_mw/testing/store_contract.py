"""What every store has to keep to; needs pytest."""

from __future__ import annotations

from session_mw.testing.concurrency import ConcurrencyPromises
from session_mw.testing.index import IndexPromises
from session_mw.testing.lifetimes import LifetimePromises
from session_mw.testing.records import RecordPromises


class StoreContract(RecordPromises, LifetimePromises, ConcurrencyPromises, IndexPromises):
    """The promises of :class:`session_mw.protocols.Store`, as tests to inherit.

        class TestMyStore(StoreContract):
            @pytest.fixture
            def store(self):
                store = MyStore()
                yield store
                store.close()

    The store may hold records of others. Where it has ``keys_of`` the promises of
    ``IndexedStore`` are tested too, where it has ``sweep`` those of ``SweepableStore``.
    Time is moved by patching ``time.time``.
    """
