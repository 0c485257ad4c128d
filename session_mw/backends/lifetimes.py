"""For how long a session is valid."""

from __future__ import annotations

from dataclasses import dataclass

from session_mw.exceptions import BadToken, ExpiredToken


@dataclass(frozen=True)
class Lifetimes:
    """For how long a session is valid, in seconds.

    Args:
        idle: Since its last writing (cookie) or its last use (store).
        absolute: Since it began; None: no limit.
        leeway: How far in the future a time may lie, since the clocks of servers differ.
    """

    idle: int
    absolute: int | None
    leeway: int

    def check_written(self, written: int, now: int) -> None:
        """Refuse a time of writing (Unix time) that is in the future or too long ago.

        Raises:
            BadToken: ``future``.
            ExpiredToken: Older than the lifetime; exactly as old is still valid.
        """
        if written > now + self.leeway:
            raise BadToken("future")
        if now - written > self.idle:
            raise ExpiredToken

    def check_created(self, created: int, now: int) -> None:
        """Refuse a time of creation in the same way; only an absolute lifetime ends it."""
        if created > now + self.leeway:
            raise BadToken("bad_payload")
        if self.absolute is not None and now - created > self.absolute:
            raise ExpiredToken

    def expires(self, created: int, now: int) -> int:
        """Unix time at which a session that is written or used now ends."""
        idle = now + self.idle
        return idle if self.absolute is None else min(idle, created + self.absolute)
