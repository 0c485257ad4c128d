"""Which line of the application called into the package; warnings point there."""

from __future__ import annotations

import sys

_PACKAGE = __name__.partition(".")[0]


def place_of_caller() -> tuple[str, int]:
    """The file name and line of the nearest caller outside the package."""
    frame = sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno
