"""Makes the look-up of host names safe against exceptions that are set in a thread from outside."""

from __future__ import annotations

import codecs


def prepare() -> None:
    """Load what :func:`socket.getaddrinfo` would import at its first call, in the middle of a request.

    An exception that another thread sets in this one (``PyThreadState_SetAsyncExc``) in the middle of an import leaves
    CPython's import lock taken, and every thread that imports something waits for ever.
    """
    codecs.lookup("idna")
