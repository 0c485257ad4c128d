"""Applications that answer in ways of their own."""

from __future__ import annotations

import sys

from session_mw import SessionManager, SessionMiddleware
from support.wsgi import KEY


class Body:
    """An iterable that is no list, and its own iterator."""

    def __init__(self, *parts, at_close=None):
        self.parts, self.at_close, self.closed = list(parts), at_close, 0

    def __iter__(self):
        return self

    def __next__(self):
        if not self.parts:
            raise StopIteration
        return self.parts.pop(0)

    def close(self):
        self.closed += 1
        if self.at_close is not None:
            raise self.at_close


def behind(app, **settings):
    """Without validators, which would wrap what the app returns."""
    return SessionMiddleware(app, secret_key=KEY, **settings)


def exc_info_of(error):
    try:
        raise error
    except type(error):
        return sys.exc_info()


def stored(store, visitor):
    return SessionManager(KEY, store=store).open({"HTTP_COOKIE": visitor.cookie}).copy()
