"""Opens the tokens that browsers send, and keeps the last authentic ones."""

from __future__ import annotations

from collections import OrderedDict

from session_mw.cookies import MAX_COOKIE
from session_mw.exceptions import BadToken
from session_mw.protocols import Codec, Opened

MAX_KEPT = 256
MAX_PAYLOAD_KEPT = 2 * MAX_COOKIE
"""Bytes. All together some 170 KB are kept, and never more than 3.5 MB."""


class TokenCache:
    """Opens tokens, and keeps what was in the last ones: a browser sends what it was given until it is given another.

    Only tokens that were found authentic or made here are kept, so nobody without a key has a
    part in it. Whether a token is still valid is asked each time.

    Args:
        codec: Payloads to tokens and back.
    """

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._kept: OrderedDict[str, tuple[Opened, bool]] = OrderedDict()

    def open(self, token: str) -> Opened:
        """Verify a token, and give what is in it.

        Raises:
            BadToken: It cannot be trusted.
        """
        if len(token) > MAX_COOKIE:
            raise BadToken("malformed")
        kept = self._kept.get(token)
        return self.keep(token, self._codec.decode(token), well_formed=False) if kept is None else kept[0]

    def keep(self, token: str, opened: Opened, *, well_formed: bool) -> Opened:
        """Keep what is in an authentic token, and give it back.

        Args:
            well_formed: Whether the payload is known to be a session's: it was read, or written here.
        """
        if len(opened[0]) <= MAX_PAYLOAD_KEPT:
            self._kept[token] = opened, well_formed
            if len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
        return opened

    def found_well_formed(self, token: str) -> None:
        """Know of a token that its payload was read as a session's."""
        kept = self._kept.get(token)
        if kept is not None:
            self.keep(token, kept[0], well_formed=True)

    def is_well_formed(self, token: str) -> bool:
        """Whether a token is kept whose payload is known to be a session's."""
        kept = self._kept.get(token)
        return kept is not None and kept[1]
