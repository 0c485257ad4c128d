"""Flask's tagged JSON: JSON that keeps tuples, bytes, Markup, UUIDs and datetimes.

The text is what Flask 1.1 to 3.1 writes for the same data, byte for byte. A tagged
value is an object of one item whose key is a tag: ``{" t":[1,2]}`` is ``(1, 2)``.
"""

from __future__ import annotations

from typing import Any

from session_mw.exceptions import BadToken, NotSerializable, item_path
from session_mw.tagged_json.limits import MAX_DEPTH, Refused, check_limits
from session_mw.tagged_json.plain import read_plain
from session_mw.tagged_json.read import decode
from session_mw.tagged_json.write import write


class TaggedJSON:
    """The serializer of Flask's session cookie."""

    def dumps(self, data: dict[Any, Any]) -> bytes:
        """Write session data.

        Returns:
            ASCII JSON without spaces, its keys sorted.

        Raises:
            NotSerializable: A value has no form in tagged JSON, or :meth:`loads` would refuse
                the text: more than 64 levels, more than 1 MiB, two keys that are one as text.
        """
        try:
            return write(data)
        except Exception as error:
            if isinstance(error, Refused):
                problem = str(error)
            elif isinstance(error, RecursionError):
                problem = f"it is nested deeper than {MAX_DEPTH} levels"
            else:
                problem = f"{type(error).__name__} while it was written as JSON; use plain types"
            raise NotSerializable(_path_of_problem(data), problem) from error

    def loads(self, payload: bytes) -> dict[str, Any]:
        """Read session data from any valid JSON text in UTF-8; another writer may use another order or spaces.

        Raises:
            BadToken: ``bad_payload``: not a JSON object, a tagged value of the wrong type, a
                repeated key, more than 64 levels or 1 MiB.
        """
        try:
            check_limits(payload)
            plain = read_plain(payload)
            if plain is not None:
                return plain
            text = payload.decode().strip(" \t\r\n")
            data, end = decode(text, 0)
        except Exception as error:
            raise BadToken("bad_payload") from error
        if type(data) is not dict or end != len(text):
            raise BadToken("bad_payload")
        return data


def _path_of_problem(value: Any, depth: int = MAX_DEPTH) -> str:
    """Where the value stands that cannot be written, found by writing each item by itself."""
    if not isinstance(value, (dict, list, tuple)) or depth == 0:
        return ""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        try:
            write(item)
        except Exception:  # noqa: BLE001 (the application's own types may raise anything)
            return item_path(key) + _path_of_problem(item, depth - 1)
    return ""
