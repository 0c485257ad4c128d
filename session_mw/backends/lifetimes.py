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

    def check_written(self, written: int, now: int, own: int | None = None) -> None:
        """Refuse a time of writing (Unix time) that is in the future or too long ago.

        Args:
            own: The lifetime of its own that the session has, in seconds.

        Raises:
            BadToken: ``future``.
            ExpiredToken: Older than the lifetime; exactly as old is still valid.
        """
        if written > now + self.leeway:
            raise BadToken("future")
        if now - written > (self.idle if own is None else own):
            raise ExpiredToken

    def check_created(self, created: int, now: int) -> None:
        """Refuse a time of creation in the same way; only an absolute lifetime ends it."""
        if created > now + self.leeway:
            raise BadToken("bad_payload")
        self.check_age(created, now)

    def check_age(self, created: int, now: int) -> None:
        """Refuse a session that began too long ago.

        It is enough for a stored session, whose time of creation nobody can forge: another server's clock may be
        further ahead than the leeway, and its visitors are to stay logged in.

        Raises:
            ExpiredToken: Older than the absolute lifetime.
        """
        if self.absolute is not None and now - created > self.absolute:
            raise ExpiredToken

    def expires(self, created: int, now: int, own: int | None = None) -> int:
        """Unix time at which a session that is written or used now ends."""
        idle = now + (self.idle if own is None else own)
        return idle if self.absolute is None else min(idle, created + self.absolute)
