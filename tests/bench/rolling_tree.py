"""The tree that rolling copies are measured on, and a day's change to it.

At scale 1: 200,000 files and some 57,000 directories, 4 GB. 160,000 files of users (lognormal,
about 12 KB), 10,000 previews of four sizes in the seven-level layout that Nextcloud gives them,
ten videos of 100 MB and one 500 MB file that is written in place, as a database's is.
"""

from __future__ import annotations

import hashlib
import os
import random  # noqa: TID251 - the same tree every time, from a seed
import sys
from pathlib import Path

USERS = 160_000
PREVIEWS = 10_000
FILES_A_FOLDER = 40
PAGE = 8192


def generate(root: Path, scale: float = 1.0, seed: int = 7) -> None:
    """Given an empty directory and a scale, fill it."""
    rng = random.Random(seed)  # noqa: S311 - test data
    noise = rng.randbytes(4 << 20)
    for number in range(int(USERS * scale)):
        folder = (
            root / "users" / f"u{number // FILES_A_FOLDER // 40}" / f"d{number // FILES_A_FOLDER}"
        )
        if number % FILES_A_FOLDER == 0:
            folder.mkdir(parents=True)
        _write(folder / f"file-{number}.dat", _piece(rng, noise, _size(rng)))
    for number in range(int(PREVIEWS * scale)):
        digest = hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()
        folder = root.joinpath("previews", *digest[:7], str(number))
        folder.mkdir(parents=True)
        for width in (64, 256, 1024, 2048):
            _write(folder / f"{width}-{width}-crop.jpg", _piece(rng, noise, width * 12))
    big = root / "big"
    big.mkdir()
    for number in range(10):
        _large(big / f"video-{number}.mp4", int(100_000_000 * scale), rng)
    _large(big / "data.db", int(500_000_000 * scale), rng)


def change(root: Path, scale: float = 1.0, seed: int = 8) -> None:
    """Given a generated tree, do a day's work in 100 of its folders, and in the big file."""
    rng = random.Random(seed)  # noqa: S311 - test data
    noise = rng.randbytes(4 << 20)
    folders = sorted((root / "users").glob("*/*"))
    folders = rng.sample(folders, min(len(folders), max(1, int(100 * scale))))
    for folder in folders:
        files = sorted(folder.glob("*.dat"))
        rng.shuffle(files)
        for path in files[:5]:
            fresh = path.with_suffix(".tmp")
            _write(fresh, _piece(rng, noise, _size(rng)))
            fresh.rename(path)
        for path in files[5:7]:
            path.unlink()
        (folder / f"renamed-{seed}.dat").unlink(missing_ok=True)
        if rng.random() < 0.5:
            files[7].rename(folder / f"renamed-{seed}.dat")
            files[8].unlink()
        for number in range(2 + (rng.random() < 0.5)):
            _write(folder / f"new-{seed}-{number}.dat", _piece(rng, noise, _size(rng)))
    with (root / "big/data.db").open("r+b") as file:
        pages = os.fstat(file.fileno()).st_size // PAGE
        for page in rng.sample(range(pages), min(pages, max(1, int(128 * scale)))):
            file.seek(page * PAGE)
            file.write(rng.randbytes(PAGE))


def _size(rng: random.Random) -> int:
    return min(1 << 20, int(rng.lognormvariate(8.9, 1.0)))


def _piece(rng: random.Random, noise: bytes, size: int) -> bytes:
    start = rng.randrange(len(noise) - size)
    return noise[start : start + size]


def _write(path: Path, content: bytes) -> None:
    with path.open("wb", buffering=0) as file:
        file.write(content)


def _large(path: Path, size: int, rng: random.Random) -> None:
    with path.open("wb", buffering=0) as file:
        for left in range(size, 0, -(1 << 20)):
            file.write(rng.randbytes(min(left, 1 << 20)))


if __name__ == "__main__":
    generate(Path(sys.argv[1]), float(sys.argv[2]))
