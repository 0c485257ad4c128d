"""The inspector's page: who may see it, and what looking does to the session."""
