"""EncryptedCodec beside Fernet: the length of a token, and the time to make and to open one.

    python benchmarks/fernet.py

Both are given the same 146 bytes of JSON. The two run by turns, so that a busy machine
slows both alike; the medians are compared. Exit status 1 if ours is longer or slower.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable

from cryptography.fernet import Fernet

from session_mw.codecs.encrypted import EncryptedCodec

ROUNDS = 301
CALLS = 100
NOW = 1700000000
DATA = {
    "_permanent": True,
    "cart": ["apple", "pear", "quince"],
    "csrf": "0123456789abcdef0123456789abcdef",
    "name": "Zoë Example",
    "user_id": 424,
    "visits": 17,
}
PAYLOAD = json.dumps(DATA, sort_keys=True, separators=(",", ":")).encode()

Work = Callable[[], object]


def seconds(work: Work) -> float:
    """How long one call takes, of a few in a row."""
    start = time.perf_counter()
    for _ in range(CALLS):
        work()
    return (time.perf_counter() - start) / CALLS


def compare(ours: Work, theirs: Work) -> tuple[float, float]:
    """Medians of both in microseconds."""
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(ROUNDS)]
    mine, other = (statistics.median(column) * 1e6 for column in zip(*pairs, strict=True))
    return mine, other


def main() -> int:
    """Print the table."""
    codec, fernet = EncryptedCodec(b"k" * 32, cookie_name="session"), Fernet(Fernet.generate_key())
    token, foreign = codec.encode(PAYLOAD, NOW, NOW), fernet.encrypt(PAYLOAD)
    rows = {
        f"characters for {len(PAYLOAD)} bytes": (float(len(token)), float(len(foreign))),
        "make a token, µs": compare(lambda: codec.encode(PAYLOAD, NOW, NOW), lambda: fernet.encrypt(PAYLOAD)),
        "open a token, µs": compare(lambda: codec.decode(token), lambda: fernet.decrypt(foreign)),
    }
    print(f"{'':28}{'EncryptedCodec':>16}{'Fernet':>10}{'ratio':>8}")
    for label, (ours, theirs) in rows.items():
        print(f"{label:28}{ours:16.1f}{theirs:10.1f}{ours / theirs:8.2f}")
    return int(any(ours > theirs for ours, theirs in rows.values()))


if __name__ == "__main__":
    sys.exit(main())
