"""Where sessions live on the server: a module or folder for each store, and :func:`session_mw.open_store` for URLs."""
