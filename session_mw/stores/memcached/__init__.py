"""Sessions in memcached, on one host or spread over several (needs pymemcache)."""

from session_mw.stores.memcached.store import MemcachedStore as MemcachedStore
