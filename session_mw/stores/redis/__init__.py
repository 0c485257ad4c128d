"""Sessions in Redis or Valkey: one server, one behind Sentinels, or a cluster (needs redis-py)."""

from session_mw.stores.redis.store import RedisStore as RedisStore
