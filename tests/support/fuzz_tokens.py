"""Throw made-up cookies at the header reader, both codecs and the serializer.

    PYTHONPATH=tests python -m support.fuzz_tokens --seconds 60

With Atheris installed the search is guided by coverage; without it valid inputs are
changed at random. An input that breaks a rule is printed, and the exit status is not 0.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import logging
import random
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

atheris: Any = importlib.import_module("atheris") if importlib.util.find_spec("atheris") else None

# Atheris sees only the branches of modules that are imported in its sight.
watched: Any = atheris.instrument_imports(include=["session_mw"]) if atheris and __name__ == "__main__" else None
with watched or contextlib.nullcontext():
    from support.token_rules import TARGETS, Target

ODD = [
    b";",
    b"=",
    b'"',
    b" ",
    b"\t",
    b".",
    b"\0",
    b"\r\n",
    b"\xff\xfe",
    b"\\",
    b"session=",
    b"{",
    b"[",
    b" t",
    b"1e999",
    b"9" * 50,
]
MAX_INPUT = 128 * 1024


def mutate(rng: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """The input with one to six changes."""
    for _ in range(rng.randint(1, 6)):
        start, end = sorted(rng.randrange(len(data) + 1) for _ in range(2))
        piece = rng.choice(
            [data[start:end], rng.choice(ODD), rng.randbytes(rng.randint(1, 4)), b"", rng.choice(others)]
        )
        end = rng.choice([start, start + 1, end])
        data = data[:start] + piece * rng.choice([1, 1, 1, 2, 40]) + data[end:]
    return data[:MAX_INPUT]


def search_at_random(names: Iterable[str], seconds: float, seed: int) -> int:
    """Try changed inputs for some seconds.

    Returns:
        How many inputs were tried.
    """
    rng, tried, end = random.Random(seed), 0, time.monotonic() + seconds
    targets = [TARGETS[name] for name in names]
    while time.monotonic() < end:
        target = rng.choice(targets)
        try_one(target, mutate(rng, rng.choice(target.seeds), target.seeds))
        tried += 1
    return tried


def try_one(target: Target, data: bytes) -> None:
    try:
        target.check(data)
    except BaseException:
        print(f"{target.check.__name__}(bytes.fromhex({data.hex()!r}))", file=sys.stderr)
        raise


def search_by_coverage(names: list[str], seconds: int, seed: int) -> None:
    """Let Atheris search; it ends the process itself. The first byte of an input chooses the target."""
    targets = [TARGETS[name] for name in names]

    def one(data: bytes) -> None:
        if data:
            try_one(targets[data[0] % len(targets)], data[1:])

    corpus = tempfile.mkdtemp()
    for number, target in enumerate(targets):
        for index, start in enumerate(target.seeds):
            Path(corpus, f"{number}-{index}").write_bytes(bytes([number]) + start)
    options = [
        f"-max_total_time={seconds}",
        f"-seed={seed}",
        "-max_len=8192",
        "-timeout=5",
        f"-artifact_prefix={corpus}/",
    ]
    atheris.Setup([sys.argv[0], corpus, *options], one)
    atheris.Fuzz()


def main() -> None:
    """Search for as long as the command line says."""
    parser = argparse.ArgumentParser(description="Throw made-up cookies at the readers of cookies.")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--target", choices=sorted(TARGETS), action="append", help="may be repeated; default: all")
    parser.add_argument("--plain", action="store_true", help="change inputs at random though Atheris is installed")
    options = parser.parse_args()
    names = options.target or sorted(TARGETS)
    logging.disable()
    print(f"targets: {' '.join(names)}; seed {options.seed}")
    if atheris and not options.plain:
        search_by_coverage(names, options.seconds, options.seed)
    else:
        print(f"{search_at_random(names, options.seconds, options.seed)} inputs, nothing found")


if __name__ == "__main__":
    main()
