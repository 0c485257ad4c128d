"""A package, so that no installed one of this common name is taken for it."""
