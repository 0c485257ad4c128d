"""Which sessions have ended: kept in a store, followed by every process. See ``docs/revocations.md``."""
