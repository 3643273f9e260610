"""The data that repositories are measured with: a tree of many files, and a large dump.

The same on every run. Two fifths of the tree's bytes are random, which nobody can compress, the
others text; the dump is SQL with hashes in it, of which restic stores about a third.
"""

from __future__ import annotations

import random  # noqa: TID251 - the same data every time, from a seed
from collections.abc import Iterator
from pathlib import Path
from typing import Final

FILES: Final = 20_000
BYTES: Final = 1_000_000_000
DUMP: Final = 500_000_000
DUMP_NAME: Final = "shop.dump"
_FOLDERS: Final = 400


def generate(top: Path, scale: float) -> None:
    """Given an empty directory and a scale, put tree and dump into it."""
    rng = random.Random(18)  # noqa: S311 - what it makes only has to look like data
    lines = [_line(rng) for _ in range(20_000)]
    count, size = int(FILES * scale), BYTES / FILES
    for number in range(count):
        folder = top / f"{number % _FOLDERS:03}"
        folder.mkdir(exist_ok=True)
        # Most files are small, few are large: their sizes go from a tenth to the threefold.
        wanted = int(size * min(3, rng.lognormvariate(-0.18, 0.7)))
        content = rng.randbytes(wanted) if number % 5 < 2 else _text(rng, lines, wanted)
        (folder / f"{number:05}").write_bytes(content)
    write_dump(top / DUMP_NAME, scale)


def _line(rng: random.Random) -> bytes:
    words = ["".join(rng.choices("aeiourstnlmdp", k=rng.randint(2, 9))) for _ in range(9)]
    return " ".join(words).encode() + b"\n"


def _text(rng: random.Random, lines: list[bytes], size: int) -> bytes:
    count = max(1, size // 50)
    return b"".join(rng.choices(lines, k=count))[:size]


def write_dump(file: Path, scale: float) -> None:
    """Given a path, write the dump there."""
    with file.open("wb") as out:
        for rows in _rows(int(DUMP * scale)):
            out.write(rows)


def _rows(size: int) -> Iterator[bytes]:
    rng = random.Random(81)  # noqa: S311 - as above
    number = written = 0
    while written < size:
        hashes = rng.randbytes(16 * 1000).hex()
        rows = "".join(
            f"{number + n}\t{hashes[32 * n : 32 * n + 32]}\torder {n % 17} of article "
            f"{(number + n) % 9973}, to be sent to street {n % 211}, before the "
            f'{1 + n % 28}th\t{{"state": {n % 5}, "tags": ["a{n % 31}", "b{n % 7}"]}}\n'
            for n in range(1000)
        ).encode()
        yield rows
        number, written = number + 1000, written + len(rows)
