"""Where sessions live on the server: one module per store, and :func:`session_mw.open_store` for URLs."""
