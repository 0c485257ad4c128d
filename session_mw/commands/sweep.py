"""``session-mw sweep``: removes the expired sessions of a store that keeps them until somebody does."""

from __future__ import annotations

import shutil
from typing import TextIO

from session_mw.protocols import SweepableStore

_WIDEST = 40


def sweep(store: SweepableStore, bar: Bar | None = None) -> int:
    """Remove every expired record, in bounded memory.

    Args:
        store: The store.
        bar: Shows the progress.

    Returns:
        How many were removed.

    Raises:
        StoreError: The store does not answer; what was removed until then stays removed.
    """
    removed = 0
    try:
        for count in store.sweep():
            removed += count
            if bar is not None:
                bar.show(removed)
    finally:
        if bar is not None:
            bar.end()
    return removed


def counted(number: int) -> str:
    """``1 expired session``, ``2,000 expired sessions``."""
    return f"{number:,} expired session{'' if number == 1 else 's'}"


class Bar:
    """A progress bar in one line of a terminal.

    Args:
        total: What 100 % is; it may turn out to be more.
        stream: A terminal.
    """

    def __init__(self, total: int, stream: TextIO) -> None:
        self._total = total
        self._stream = stream
        self._shown = ""

    def show(self, done: int) -> None:
        """Draw the line over the former one, if it looks otherwise."""
        part = min(done / self._total, 1.0) if self._total else 1.0
        width = max(5, min(_WIDEST, shutil.get_terminal_size().columns - 40))
        full = int(part * width)
        line = f"\r[{'#' * full}{'.' * (width - full)}] {part:4.0%}  {done:,} of {max(done, self._total):,}"
        if line != self._shown:
            self._shown = line
            self._stream.write(line)
            self._stream.flush()

    def end(self) -> None:
        """Leave the line as it is, and go to the next one."""
        if self._shown:
            self._stream.write("\n")
            self._stream.flush()
