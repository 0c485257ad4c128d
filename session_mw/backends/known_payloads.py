"""Payloads that come again and again, of which the metadata are made out only once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from session_mw.backends.payload import unpack
from session_mw.backends.token_cache import MAX_KEPT, MAX_PAYLOAD_KEPT
from session_mw.exceptions import NotSerializable
from session_mw.protocols import Serializer


class KnownPayloads:
    """Reads payloads as :func:`.payload.unpack` does, and those that came before in less time.

    Args:
        serializer: Data to payloads and back.
    """

    def __init__(self, serializer: Serializer) -> None:
        self._serializer = serializer
        # The payload of the data alone, and the metadata; None until a payload comes for the second time.
        self._kept: dict[bytes, tuple[bytes, Mapping[str, Any]] | None] = {}

    def unpack(self, payload: bytes) -> tuple[dict[str, Any], Mapping[str, Any]]:
        """The data, which are the caller's, and the metadata.

        Raises:
            BadToken: ``bad_payload``: it is not a session's.
        """
        kept = self._kept.get(payload)
        if kept is not None:
            return self._serializer.loads(kept[0]), kept[1]
        data, metadata = unpack(self._serializer, payload)
        if metadata and len(payload) <= MAX_PAYLOAD_KEPT:
            self._keep(payload, data, metadata)
        return data, metadata

    def _keep(self, payload: bytes, data: dict[str, Any], metadata: Mapping[str, Any]) -> None:
        if payload not in self._kept:
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            self._kept[payload] = None
            return
        try:
            self._kept[payload] = self._serializer.dumps(data), metadata
        except NotSerializable:
            # Another writer may have kept within the limits what takes more in our spelling.
            return
